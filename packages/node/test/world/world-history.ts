/**
 * A virtual world: the whole node, its disk, a network and a dozen clients, all from one seed. Lets
 * them live through crashes and faults, brings everything to a quiet end, and judges what the
 * clients saw.
 */
import { sleep } from '@holdfast/core';
import {
  checkAppendOnly,
  checkLinearizable,
  type HistoryRange,
  NO_NETWORK_FAULTS,
  type Operation,
  operationsByKey,
  runHistories,
  SeededRandom,
  SimClock,
  SimNetwork,
  type StreamObservation,
  UndecidedError,
  type Verdict,
} from '@holdfast/testkit';
import { HistoryRecorder } from './history-recorder.ts';
import { expectDelivery, type TailState } from './live-tail.ts';
import { SimulatedServer, type ServerTotals } from './simulated-server.ts';
import {
  bytesOf,
  type Hints,
  messagesOf,
  type StreamInput,
  type StreamOutput,
  streamRegister,
  type StreamOperation,
  type StreamState,
} from './stream-register.ts';
import { WorldClient } from './world-client.ts';
import {
  appender,
  closer,
  forker,
  producer,
  reader,
  remover,
  replacer,
  type Role,
  tailer,
  visitor,
  type WorldStreams,
} from './world-roles.ts';

export interface WorldTotals extends ServerTotals {
  histories: number;
  requests: number;
  operations: number;
  /** Nobody heard what came of them. */
  unknown: number;
  virtualMs: number;
  /** Too many orders to try in one of its streams: only the other checks judged it. */
  undecided: number;
}

/** And the seed. */
export const WORLD_REPLAY = 'npm run simulate -- --only world --histories 1 --seed';

const TTL_MS = 1000;
const WITNESS = 'witness';
/** Never deleted: the quick checker may judge them too. */
const STEADY = [
  { path: 'text', json: false },
  { path: 'json', json: true },
  { path: 'ending', json: true },
];
const DOOMED = { path: 'doomed', json: false };
const REBORN = { path: 'reborn', json: true };
const BRIEF = { path: 'brief', json: false };

export function worldTotals(): WorldTotals {
  return {
    histories: 0,
    requests: 0,
    operations: 0,
    unknown: 0,
    virtualMs: 0,
    undecided: 0,
    starts: 0,
    crashes: 0,
    crashesWhileStarting: 0,
    orderlyCloses: 0,
    diskFaults: 0,
    checkpoints: 0,
  };
}

export async function runWorldHistories(range: HistoryRange): Promise<WorldTotals> {
  const totals = worldTotals();
  await runHistories(range, WORLD_REPLAY, async (seed) => {
    await new World(seed, totals).run();
  });
  return totals;
}

export class World {
  readonly #random: SeededRandom;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #server: SimulatedServer;
  readonly #recorder: HistoryRecorder<StreamInput, StreamOutput>;
  readonly #totals: WorldTotals;
  readonly #tails: { path: string; tail: TailState }[] = [];
  readonly #streams: WorldStreams = { paths: [], finishing: false, quiet: false };

