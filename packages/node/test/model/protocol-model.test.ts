/**
 * The whole protocol against a model of its text: a real node on a simulated disk with a clock
 * that the test moves. Every answer is compared: status, protocol headers, body, entity tag.
 *
 * `PROTOCOL_MODEL_RUNS` makes it longer; a failure prints the shortest history and its replay.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { longPoll, serverSentEvents } from './live-run.ts';
import {
  aLiveChoice,
  appendTo,
  aRequest,
  aSession,
  aSlideChoice,
  aWrite,
  SLIDE_TTL_SECONDS,
  slideRequest,
  type MakeRequest,
} from './model-requests.ts';
import type { ProtocolModel } from './protocol-model.ts';
import { ProtocolRun, reached, showRequest, type RunSettings } from './protocol-run.ts';

const RUNS = Number(process.env['PROTOCOL_MODEL_RUNS'] ?? 100);
const SEED = Number(process.env['PROTOCOL_MODEL_SEED'] ?? 20_261_120);

const VARIANTS: readonly (RunSettings & { readonly name: string; readonly share: number })[] = [
  { name: 'large chunks', chunkBytes: 4 * 1024 * 1024, loopback: false, share: 1 },
  { name: 'chunks of 64 bytes', chunkBytes: 64, loopback: false, share: 1 },
  { name: 'chunks of one byte', chunkBytes: 1, loopback: false, share: 0.5 },
  { name: 'chunks of 200 bytes over a socket', chunkBytes: 200, loopback: true, share: 0.5 },
];

type Step = fc.AsyncCommand<ProtocolModel, ProtocolRun>;

type Tell = (what: string) => void;

/** @param run tells what it sends, for the history that a failure prints. */
function step(name: string, run: (real: ProtocolRun, tell: Tell) => Promise<void>): Step {
  let told = name;
  return {
    check: () => true,
    toString: () => told,
    run: (_model, real) => run(real, (what) => (told = `${name} ${what}`)),
  };
}

const requests = aRequest.map((make) =>
  step('ask', (real, tell) => {
    const request = make(real.model);
    tell(showRequest(request));
    return real.ask(request);
  }),
);

const bursts = fc.array(aRequest, { minLength: 2, maxLength: 3 }).map((makes) =>
  step('burst', (real, tell) => {
    const made = makes.map((make) => make(real.model));
    tell(made.map(showRequest).join(' | '));
    return real.burst(made);
  }),
);

const sessions = aSession.map(({ path: pathIn, steps }) =>
  step('producer', async (real, tell) => {
    const path = pathIn(real.model);
    for (const parts of steps) {
      const request = appendTo(real.model, path, parts);
      tell(showRequest(request));
      await real.ask(request);
    }
  }),
);

const slides = aSlideChoice.map((choice) =>
  step(`slide ${choice.path}`, async (real, tell) => {
    const { path, rest } = choice;
    const headers = { 'stream-ttl': String(SLIDE_TTL_SECONDS) };
    await real.ask({ method: 'PUT', path, headers });
    await real.seconds(SLIDE_TTL_SECONDS - 1);
    const request = slideRequest(real.model, choice);
    tell(`${showRequest(request)}, then ${rest} s`);
    await real.ask(request);
    await real.seconds(rest);
    await real.ask({ method: 'HEAD', path, headers: {} });
  }),
);

const polls = aLiveChoice.map((choice) =>
  step('long-poll', (real, tell) => longPoll(real, choice, tell)),
);

const events = aLiveChoice.map((choice) =>
  step('sse', (real, tell) => serverSentEvents(real, choice, tell)),
);

const lists = fc
  .record({
    prefix: fc.constantFrom(undefined, undefined, 'c', '__', 'zzz'),
    after: fc.constantFrom(undefined, undefined, 'a', 'b', 'z'),
    limit: fc.constantFrom(undefined, undefined, '1', '2', '0', '1001', 'x'),
  })
  .map((asked) =>
    step(`list ${JSON.stringify(asked)}`, (real) =>
      real.checkList(JSON.parse(JSON.stringify(asked)) as object),
    ),
  );

