/**
 * The whole engine against the model: requests overlap, batches become durable in parts or
 * are refused, checkpoints and moves of extents come in between, and the process dies.
 */
import { isHoldfastError } from '@holdfast/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Position } from '../src/position.ts';
import type { Messages } from '../src/stream-store.ts';
import { EngineFixture, textOf } from './engine-fixture.ts';
import {
  type Expected,
  type ModelAppend,
  type ModelCreate,
  positionOf,
  readModel,
  StreamModel,
  tailOf,
} from './stream-model.ts';

const PATHS = ['a', 'b', 'c/d', 'constructor', '__proto__'];
/** More with `MODEL_RUNS`. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 100);

const SETTINGS = [
  { tailCacheBytesPerStream: 0, tailCacheBytes: 0, readPieceBytes: 5 },
  { tailCacheBytesPerStream: 400, tailCacheBytes: 900, readPieceBytes: 64 },
  {},
];

interface Outcome {
  readonly expected: Expected;
  seen: { value?: { tail: Position; closed: boolean }; code?: string } | undefined;
}

class Run {
  readonly model = new StreamModel();
  fixture: EngineFixture;
  #outcomes: Outcome[] = [];
  #answered = false;
  readonly #ids = new Map<number, string>();

  constructor(fixture: EngineFixture) {
    this.fixture = fixture;
    this.model.nowMs = fixture.clock.now();
  }

  get mayDiscard(): boolean {
    return !this.#answered;
  }

  async send(
    expected: Expected,
    sent: Promise<{ tail: Position; closed: boolean }>,
  ): Promise<void> {
    const outcome: Outcome = { expected, seen: undefined };
    this.#outcomes.push(outcome);
    sent.then(
      (value) => (outcome.seen = { value }),
      (error: unknown) => {
        if (!isHoldfastError(error)) throw error;
        outcome.seen = { code: error.code };
      },
    );
    if (expected.kind !== 'committed' && this.model.inFlight > 0) this.#answered = true;
    await quiet();
    expect(this.fixture.host.pending).toBe(this.model.inFlight);
  }

  async settle(count = Number.MAX_SAFE_INTEGER): Promise<void> {
    this.fixture.host.settle(Math.min(count, this.model.inFlight));
    this.model.settle(count);
    await quiet();
    if (this.model.inFlight > 0) return;
    for (const { expected, seen } of this.#outcomes) {
      if (expected.kind === 'refused') expect(seen).toEqual({ code: expected.code });
      else expect(seen?.value).toMatchObject({ tail: expected.tail, closed: expected.closed });
    }
    this.#outcomes = [];
    this.#answered = false;
  }

  async discard(): Promise<void> {
    const refused = this.#outcomes.filter(({ expected }) => expected.kind === 'committed');
    const settledBefore = refused.length - this.model.inFlight;
    this.fixture.host.discard();
    this.model.discard();
    await quiet();
    for (const { seen } of refused.slice(settledBefore))
      expect(seen).toEqual({ code: 'DISK_FULL' });
    this.#outcomes = [];
  }

  async crash(kept: number): Promise<void> {
    this.fixture = await this.fixture.crash(kept);
    this.model.crash(kept);
    this.#outcomes = [];
    this.#answered = false;
    await quiet();
  }

  /** Everything visible is what the model says. */
  async check(): Promise<void> {
    const { engine } = this.fixture;
    const { durable } = this.model;
    for (const path of PATHS) {
      let stream: ReturnType<StreamModel['use']>;
      try {
        stream = this.model.use(durable, path);
      } catch (refusal) {
        expect(() => engine.stat(path)).toThrow(
          expect.objectContaining({ code: (refusal as { code: string }).code }),
        );
        continue;
      }
      const info = engine.stat(path);
      expect(info).toMatchObject({
        tail: tailOf(stream),
        closed: stream.closed,
        json: stream.json,
        forks: this.model.forks(durable, stream.key),
      });
      expect(this.#ids.get(info.id) ?? `${stream.key}`).toBe(`${stream.key}`);
      this.#ids.set(info.id, `${stream.key}`);
    }
    const listed = [...durable.streams.values()]
      .filter((stream) => stream.state === 'active' && !this.model.isOver(stream))
      .map((stream) => stream.path);
    expect(engine.list({ limit: 100 }).map(({ path }) => path)).toEqual(listed.sort());
    this.fixture.host.assertNoLeaks();
  }
}