  constructor(seed: number, totals: WorldTotals) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#totals = totals;
    this.#clock = new SimClock(random.fork());
    this.#network = new SimNetwork(this.#clock, random.fork(), {
      windowBytes: random.pick([300, 4096, 64 * 1024]),
      faults: random.chance(0.2)
        ? NO_NETWORK_FAULTS
        : {
            requestLost: 0.02,
            requestCut: 0.02,
            responseLost: 0.03,
            responseCut: 0.03,
            repeated: 0.1,
            slow: 0.06,
          },
    });
    this.#server = new SimulatedServer(random.fork(), this.#clock, this.#network, totals);
    this.#recorder = new HistoryRecorder(this.#clock);
  }

  /** Everything any client asked and was told. */
  get history(): readonly StreamOperation[] {
    return this.#recorder.operations;
  }

  /** Equal for two runs in which the same happened. */
  get trace(): string {
    const { disk } = this.#server;
    return `${this.#network.traceHash()} ${disk.traceHash()} ${this.#clock.traceHash()}`;
  }

  /** Rejects when a promise is broken. */
  async run(): Promise<void> {
    await this.#clock.run(this.#story());
    const { operations } = this.#recorder;
    this.#totals.histories++;
    this.#totals.requests += this.#network.calls;
    this.#totals.operations += operations.length;
    this.#totals.unknown += operations.filter(({ output }) => output === undefined).length;
    this.#totals.virtualMs += this.#clock.monotonicMs();
  }

  async #story(): Promise<void> {
    const clients = this.#startClients();
    clients.catch(() => undefined); // heard of below
    const lives = this.#random.between(2, 4);
    for (let life = 0; life < lives; life++) await this.#server.live();
    this.#network.faults = NO_NETWORK_FAULTS;
    const node = await this.#server.liveOn();
    this.#streams.finishing = true;
    await clients;
    await this.#expectDeliveries();
    const before = await this.#readAll();
    const problems = await node.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    await this.#server.reopen();
    const after = await this.#readAll();
    await this.#server.close();
    if (JSON.stringify([...before]) !== JSON.stringify([...after])) {
      throw new Error('an orderly close and start changed what is there');
    }
    if (this.#server.complaints.length > 0) throw new Error(this.#server.complaints.join('; '));
    try {
      judge(this.history, new Map(STEADY.map(({ path }) => [path, after.get(path) ?? ''])));
    } catch (error) {
      if (!(error instanceof UndecidedError)) throw error;
      this.#totals.undecided++;
    }
    this.#judgeSteady(after);
    this.#judgeTails(after);
  }

  async #startClients(): Promise<void> {
    const founder = this.#client('founder');
    for (const { path, json } of [...STEADY, DOOMED]) await found(founder, path, json);
    this.#streams.paths.push(...STEADY, DOOMED, REBORN);
    const roles = this.#cast();
    const partitions = this.#partitionNow(roles.map(([name]) => name));
    const run = (readers: boolean): Promise<unknown> =>
      Promise.all(
        roles
          .filter(([name]) => name.startsWith('t') === readers)
          .map(([name, role]) => role(this.#client(name), this.#streams)),
      );
    const tailing = run(true);
    tailing.catch(() => undefined); // heard of below
    await run(false);
    await partitions;
    this.#streams.quiet = true;
    await tailing;
  }

  #cast(): [string, Role][] {
    const any = this.#random.fork();
    const [text, json, ending] = STEADY as [typeof BRIEF, typeof BRIEF, typeof BRIEF];
    const steady = (): typeof BRIEF => any.pick(STEADY);
    const choose = ({ paths }: WorldStreams): { path: string; fromStart: boolean } => {
      const { path } = any.pick(paths);
      // What a position of an earlier stream means in a later one at its path is nobody's promise.
      return { path, fromStart: path === REBORN.path };
    };
    const tail = ({ path, json: isJson }: typeof BRIEF): Role => {
      const state: TailState = { offset: '-1', text: '', closed: false, over: false };
      return (client, world) => {
        this.#tails.push({ path, tail: state });
        return tailer(path, isJson, state)(client, world);
      };
    };
    const roles: [string, Role][] = [
      ['p1', producer(json.path, true, 'p', 0)],
      [
        'p2',
        any.chance(0.5) ? producer(json.path, true, 'p', 1) : producer(text.path, false, 'q', 0),
      ],
      ['a1', appender(text.path, false, false)],
      ['a2', appender(ending.path, true, any.chance(0.5))],
      ['a3', appender(REBORN.path, true, any.chance(0.3))],
      ['a4', appender(DOOMED.path, false, false)],
      ['r1', reader(choose)],
      ['r2', reader(choose)],
      ['t1', tail(text)],
      ['t2', tail(steady())],
      ['t3', tail(ending)],
      ['closer', closer(ending.path, true)],
      ['replacer', replacer(REBORN.path, true)],
      ['remover', remover(DOOMED.path)],
      ['forker', forker([text, json, DOOMED])],
      ['visitor', visitor(BRIEF.path, false, TTL_MS)],
    ];
    return any.shuffle(roles).slice(0, any.between(7, roles.length));
  }

  async #partitionNow(names: readonly string[]): Promise<void> {
    const random = this.#random.fork();
    while (!this.#streams.finishing) {
      await sleep(this.#clock, random.between(50, 600));
      if (this.#streams.finishing || !random.chance(0.5)) continue;
      this.#network.partition(random.pick(names), random.between(20, 400));
    }
  }

  async #expectDeliveries(): Promise<void> {
    const client = this.#client(WITNESS);
    const [text, json] = STEADY as [typeof BRIEF, typeof BRIEF];
    for (const { path, json: isJson } of [text, json, text, json]) {
      const offset = this.#random.chance(0.7) ? '-1' : 'now';
      await expectDelivery(client, path, isJson, offset);
    }
  }

  #client(name: string): WorldClient {
    const parts = { clock: this.#clock, network: this.#network, history: this.#recorder };
    return new WorldClient(name, this.#random.fork(), parts);
  }

  /** Each path that ever was, as text or as the refusal. Recorded like everything else. */
  async #readAll(): Promise<Map<string, string>> {
    const client = this.#client('last');
    const all = new Map<string, string>();
    for (const path of new Set(this.history.map((operation) => operation.path))) {
      if (path === BRIEF.path) continue; // looking at it would keep it alive
      all.set(path, await readWhole(client, path));
    }
    return all;
  }

  /** A second opinion on what was never deleted, and: once, if acknowledged, and never twice. */
  #judgeSteady(found: ReadonlyMap<string, string>): void {
    for (const { path } of STEADY) {
      const content = messagesOf(found.get(path) ?? '');
      const own = this.history.filter((operation) => operation.path === path);
      const wrong = checkAppendOnly(content, attemptsAsOne(own.flatMap(observationsOf)));
      if (wrong !== undefined) throw new Error(`stream ${path}: ${wrong}`);
    }
  }

  #judgeTails(found: ReadonlyMap<string, string>): void {
    for (const { path, tail } of this.#tails) {
      const whole = found.get(path) ?? '';
      const rest = messagesOf(whole.slice(tail.text.length));
      const isWhole = whole.startsWith(tail.text) && rest.every(isOfWitness);
      if (!tail.over && !isWhole) {
        throw new Error(`a tailer of ${path} has ${tail.text.length} of ${whole.length} bytes`);
      }
    }
  }
}