const waits = fc
  .constantFrom(1, 1, 2, 4, 12)
  .map((seconds) => step(`wait ${seconds} s`, (real) => real.seconds(seconds)));

const TEN_YEARS_MS = 10 * 365 * 86_400_000;

const jumps = fc
  .constantFrom(-60_000, -60_000, -1_000, 60_000, 600_000, TEN_YEARS_MS, -TEN_YEARS_MS)
  .map((byMs) => step(`clock jumps ${byMs} ms`, async (real) => real.jump(byMs)));

const crashes = fc
  .record({
    power: fc.boolean(),
    seed: fc.nat(1_000_000),
    turns: fc.nat(8),
    make: fc.option(aWrite, { freq: 4, nil: undefined }),
  })
  .map(
    ({
      make,
      ...end
    }: {
      power: boolean;
      seed: number;
      turns: number;
      make: MakeRequest | undefined;
    }) => step(`crash ${JSON.stringify(end)}`, (real, tell) => real.crash(end, make, tell)),
  );

const commands = fc.commands(
  [
    ...Array.from({ length: 24 }, () => requests),
    bursts,
    bursts,
    sessions,
    sessions,
    slides,
    polls,
    polls,
    polls,
    events,
    events,
    lists,
    waits,
    waits,
    jumps,
    fc.constant(step('checkpoint', (real) => real.checkpoint())),
    fc.constant(step('checkpoint', (real) => real.checkpoint())),
    fc.constant(step('restart', (real) => real.restart())),
    crashes,
    crashes,
  ],
  { size: 'max', maxCommands: 120 },
);

test.each(VARIANTS)(
  'every history of requests gets the answers of the model: $name',
  async ({ name, share, ...settings }) => {
    const property = fc.asyncProperty(commands, async (steps) => {
      const run = await ProtocolRun.open(settings);
      await fc.asyncModelRun(() => ({ model: run.model, real: run }), steps);
      await run.check();
      await run.end();
    });
    const numRuns = Math.ceil(RUNS * share);
    const result = await fc.check(property, { seed: SEED, numRuns });
    if (!result.failed) return;
    throw new Error(
      `${String(result.errorInstance)}\nafter: ${fc.stringify(result.counterexample)}\n` +
        `replay with: PROTOCOL_MODEL_SEED=${SEED} PROTOCOL_MODEL_RUNS=${RUNS} ` +
        `npx vitest run packages/node/test/model -t '${name}'`,
      { cause: result.errorInstance },
    );
  },
  Math.max(120_000, RUNS * 2_000),
);

/** With the usual number of runs each of these happens often. */
const MUST_BE_REACHED = [
  ...['PUT 201', 'PUT 200', 'PUT 400', 'PUT 404', 'PUT 409'],
  ...['POST 200', 'POST 204', 'POST 400', 'POST 403', 'POST 404', 'POST 409', 'POST 410'],
  ...['GET 200', 'GET 204', 'GET 304', 'GET 400', 'GET 404', 'GET 410'],
  ...['HEAD 200', 'HEAD 404', 'HEAD 410', 'DELETE 204', 'DELETE 404', 'DELETE 410'],
  ...['long-poll woken', 'long-poll closed', 'long-poll ended', 'long-poll timed out'],
  ...['sse live', 'sse closed', 'sse ended', 'reaped'],
  ...['crash: there', 'crash: not there', 'crash after the answer'],
];

test('the histories reach every kind of answer', () => {
  console.log(`protocol model: ${JSON.stringify(Object.fromEntries([...reached].sort()))}`);
  const missing = MUST_BE_REACHED.filter((what) => !reached.has(what));
  expect(missing).toEqual([]);
});