function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

type Step = fc.AsyncCommand<StreamModel, Run>;

function step(name: string, run: (real: Run) => Promise<void>): Step {
  return {
    check: () => true,
    toString: () => name,
    run: async (_model, real) => {
      await run(real);
      await real.check();
    },
  };
}

interface Target {
  readonly path: string;
  readonly any: boolean;
}

interface Place {
  readonly message: number;
  readonly plus: number;
  readonly wild: Position | null;
}

/** Mostly a stream that is there; for creations mostly a path that is free. */
const aPath = fc.record({
  path: fc.constantFrom(...PATHS),
  any: fc.nat({ max: 9 }).map((n) => n === 0),
});

function pathIn(model: StreamModel, { path, any }: Target, free = false): string {
  if (any) return path;
  const from = PATHS.indexOf(path);
  const turned = [...PATHS.slice(from), ...PATHS.slice(0, from)];
  return turned.find((other) => (model.find(model.ahead, other) === undefined) === free) ?? path;
}

const aText = (json: boolean): fc.Arbitrary<string> =>
  json
    ? fc.constantFrom('1,', '"ab",', '{"k":[1,2]},', `"${'x'.repeat(300)}",`)
    : fc.constantFrom('a', 'bc', 'some more', 'y'.repeat(300), 'z'.repeat(5000));

const someTexts = (json: boolean, least: number): fc.Arbitrary<string[]> =>
  fc.array(aText(json), { minLength: least, maxLength: json ? 4 : 1 });

/** A place in a stream: mostly a boundary, sometimes beside it, sometimes nonsense. */
const aPlace = fc.record({
  message: fc.nat({ max: 12 }),
  plus: fc.constantFrom(0, 0, 0, 1, 2, 7),
  wild: fc.option(fc.record({ messages: fc.nat({ max: 9 }), bytes: fc.nat({ max: 900 }) }), {
    freq: 8,
  }),
});

function placeIn(model: StreamModel, path: string, place: Place): Position {
  if (place.wild !== null) return place.wild;
  const stream = model.find(model.durable, path);
  if (stream === undefined) return { messages: 0, bytes: place.plus };
  const at = positionOf(stream, Math.min(place.message, stream.messages.length));
  return { messages: at.messages, bytes: at.bytes + place.plus };
}

function messagesOf(texts: readonly string[]): Messages {
  return { bytes: Buffer.from(texts.join('')), lengths: texts.map((text) => text.length) };
}

function contentType(json: boolean): string {
  return json ? 'application/json' : 'text/plain';
}

/** Mostly the type that fits, so that more than the check of types is tested. */
const aFit = fc.nat({ max: 11 }).map((n) => n > 0);
const bothTexts = (least: number) =>
  fc.record({ json: someTexts(true, least), bytes: someTexts(false, least) });

