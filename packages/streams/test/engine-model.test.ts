/**
 * The whole engine against the model: requests overlap, batches become durable in parts or
 * are refused, checkpoints and moves of extents come in between, and the process dies.
 */
import { isHoldfastError } from '@holdfast/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Position } from '../src/position.ts';
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

const aPath = fc.constantFrom(...PATHS);
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

function placeIn(model: StreamModel, path: string, place: fc.TypeOf<typeof aPlace>): Position {
  if (place.wild !== null) return place.wild;
  const stream = model.find(model.durable, path);
  if (stream === undefined) return { messages: 0, bytes: place.plus };
  const at = positionOf(stream, Math.min(place.message, stream.messages.length));
  return { messages: at.messages, bytes: at.bytes + place.plus };
}

function contentType(json: boolean): string {
  return json ? 'application/json' : 'text/plain';
}

const creates = fc
  .boolean()
  .chain((json) =>
    fc.record({
      path: aPath,
      json: fc.constant(json),
      closed: fc.boolean().map((value) => value && json),
      ttlSeconds: fc.constantFrom(undefined, undefined, 5, 60),
      initial: someTexts(json, 0),
      from: fc.option(fc.record({ source: aPath, place: fc.option(aPlace) }), { freq: 1 }),
      subOffset: fc.constantFrom(0, 0, 1, 2, 3, 299),
    }),
  )
  .map(({ from, subOffset, ...rest }) =>
    step(`create ${JSON.stringify({ ...rest, from, subOffset })}`, async (real) => {
      const { model } = real;
      // A source that is only planned is waited for; the model does not tell when.
      if (from !== null && model.inFlight > 0) await real.settle();
      const at =
        from === null || from.place === null ? undefined : placeIn(model, from.source, from.place);
      const fork = from === null ? undefined : { source: from.source, at, subOffset };
      const request: ModelCreate = { ...rest, fork };
      const messages = {
        bytes: Buffer.from(rest.initial.join('')),
        lengths: rest.initial.map((text) => text.length),
      };
      const sent = real.fixture.engine.create({
        path: rest.path,
        contentType: contentType(rest.json),
        closed: rest.closed,
        ...(rest.ttlSeconds === undefined ? {} : { ttlSeconds: rest.ttlSeconds }),
        ...(rest.initial.length === 0 ? {} : { initial: messages }),
        ...(fork === undefined
          ? {}
          : { fork: { source: fork.source, subOffset, ...(at === undefined ? {} : { at }) } }),
      });
      await real.send(
        model.create(request),
        sent.then(({ info }) => info),
      );
    }),
  );

const appends = fc
  .boolean()
  .chain((json) =>
    fc.record({
      path: aPath,
      json: fc.constant(json),
      texts: someTexts(json, 0),
      close: fc.nat({ max: 9 }).map((n) => n === 0),
      producer: fc.option(
        fc.record({
          id: fc.constantFrom('p', 'constructor', '__proto__'),
          epoch: fc.nat({ max: 1 }),
          seq: fc.nat({ max: 3 }),
        }),
        { nil: undefined },
      ),
      streamSeq: fc.constantFrom(undefined, undefined, '1', '2', '10'),
    }),
  )
  .map((request: ModelAppend) =>
    step(`append ${JSON.stringify(request)}`, async (real) => {
      const { texts, json, streamSeq, producer, ...rest } = request;
      const messages = {
        bytes: Buffer.from(texts.join('')),
        lengths: texts.map((text) => text.length),
      };
      const sent = real.fixture.engine.append({
        ...rest,
        contentType: contentType(json),
        ...(texts.length === 0 ? {} : { messages: () => messages }),
        ...(producer === undefined ? {} : { producer }),
        ...(streamSeq === undefined ? {} : { streamSeq }),
      });
      await real.send(real.model.append(request), sent);
    }),
  );

const deletes = aPath.map((path) =>
  step(`delete ${path}`, async (real) => {
    const before = real.model.find(real.model.ahead, path);
    const tail = before === undefined ? { messages: 0, bytes: 0 } : tailOf(before);
    const closed = before?.closed ?? false;
    const sent = real.fixture.engine.delete(path).then(() => ({ tail, closed }));
    await real.send(real.model.delete(path), sent);
  }),
);

const reads = fc
  .record({ path: aPath, place: aPlace, maxBytes: fc.constantFrom(1, 3, 10, 350, 6000, 1e9) })
  .map(({ path, place, maxBytes }) =>
    step(`read ${path} ${JSON.stringify(place)} ${maxBytes}`, async (real) => {
      const { model, fixture } = real;
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
  [creates, appends, appends, appends, deletes, reads, reads, events, events],
  { size: 'max', maxCommands: 60 },
);

test.each(SETTINGS.map((settings, index) => ({ settings, index })))(
  'every history gives what the model gives, cache $index',
  async ({ settings, index }) => {
    const property = fc.asyncProperty(commands, async (steps) => {
      const fixture = await EngineFixture.open({ ...settings, reaperStartGraceMs: 0 });
      const run = new Run(fixture);
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
