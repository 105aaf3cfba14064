/**
 * A virtual world of key-value stores: the whole node, its disk, a network and several clients that
 * put, replace, delete, batch and read over HTTP, through crashes and faults; all from one seed. Each
 * store is judged at the end: is there one order of all requests that explains what was answered?
 */
import {
  checkLinearizable,
  type HistoryRange,
  NO_NETWORK_FAULTS,
  operationsByKey,
  runHistories,
  SeededRandom,
  SimClock,
  SimNetwork,
  type SimRequest,
  UndecidedError,
} from '@holdfast/testkit';
import { HistoryRecorder } from './history-recorder.ts';
import {
  type Expected,
  judgeVersions,
  KV_REGISTER,
  type KvInput,
  type KvOperationRecord,
  type KvOutput,
  type KvWriteInput,
} from './kv-register.ts';
import { type ServerTotals, SimulatedServer } from './simulated-server.ts';
import { isNotDone, type Reply, WorldCaller } from './world-caller.ts';

export interface KvWorldTotals extends ServerTotals {
  histories: number;
  operations: number;
  /** Nobody heard what came of them. */
  unknown: number;
  /** Conditions that were not met. */
  refused: number;
  undecided: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only kv-world --histories 1 --seed';
/** By store: few, so that clients meet; a store of several is for batches. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  lonely: ['k'],
  'p.a-ir': ['a/b c', 'é'],
  constructor: ['__proto__'],
};
const CLIENTS = 7;
const STEPS = 14;
/** One takes the way of large values. */
const FILLS = [0, 0, 40, 300, 6_000];

export async function runKvWorlds(range: HistoryRange): Promise<KvWorldTotals> {
  const totals: KvWorldTotals = {
    ...{ histories: 0, operations: 0, unknown: 0, refused: 0, undecided: 0 },
    ...{ starts: 0, crashes: 0, crashesWhileStarting: 0 },
    ...{ orderlyCloses: 0, diskFaults: 0, checkpoints: 0 },
  };
  await runHistories(range, REPLAY, async (seed) => {
    await new KvWorld(seed, totals).run();
  });
  return totals;
}

class KvWorld {
  readonly #random: SeededRandom;
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #server: SimulatedServer;
  readonly #recorder: HistoryRecorder<KvInput, KvOutput>;
  readonly #totals: KvWorldTotals;
  #finishing = false;

  constructor(seed: number, totals: KvWorldTotals) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#totals = totals;
    this.#clock = new SimClock(random.fork());
    this.#network = new SimNetwork(this.#clock, random.fork(), {
      windowBytes: random.pick([300, 4096, 64 * 1024]),
      faults: {
        ...{ requestLost: 0.02, requestCut: 0.02, responseLost: 0.03 },
        ...{ responseCut: 0.03, repeated: 0.1, slow: 0.06 },
      },
    });
    this.#server = new SimulatedServer(random.fork(), this.#clock, this.#network, totals);
    this.#recorder = new HistoryRecorder(this.#clock);
  }

  /** Rejects when a promise is broken. */
  async run(): Promise<void> {
    await this.#clock.run(this.#story());
    const { operations } = this.#recorder;
    this.#totals.histories++;
    this.#totals.operations += operations.length;
    this.#totals.unknown += operations.filter(({ output }) => output === undefined).length;
    this.#totals.refused += operations.filter(({ output }) => output?.kind === 'refused').length;
  }

  async #story(): Promise<void> {
    const clients = Array.from({ length: CLIENTS }, (_, at) => this.#client(`c${at}`));
    const working = Promise.all(clients.map((client) => this.#work(client)));
    working.catch(() => undefined); // heard of below
    const lives = this.#random.between(2, 4);
    for (let life = 0; life < lives; life++) await this.#server.live();
    this.#network.faults = NO_NETWORK_FAULTS;
    const node = await this.#server.liveOn();
    this.#finishing = true;
    await working;
    await this.#readAll();
    const problems = await node.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    await this.#server.reopen();
    await this.#readAll();
    await this.#server.close();
    if (this.#server.complaints.length > 0) throw new Error(this.#server.complaints.join('; '));
    this.#judge();
  }

  async #work(client: KvWorldClient): Promise<void> {
    for (let step = 0; step < STEPS && !this.#finishing; step++) {
      await client.act();
      await client.pause(25);
    }
  }

  async #readAll(): Promise<void> {
    const client = this.#client('last');
    for (const [store, keys] of Object.entries(KEYS)) {
      for (const key of keys) {
        if ((await client.get(store, key)) === undefined) throw new Error(`no answer for ${key}`);
      }
    }
  }

  #client(name: string): KvWorldClient {
    const parts = { network: this.#network, history: this.#recorder };
    return new KvWorldClient(name, this.#random.fork(), this.#clock, parts);
  }

  #judge(): void {
    const history = this.#recorder.operations;
    judgeVersions(history);
    const stores = operationsByKey(history, (one) => (one as KvOperationRecord).path);
    for (const [store, operations] of stores) {
      try {
        const { linearizable, stuck } = checkLinearizable(KV_REGISTER, operations);
        if (linearizable) continue;
        const state = short([...(stuck?.state ?? [])]);
        const next = stuck?.next.map(short).join('\n  ');
        throw new Error(
          `store ${store} is not linearizable: ${stuck?.done} of ${operations.length} operations ` +
            `lead to ${state}, and none of these can follow\n  ${next}`,
        );
      } catch (error) {
        if (!(error instanceof UndecidedError)) throw error;
        this.#totals.undecided++;
      }
    }
  }
}

