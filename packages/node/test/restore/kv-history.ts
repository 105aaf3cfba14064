/**
 * Random histories of key-value stores, with a stream beside them, in a database of a node's engines
 * that is backed up all the while: puts of every size, deletes, batches, conditions and expiry,
 * restore points, snapshots and checkpoints at any moment, kills and power cuts in between, and
 * restores to an earlier point from which life goes on. What is left is a repository, and for the
 * LSNs of its history the state at each.
 *
 * One commit is one LSN, and the numbers of changes say in which order commits lie in the log. Of
 * what was on its way when a process ended nobody knows the order: there the state after it is taken
 * as it is found, if it can be one, and the LSNs before it in that gap are passed over.
 */
import {
  isHoldfastError,
  type KeyRing,
  type Lsn,
  SILENT,
  sleep,
  systemErrorCode,
} from '@holdfast/core';
import { type Database, openDatabase, restoreDatabase } from '@holdfast/database';
import type { KvAck, KvChange, KvOperation, KvStore } from '@holdfast/kv';
import { MemoryObjectStore } from '@holdfast/objects';
import { controlEndpoints, type WebhookSender } from '@holdfast/streams';
import { isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { NodeEngines } from '../../src/node-engines.ts';
import {
  contentOf,
  type EntryState,
  type HistoryState,
  holdsMessages,
  NOTHING,
  withEntry,
} from './history-state.ts';

export interface HistorySettings {
  readonly seed: number;
  /** LSNs of the history, at least. */
  readonly commits: number;
  readonly keys?: KeyRing | undefined;
}

export interface KvHistory {
  readonly store: MemoryObjectStore;
  readonly keys: KeyRing | undefined;
  readonly states: ReadonlyMap<number, HistoryState>;
  /** Of entries that were seen alive, by version. */
  readonly facts: ReadonlyMap<number, EntryFacts>;
  readonly lastLsn: number;
  readonly snapshots: number;
  readonly crashes: number;
  /** Restores from which life went on. */
  readonly restores: number;
  readonly expired: number;
}

export interface EntryFacts {
  readonly seq: number;
  readonly expiresAtMs: number | undefined;
}

interface Life {
  readonly database: Database;
  readonly engines: NodeEngines;
  readonly stores: ReadonlyMap<string, KvStore>;
  readonly feed: Feed;
}

/** What the change feeds of all stores said in this life. */
interface Feed {
  /** Number of the newest change that was heard of. */
  last: number;
  /** Removed by the engine itself, and not taken into the model yet. */
  expired: (KvChange & { readonly store: string })[];
}

/** A call on its way. */
interface Sent {
  readonly store: string;
  readonly operations: readonly KvOperation[];
  readonly acks: Promise<readonly KvAck[]>;
}

export const STORES = ['one', 'two', '_own'];
export const STREAM = 'beside';
const KEYS = ['a', 'b', 'ab', 'c/d', '\uffff', '😀', '__proto__', 'e'];
const MORTAL = 'mortal';
const TTL_MS = 5_000;
const LASTING_MS = 1e12;
const PURGE = { purgeIntervalMs: 500, purgeStartGraceMs: 0 };
/** LSNs that a restore in the middle of a history goes back. */
const MOST_GIVEN_UP = 60;
const SETTINGS = {
  shardCount: 2,
  checkpointLogBytes: 48 * 1024,
  segmentTargetBytes: 40 * 1024,
  preallocateBytes: 8 * 1024,
  diskReserveBytes: 0,
  backup: { archiveIntervalMs: 2_000, archivePieceBytes: 6_000 },
} as const;
const NOBODY: WebhookSender = {
  assertUrl: () => undefined,
  send: () => Promise.reject(new Error('nothing is delivered')),
};
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'ABORTED']);

export async function recordKvHistory(settings: HistorySettings): Promise<KvHistory> {
  const recording = new Recording(settings);
  await recording.run(settings.commits);
  return recording.result();
}

class Recording {
  readonly #random: SeededRandom;
  readonly #world: SimClock;
  readonly #store: MemoryObjectStore;
  readonly #keys: KeyRing | undefined;
  readonly #states = new Map<number, HistoryState>();
  readonly #facts = new Map<number, EntryFacts>();
  #state: HistoryState = NOTHING;
  #clock: SimClock;
  #fs = new SimFs();
  #dir = '/data';
  #lastLsn = 0;
  #sent: Sent[] = [];
  #appending: string | undefined;
  #written = 0;
  #snapshots = 0;
  #crashes = 0;
  #restores = 0;
  #expired = 0;

  constructor({ seed, keys }: HistorySettings) {
    this.#random = new SeededRandom(seed);
    this.#world = new SimClock(this.#random);
    this.#clock = this.#world.sibling();
    this.#store = new MemoryObjectStore({ clock: this.#world });
    this.#keys = keys;
  }