const creates = fc
  .record({
    path: aPath,
    json: fc.boolean(),
    fits: aFit,
    closed: fc.nat({ max: 9 }).map((n) => n === 0),
    ttlSeconds: fc.constantFrom(undefined, undefined, undefined, 5, 60),
    texts: bothTexts(0),
    from: fc.option(fc.record({ source: aPath, place: fc.option(aPlace, { freq: 4 }) }), {
      freq: 3,
    }),
    subOffset: fc.constantFrom(0, 0, 1, 1, 2, 3, 299),
  })
  .map(({ path: to, from: origin, subOffset, json, fits, texts, closed, ttlSeconds }) =>
    step(
      `create ${JSON.stringify({ to, json, closed, ttlSeconds, origin, subOffset })}`,
      async (real) => {
        const { model } = real;
        const path = pathIn(model, to, true);
        const from = origin && { ...origin, source: pathIn(model, origin.source) };
        // A source that is only planned is waited for; the model does not tell when.
        if (from !== null && model.inFlight > 0) await real.settle();
        const at =
          from === null || from.place === null
            ? undefined
            : placeIn(model, from.source, from.place);
        const fork = from === null ? undefined : { source: from.source, at, subOffset };
        const source = from === null ? undefined : model.find(model.ahead, from.source);
        const isJson = source === undefined ? json : source.json === fits;
        const initial = isJson ? texts.json : texts.bytes;
        const request: ModelCreate = { path, json: isJson, closed, ttlSeconds, initial, fork };
        const sent = real.fixture.engine.create({
          path,
          contentType: contentType(isJson),
          closed,
          ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
          ...(initial.length === 0 ? {} : { initial: () => messagesOf(initial) }),
          ...(fork === undefined
            ? {}
            : { fork: { source: fork.source, subOffset, ...(at === undefined ? {} : { at }) } }),
        });
        await real.send(
          model.create(request),
          sent.then(({ info }) => info),
        );
      },
    ),
  );

/** A producer that goes on, tries again, skips, or starts over. */
const aMove = fc.constantFrom('next', 'next', 'next', 'again', 'older', 'gap', 'epoch', 'zombie');

function producerOf(
  model: StreamModel,
  path: string,
  id: string,
  move: string,
): ModelAppend['producer'] {
  const known = model.find(model.ahead, path)?.producers[`$${id}`];
  const { epoch, seq } = known ?? { epoch: 0, seq: -1 };
  switch (move) {
    case 'next':
      return { id, epoch, seq: seq + 1 };
    case 'again':
      return { id, epoch, seq: Math.max(0, seq) };
    case 'older':
      return { id, epoch, seq: Math.max(0, seq - 1) };
    case 'gap':
      return { id, epoch, seq: seq + 2 };
    case 'epoch':
      return { id, epoch: epoch + 1, seq: 0 };
    default:
      return { id, epoch: Math.max(0, epoch - 1), seq: seq + 1 };
  }
}

const appends = fc
  .record({
    path: aPath,
    fits: aFit,
    texts: bothTexts(0),
    close: fc.nat({ max: 14 }).map((n) => n === 0),
    producer: fc.option(
      fc.record({ id: fc.constantFrom('p', 'p', 'p', '__proto__'), move: aMove }),
      { nil: undefined, freq: 2 },
    ),
    streamSeq: fc.constantFrom(undefined, undefined, undefined, '1', '2', '10'),
  })
  .map(({ path: to, fits, texts: both, close, producer: who, streamSeq }) =>
    step(`append ${JSON.stringify({ to, both, close, who, streamSeq })}`, async (real) => {
      const { model } = real;
      const path = pathIn(model, to);
      const json = (model.find(model.ahead, path)?.json ?? true) === fits;
      const texts = json ? both.json : both.bytes;
      const producer = who && producerOf(model, path, who.id, who.move);
      const sent = real.fixture.engine.append({
        path,
        close,
        contentType: contentType(json),
        ...(texts.length === 0 ? {} : { messages: () => messagesOf(texts) }),
        ...(producer === undefined ? {} : { producer }),
        ...(streamSeq === undefined ? {} : { streamSeq }),
      });
      await real.send(model.append({ path, json, texts, close, producer, streamSeq }), sent);
    }),
  );

const deletes = aPath.map((to) =>
  step(`delete ${JSON.stringify(to)}`, async (real) => {
    const path = pathIn(real.model, to);
    const before = real.model.find(real.model.ahead, path);
    const tail = before === undefined ? { messages: 0, bytes: 0 } : tailOf(before);
    const closed = before?.closed ?? false;
    const sent = real.fixture.engine.delete(path).then(() => ({ tail, closed }));
    await real.send(real.model.delete(path), sent);
  }),
);