interface KvClientParts {
  readonly network: SimNetwork;
  readonly history: HistoryRecorder<KvInput, KvOutput>;
}

class KvWorldClient extends WorldCaller {
  readonly #parts: KvClientParts;
  /** The last entry that was seen, by store and key. */
  readonly #seen = new Map<string, { readonly value: string; readonly version: number }>();
  #sent = 0;

  constructor(name: string, random: SeededRandom, clock: SimClock, parts: KvClientParts) {
    super(name, random, clock);
    this.#parts = parts;
  }

  async act(): Promise<void> {
    const { random } = this;
    const store = random.pick(Object.keys(KEYS));
    const keys = KEYS[store] as readonly string[];
    const key = random.pick(keys);
    const dice = random.integer(10);
    if (dice < 3) await this.get(store, key);
    else if (dice < 5) await this.#put(store, key, { kind: 'anything' });
    else if (dice < 6) await this.#put(store, key, { kind: 'nothing' });
    else if (dice < 8) await this.#replace(store, key);
    else if (dice < 9 || keys.length === 1) await this.#delete(store, key);
    else await this.#batch(store, keys);
  }

  async get(store: string, key: string): Promise<KvOutput | undefined> {
    const request = { method: 'GET', target: targetOf(store, key), repeatable: true };
    const output = await this.#perform(store, { kind: 'get', key }, request);
    if (output?.kind === 'found') {
      const { value, version } = output;
      this.#seen.set(`${store} ${key}`, { value, version });
    }
    return output;
  }