  async run(commits: number): Promise<void> {
    while (this.#lastLsn < commits) {
      const dies = this.#random.integer(4) > 0;
      const nth = 200 + this.#random.integer(2_500);
      const fault = dies ? this.#fs.disk.faults.plan({ effect: 'halt', nth }) : undefined;
      await this.#clock.run(this.#live(false));
      fault?.remove();
      this.#end();
      if (this.#random.integer(4) === 0) await this.#clock.run(this.#goBack());
    }
    await this.#clock.run(this.#live(true));
  }

  result(): KvHistory {
    return {
      store: this.#store,
      keys: this.#keys,
      states: this.#states,
      facts: this.#facts,
      lastLsn: this.#lastLsn,
      snapshots: this.#snapshots,
      crashes: this.#crashes,
      restores: this.#restores,
      expired: this.#expired,
    };
  }

  get #components() {
    const keyed = this.#keys === undefined ? {} : { keys: this.#keys };
    const { clock, fileSystem } = { clock: this.#clock, fileSystem: this.#fs };
    return { clock, fileSystem, random: this.#random, logger: SILENT, ...keyed };
  }

  /** The next life begins on what this one left: also after a clean stop. */
  #end(): void {
    if (!this.#fs.alive || this.#random.integer(2) === 0) this.#crashes++;
    const loses = this.#random.integer(2) === 0;
    this.#fs = loses ? this.#fs.powerCut(this.#random) : this.#fs.kill();
    this.#clock = this.#clock.nextIncarnation();
  }

  async #live(toTheEnd: boolean): Promise<void> {
    try {
      const life = await this.#open();
      await this.#recovered(life);
      const steps = toTheEnd ? 10 : 20 + this.#random.integer(100);
      for (let i = 0; i < steps; i++) await this.#step(life);
      await this.#quiet(life);
      if (toTheEnd) await life.database.archive?.flush();
      if (!toTheEnd && this.#random.integer(2) === 0) return; // killed as it stands
      await life.engines.close();
      await life.database.close();
    } catch (error) {
      if (toTheEnd || !isExpected(error)) throw error;
    }
  }

  async #open(): Promise<Life> {
    const engines = new NodeEngines(
      {
        ...this.#components,
        sender: NOBODY,
        endpoints: controlEndpoints('/', () => undefined),
      },
      { kv: { ...PURGE, ...(this.#random.integer(2) === 0 ? { entryCacheBytes: 0 } : {}) } },
    );
    engines.subscriptions.drain();
    const components = { ...this.#components, objects: this.#store };
    const settings = { ...SETTINGS, dir: this.#dir };
    const database = await openDatabase(components, settings, engines.all);
    const stores = new Map(STORES.map((name) => [name, engines.kv.store(name)]));
    const feed: Feed = { last: engines.kv.stats.lastChange, expired: [] };
    const life: Life = { database, engines, stores, feed };
    for (const name of STORES) void follow(life, name);
    return life;
  }

  /** What was on its way happened or not; what was acknowledged is there. */
  async #recovered(life: Life): Promise<void> {
    await sleep(this.#clock, TTL_MS + 3 * PURGE.purgeIntervalMs);
    await this.#expiredSince(life); // found removed
    const lsn = life.database.appliedLsn;
    // Numbers above that, of what was lost or given up, are given anew.
    const { lastChange } = life.engines.kv.stats;
    for (const version of [...this.#facts.keys()]) {
      if (version > lastChange) this.#facts.delete(version);
    }
    const found = await this.#found(life);
    if (lsn < this.#lastLsn) throw new Error(`recovered lsn=${lsn} acknowledged=${this.#lastLsn}`);
    this.#assertPossible(found);
    if (lsn === this.#lastLsn && contentOf(found) !== contentOf(this.#state)) {
      throw new Error(`recovered=${contentOf(found)} model=${contentOf(this.#state)} lsn=${lsn}`);
    }
    this.#sent = [];
    this.#appending = undefined;
    this.#state = found;
    this.#lastLsn = lsn;
    if (lsn > 0) this.#states.set(lsn, found);
  }

  /** What no call on its way was about is as it was acknowledged. */
  #assertPossible(found: HistoryState): void {
    const about = new Set<string>();
    for (const { store, operations } of this.#sent) {
      for (const { key } of operations) about.add(`${store} ${key}`);
    }
    for (const store of STORES) {
      const keys = new Set([...(this.#state.stores.get(store)?.keys() ?? [])]);
      for (const key of found.stores.get(store)?.keys() ?? []) keys.add(key);
      for (const key of keys) {
        if (about.has(`${store} ${key}`) || key === MORTAL) continue;
        const [is, was] = [found, this.#state].map((state) => state.stores.get(store)?.get(key));
        if (JSON.stringify(is) === JSON.stringify(was)) continue;
        throw new Error(`${store} ${key} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
      }
    }
    if (!holdsMessages(found, this.#state.messages, this.#appending)) {
      throw new Error(`the stream holds ${found.messages.join()}`);
    }
  }

  async #found({ stores, engines }: Life): Promise<HistoryState> {
    let state: HistoryState = NOTHING;
    for (const [name, store] of stores) {
      for await (const { key, value, version, seq, expiresAtMs } of store.entries()) {
        this.#facts.set(version, { seq, expiresAtMs });
        const text = Buffer.from(value).toString();
        state = withEntry(state, name, key, { text, version });
      }
    }
    return { ...state, messages: await messagesIn(engines) };
  }

  /** From an earlier point: what came after it is another history. */
  async #goBack(): Promise<void> {
    const possible = [...this.#states.keys()].filter((lsn) => lsn > this.#lastLsn - MOST_GIVEN_UP);
    const lsn = possible[this.#random.integer(Math.max(possible.length, 1))];
    if (lsn === undefined) return;
    const into = `/restored-${++this.#restores}`;
    const components = { ...this.#components, objects: this.#store };
    try {
      await restoreDatabase(components, { into, target: { lsn: lsn as Lsn } });
    } catch (error) {
      // It died before it archived that.
      if (!isHoldfastError(error) || error.code !== 'RESTORE_TARGET_UNREACHABLE') throw error;
      this.#restores--;
      return;
    }
    this.#dir = into;
    for (const at of [...this.#states.keys()]) if (at > lsn) this.#states.delete(at);
    this.#lastLsn = lsn;
    this.#state = this.#states.get(lsn) as HistoryState;
    this.#sent = [];
    this.#appending = undefined;
  }

  async #step(life: Life): Promise<void> {
    const { database } = life;
    const dice = this.#random.integer(200);
    if (dice < 90) this.#put(life);
    else if (dice < 115) this.#batch(life);
    else if (dice < 135) this.#delete(life);
    else if (dice < 160) await this.#append(life);
    else if (dice < 165) await database.checkpoint();
    else if (dice < 169) await this.#snapshot(life);
    else if (dice < 172) await this.#mark(life);
    else if (dice < 176) await this.#expire(life);
    else if (dice < 179) await database.archive?.flush();
    else if (dice < 183) await database.compact();
    else await sleep(this.#clock, this.#random.integer(1_500));
    if (this.#random.integer(3) === 0) await this.#quiet(life);
  }

  async #snapshot({ database }: Life): Promise<void> {
    await database.snapshots?.create({});
    this.#snapshots++;
  }

  async #mark(life: Life): Promise<void> {
    await this.#quiet(life);
    const lsn = await life.database.mark(`point ${this.#random.integer(50)}`);
    if (lsn !== this.#lastLsn + 1) throw new Error(`a restore point has lsn=${lsn}`);
    this.#commit(this.#state);
  }

  async #append(life: Life): Promise<void> {
    await this.#quiet(life);
    const text = `${++this.#written};`;
    this.#appending = text;
    const { streams } = life.engines;
    const messages = () => ({ bytes: Buffer.from(text), lengths: [text.length] });
    const about = { path: STREAM, contentType: 'text/plain' };
    if (this.#state.messages.length > 0) await streams.append({ ...about, messages, close: false });
    else await streams.create({ ...about, closed: false, initial: messages });
    this.#commit({ ...this.#state, messages: [...this.#state.messages, text] });
    this.#appending = undefined;
  }

  /** Entries that live only as long as this: time passes at other moments too. */
  async #expire(life: Life): Promise<void> {
    await this.#quiet(life);
    for (const store of STORES.slice(0, 1 + this.#random.integer(STORES.length))) {
      const value = this.#value();
      this.#send(life, store, [{ type: 'put', key: MORTAL, value, ttlMs: TTL_MS }]);
    }
    await this.#quiet(life);
    await sleep(this.#clock, TTL_MS + 3 * PURGE.purgeIntervalMs);
    await this.#quiet(life);
  }

  #put(life: Life): void {
    const lasts = this.#random.integer(5) > 0;
    const value = this.#value();
    const ttl = lasts ? {} : { ttlMs: LASTING_MS };
    this.#send(life, this.#pick(STORES), [
      { type: 'put', key: this.#pick(KEYS), value, ...ttl, ...this.#condition() },
    ]);
  }

  #condition(): { readonly ifAbsent?: true } {
    return this.#random.integer(6) === 0 ? { ifAbsent: true } : {};
  }

  #delete(life: Life): void {
    this.#send(life, this.#pick(STORES), [{ type: 'del', key: this.#pick(KEYS) }]);
  }

  #batch(life: Life): void {
    const keys = new Set(
      Array.from({ length: 2 + this.#random.integer(3) }, () => this.#pick(KEYS)),
    );
    const operations = [...keys].map((key): KvOperation =>
      this.#random.integer(3) === 0
        ? { type: 'del', key }
        : { type: 'put', key, value: this.#value() },
    );
    this.#send(life, this.#pick(STORES), operations);
  }

  #send(life: Life, store: string, operations: readonly KvOperation[]): void {
    const acks = (life.stores.get(store) as KvStore).batch(operations);
    acks.catch(() => undefined); // heard of in #quiet
    this.#sent.push({ store, operations, acks });
  }

  /** Everything called has ended: its commits, and those of what expired, in the order of the log. */
  async #quiet(life: Life): Promise<void> {
    const sent = this.#sent;
    const results = await Promise.allSettled(sent.map(({ acks }) => acks));
    const commits: { readonly at: number; readonly apply: () => void }[] = [];
    for (const [index, result] of results.entries()) {
      const { store, operations } = sent[index] as Sent;
      if (result.status === 'rejected') {
        if (isHoldfastError(result.reason) && result.reason.code === 'PRECONDITION_FAILED')
          continue;
        throw result.reason;
      }
      const acks = result.value;
      const at = acks.find(({ changed }) => changed)?.version;
      if (at !== undefined) {
        commits.push({ at, apply: () => this.#commit(this.#after(store, operations, acks)) });
      }
    }
    for (const { seq, store, key } of await this.#expiredSince(life)) {
      commits.push({
        at: seq,
        apply: () => this.#commit(withEntry(this.#state, store, key, undefined)),
      });
    }
    this.#sent = [];
    for (const { apply } of commits.toSorted((a, b) => a.at - b.at)) apply();
    if (life.database.appliedLsn !== this.#lastLsn) {
      throw new Error(`lsn=${life.database.appliedLsn} commits of the model=${this.#lastLsn}`);
    }
    for (const [name, store] of life.stores) {
      for await (const { key, version, seq, expiresAtMs } of store.entries()) {
        this.#facts.set(version, { seq, expiresAtMs });
        const { version: known } = this.#state.stores.get(name)?.get(key) ?? {};
        if (known !== version) throw new Error(`${name} ${key} is ${version}, wanted ${known}`);
      }
    }
  }

  #after(store: string, operations: readonly KvOperation[], acks: readonly KvAck[]): HistoryState {
    let state = this.#state;
    for (const [index, operation] of operations.entries()) {
      const { changed, version } = acks[index] as KvAck;
      if (!changed) continue;
      state = withEntry(state, store, operation.key, entryOf(operation, version));
    }
    return state;
  }

  /** Since they were asked for last; each is a commit of its own. */
  async #expiredSince({ engines, feed }: Life): Promise<Feed['expired']> {
    while (feed.last < engines.kv.stats.lastChange && this.#fs.alive) {
      await this.#clock.yieldPoint();
    }
    const { expired } = feed;
    feed.expired = [];
    this.#expired += expired.length;
    return expired;
  }

  #commit(state: HistoryState): void {
    this.#state = state;
    this.#states.set(++this.#lastLsn, state);
  }

  /** No value twice. */
  #value(): Buffer {
    const length = this.#pick([1, 40, 300, 5_000]);
    return Buffer.from(`${++this.#written}.`.repeat(length).slice(0, Math.max(length, 8)));
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(from.length)] as T;
  }
}

function entryOf(operation: KvOperation, version: number): EntryState | undefined {
  if (operation.type === 'del') return undefined;
  return { text: Buffer.from(operation.value).toString(), version };
}

/** Hears every change of a store until the life ends. */
async function follow({ stores, feed }: Life, name: string): Promise<void> {
  try {
    for await (const change of (stores.get(name) as KvStore).watch()) {
      feed.last = Math.max(feed.last, change.seq);
      if (change.type === 'expire') feed.expired.push({ ...change, store: name });
    }
  } catch {
    // Its life ended.
  }
}

export async function messagesIn({ streams }: NodeEngines): Promise<readonly string[]> {
  if (streams.list({ limit: 10 }).length === 0) return [];
  const slice = await streams.read({ path: STREAM, from: 'start', maxBytes: 1e9 });
  const parts: Buffer[] = [];
  for await (const pieces of slice.pieces())
    parts.push(...pieces.map((piece) => Buffer.from(piece)));
  return Buffer.concat(parts).toString().match(/\d+;/g) ?? [];
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