/** It came when the tailers had ended. */
function isOfWitness(message: string): boolean {
  return message.includes(`${WITNESS}.`);
}

async function found(founder: WorldClient, path: string, json: boolean): Promise<void> {
  for (;;) {
    const outcome = await founder.create(path, json, { messages: [], closed: false }, [], false);
    if (outcome.kind === 'answered') return;
    // A late copy would bring back what was deleted meanwhile.
    if (outcome.kind === 'unknown') await outcome.whenSettled();
    await founder.pause(20);
  }
}

async function readWhole(client: WorldClient, path: string): Promise<string> {
  let text = '';
  let offset = '-1';
  for (let i = 0; i < 1000; i++) {
    const outcome = await client.read(path, offset);
    if (outcome.kind !== 'answered') continue;
    const { answer, read } = outcome.output;
    if (read === undefined) return answer;
    text += read.text;
    offset = read.to;
    if (read.upToDate) return text;
  }
  throw new Error(`no end of ${path} although nothing fails any more`);
}

/**
 * Throws when there is no order of these operations that explains what was answered.
 * @param finals what streams hold at the end that were never deleted
 */
export function judge(
  history: readonly StreamOperation[],
  finals: ReadonlyMap<string, string> = new Map(),
): void {
  let undecided: Error | undefined;
  for (const [path, operations] of operationsByKey(
    history,
    (one) => (one as StreamOperation).path,
  )) {
    const texts = operations.map(({ output }) => output?.read?.text ?? '');
    const final = finals.get(path);
    const hints = {
      seen: new Set(texts.flatMap(messagesOf)),
      ...(final === undefined ? {} : { final }),
    };
    let verdict: ReturnType<typeof checkStream>;
    try {
      verdict = checkStream(hints, operations);
    } catch (error) {
      undecided = error as Error; // the others are judged first
      continue;
    }
    const { linearizable, stuck } = verdict;
    if (linearizable) continue;
    const state = stuck?.state as StreamState;
    const next = stuck?.next.map((operation) => JSON.stringify(operation)).join('\n  ');
    throw new Error(
      `stream ${path} is not linearizable: ${stuck?.done} of ${operations.length} operations ` +
        `lead to ${state.life} tail=${state.content.tail} closed=${state.closed}, ` +
        `and none of these can follow\n  ${next}`,
    );
  }
  if (undecided !== undefined) throw undecided;
}

function checkStream(
  hints: Hints,
  operations: readonly Operation<StreamInput, StreamOutput>[],
): Verdict<StreamState, StreamInput, StreamOutput> {
  return checkLinearizable(streamRegister(hints), operations);
}

/** The operations of a stream that is never deleted, as the quick checker wants them. */
function observationsOf({
  input,
  output,
  invoked,
  returned,
}: StreamOperation): StreamObservation[] {
  const times = { invoked, returned };
  if (input.kind === 'append') {
    const kept = output === undefined || /^(new|kept) /.test(output.answer);
    if (!kept) return [];
    // Of several messages the first stands for all: they are one append.
    return input.messages.map((message) => ({
      kind: 'append',
      message,
      acknowledged: output !== undefined,
      ...times,
    }));
  }
  if (input.kind !== 'read' || output?.read === undefined || input.from === 'now') return [];
  const { read } = output;
  const count = Number(read.to.slice(0, 16));
  const messages = messagesOf(read.text);
  if (read.cut || bytesOf(read.to) - input.from !== read.text.length) return [];
  return [
    { kind: 'read', from: count - messages.length, messages, upToDate: read.upToDate, ...times },
  ];
}

/** A producer's attempts are one append: it was over when any of them was acknowledged. */
function attemptsAsOne(observations: readonly StreamObservation[]): StreamObservation[] {
  const appends = new Map<string, Extract<StreamObservation, { kind: 'append' }>>();
  const all: StreamObservation[] = [];
  for (const one of observations) {
    if (one.kind === 'read') {
      all.push(one);
      continue;
    }
    const known = appends.get(one.message) ?? one;
    const acknowledged = known.acknowledged || one.acknowledged;
    const ends = [known, one].filter((attempt) => attempt.acknowledged === acknowledged);
    const returns = ends.map((attempt) => attempt.returned);
    appends.set(one.message, {
      ...one,
      acknowledged,
      invoked: Math.min(known.invoked, one.invoked),
      returned: acknowledged ? Math.min(...returns) : Math.max(...returns),
    });
  }
  return [...all, ...appends.values()];
}

/** Requests, answers, calls of the disk and timers of one world, as a hash of each. */
export async function traceOf(seed: number): Promise<string> {
  const world = new World(seed, worldTotals());
  await world.run();
  return world.trace;
}