const reads = fc
  .record({ path: aPath, place: aPlace, maxBytes: fc.constantFrom(1, 3, 10, 350, 6000, 1e9) })
  .map(({ path: to, place, maxBytes }) =>
    step(`read ${JSON.stringify({ to, place, maxBytes })}`, async (real) => {
      const { model, fixture } = real;
      const path = pathIn(model, to);
      const from = placeIn(model, path, place);
      let stream: ReturnType<StreamModel['use']>;
      try {
        stream = model.use(model.durable, path);
      } catch {
        expect(() => fixture.engine.read({ path, from, maxBytes })).toThrow();
        return;
      }
      const slice = await fixture.engine.read({ path, from, maxBytes });
      model.touched.set(stream.key, model.nowMs);
      const expected = readModel(stream, from, maxBytes);
      expect({
        from: slice.from,
        to: slice.to,
        text: await textOf(slice),
        upToDate: slice.upToDate,
      }).toEqual(expected);
      expect(slice.byteLength).toBe(expected.text.length);
      expect(slice.endOfStream).toBe(stream.closed && expected.upToDate);
    }),
  );

const events = fc.oneof(
  { weight: 4, arbitrary: fc.constant(step('settle', (real) => real.settle())) },
  {
    weight: 2,
    arbitrary: fc.nat({ max: 3 }).map((n) => step(`settle ${n}`, (real) => real.settle(n))),
  },
  {
    weight: 1,
    arbitrary: fc.constant(
      step('discard', (real) => (real.mayDiscard ? real.discard() : real.settle())),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constant(
      step('checkpoint', async (real) => {
        real.fixture.host.checkpoint();
        await quiet();
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant(
      step('collect only', async (real) => {
        real.fixture.host.collect();
        await quiet();
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant(step('move', async (real) => real.fixture.host.moveExtents())),
  },
  {
    weight: 1,
    arbitrary: fc
      .nat({ max: 2 })
      .map((kept) =>
        step(`crash ${kept}`, (real) => real.crash(Math.min(kept, real.model.inFlight))),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(1, 4, 30).map((seconds) =>
      step(`wait ${seconds}s`, async (real) => {
        for (let i = 0; i < seconds; i++) {
          await real.settle();
          real.fixture.clock.advance(1000);
          real.model.nowMs = real.fixture.clock.now();
          real.model.reap();
          // The model reaps one by one what one commit of the engine may take.
          real.fixture.host.settle();
          real.model.settle(real.model.inFlight);
        }
      }),
    ),
  },
);

const commands = fc.commands(
  [creates, creates, appends, appends, appends, appends, deletes, reads, reads, events, events],
  { size: 'max', maxCommands: 80 },
);

/** Histories begin with something to work on. */
async function begin(real: Run): Promise<void> {
  for (const [path, json] of [
    ['a', true],
    ['b', false],
  ] as const) {
    const texts = json ? ['1,', '22,', '333,'] : ['hello'];
    const request = { path, json, closed: false, ttlSeconds: undefined, fork: undefined };
    const created = real.fixture.engine.create({
      path,
      contentType: contentType(json),
      closed: false,
      initial: () => messagesOf(texts),
    });
    await real.send(
      real.model.create({ ...request, initial: texts }),
      created.then(({ info }) => info),
    );
  }
  await real.settle();
}

test.each(SETTINGS.map((settings, index) => ({ settings, index })))(
  'every history gives what the model gives, cache $index',
  async ({ settings, index }) => {
    const property = fc.asyncProperty(commands, async (steps) => {
      const fixture = await EngineFixture.open({ ...settings, reaperStartGraceMs: 0 });
      const run = new Run(fixture);
      await begin(run);
      await fc.asyncModelRun(() => ({ model: run.model, real: run }), steps);
      await run.settle();
      await run.crash(0);
      await run.check();
      run.fixture.engine.close();
    });
    await fc.assert(property, { seed: 20_261_120 + index, numRuns: RUNS });
  },
  Math.max(60_000, RUNS * 200),
);