  /** What it read before, or reads now: a lost update would show. */
  async #replace(store: string, key: string): Promise<void> {
    if (this.random.chance(0.5)) await this.get(store, key);
    const seen = this.#seen.get(`${store} ${key}`);
    if (seen !== undefined) await this.#put(store, key, { kind: 'value', ...seen });
  }

  async #put(
    store: string,
    key: string,
    expected: Expected & { readonly version?: number },
  ): Promise<void> {
    const value = this.#value();
    const { version } = expected;
    const headers: Record<string, string> = {};
    if (expected.kind === 'nothing') headers['if-none-match'] = '*';
    if (version !== undefined) headers['if-match'] = `"${version}"`;
    const output = await this.#perform(
      store,
      { kind: 'write', writes: [{ key, value, expected }] },
      {
        method: 'PUT',
        target: targetOf(store, key),
        headers,
        body: Buffer.from(value),
        // Sent twice, what has no version would be there under two.
        repeatable: version !== undefined,
      },
    );
    const given = output?.kind === 'done' ? output.versions[0] : undefined;
    if (given !== undefined) this.#seen.set(`${store} ${key}`, { value, version: given });
  }

  async #delete(store: string, key: string): Promise<void> {
    const seen = this.random.chance(0.5) ? this.#seen.get(`${store} ${key}`) : undefined;
    const expected: Expected =
      seen === undefined ? { kind: 'anything' } : { kind: 'value', value: seen.value };
    await this.#perform(
      store,
      { kind: 'write', writes: [{ key, value: undefined, expected }] },
      {
        method: 'DELETE',
        target: targetOf(store, key),
        headers: seen === undefined ? {} : { 'if-match': `"${seen.version}"` },
        repeatable: true,
      },
    );
  }

  async #batch(store: string, keys: readonly string[]): Promise<void> {
    const writes: KvWriteInput[] = [];
    const operations: unknown[] = [];
    for (const key of keys) {
      const seen = this.random.chance(0.3) ? this.#seen.get(`${store} ${key}`) : undefined;
      const expected: Expected =
        seen === undefined ? { kind: 'anything' } : { kind: 'value', value: seen.value };
      const condition = seen === undefined ? {} : { ifVersion: seen.version };
      const value = this.random.chance(0.25) ? undefined : this.#value();
      writes.push({ key, value, expected });
      operations.push(
        value === undefined
          ? { type: 'del', key, ...condition }
          : { type: 'put', key, text: value, ...condition },
      );
    }
    const body = Buffer.from(JSON.stringify({ operations }));
    await this.#perform(
      store,
      { kind: 'write', writes },
      {
        method: 'POST',
        target: `/v1/kv/${store}`,
        headers: { 'content-type': 'application/json' },
        body,
      },
    );
  }

  /** `undefined`: nobody knows, or it was not done. */
  async #perform(
    store: string,
    input: KvInput,
    request: SimRequest,
  ): Promise<KvOutput | undefined> {
    const { network, history } = this.#parts;
    const recorded = history.begin(this.name, store, input);
    const sent = network.send(this.name, request, {
      settled: () => recorded.settle(),
      repeated: () => recorded.repeated(),
    });
    const reply = await this.reply(sent, true, this.timeoutMs);
    if (reply === 'refused' || (reply !== 'unknown' && isNotDone(reply))) {
      recorded.drop();
      return undefined;
    }
    if (reply === 'unknown' || reply.status >= 500 || reply.cut) {
      if (input.kind === 'get') recorded.drop();
      return undefined;
    }
    const output = outputOf(input, reply);
    recorded.answered(output);
    return output;
  }

  /** No value twice. */
  #value(): string {
    return `${this.name}.${this.#sent++}.${'x'.repeat(this.random.pick(FILLS))}`;
  }
}

/** For people: without the filling of values. */
function short(what: unknown): string {
  return JSON.stringify(what).replaceAll(/x{9,}/g, '…');
}

function targetOf(store: string, key: string): string {
  return `/v1/kv/${store}/${encodeURIComponent(key)}`;
}

function outputOf(input: KvInput, { status, headers, body }: Reply): KvOutput {
  if (status === 412) return { kind: 'refused' };
  if (input.kind === 'get') {
    if (status === 404) return { kind: 'absent' };
    if (status === 200) {
      return { kind: 'found', value: body, version: Number(headers['holdfast-kv-version']) };
    }
  } else if (status < 300) {
    if (status === 200) {
      const { acks } = JSON.parse(body) as { acks: { version: number; changed: boolean }[] };
      return { kind: 'done', versions: acks.map(({ version }) => version) };
    }
    const version = headers['holdfast-kv-version'];
    if (version !== undefined) return { kind: 'done', versions: [Number(version)] };
    const changed = headers['holdfast-kv-changed'];
    return { kind: 'done', versions: [undefined], changed: changed === 'true' };
  }
  throw new Error(`unexpected answer to ${JSON.stringify(input)}: ${status} ${body}`);
}
