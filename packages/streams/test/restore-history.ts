/**
 * Random histories of the stream engine over a database that is backed up all the while: appends
 * with producers and `Stream-Seq`, closures, forks, deletes, expiry, restore points, snapshots and
 * checkpoints at any moment, kills and power cuts in between, and restores to an earlier point from
 * which life goes on. What is left is a repository, and for every LSN of its history the state of
 * the model: one commit is one LSN.
 */
import {
  isHoldfastError,
  type KeyRing,
  type Lsn,
  SILENT,
  sleep,
  systemError,
  systemErrorCode,
} from '@holdfast/core';
import { type Database, openDatabase, restoreDatabase } from '@holdfast/database';
import { MemoryObjectStore } from '@holdfast/objects';
import { isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { Messages } from '../src/stream-store.ts';
import { foundIn, shownOf } from './restored-streams.ts';
import { type Expected, type ModelState, StreamModel } from './stream-model.ts';

export interface HistorySettings {
  readonly seed: number;
  /** LSNs of the history, at least. */
  readonly commits: number;
  readonly keys?: KeyRing | undefined;
}

export interface RestoreHistory {
  readonly store: MemoryObjectStore;
  readonly keys: KeyRing | undefined;
  /** The model after each LSN, from 1 on. */
  readonly states: ReadonlyMap<number, ModelState>;
  readonly lastLsn: number;
  /** Where a restore point was set, by its name. */
  readonly points: ReadonlyMap<string, number>;
  readonly snapshots: number;
  readonly crashes: number;
  /** Restores from which life went on. */
  readonly restores: number;
}

interface Node {
  readonly database: Database;
  readonly engine: StreamEngine;
}

const PATHS = ['a', 'b', 'c/d', 'constructor', 'e'];
const MORTAL = 'mortal';
const TTL_SECONDS = 10;
/** Longer than that, and than the grace after a start. */
const EXPIRY_WAIT_MS = 30_000;
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
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'ABORTED']);

export async function recordHistory(settings: HistorySettings): Promise<RestoreHistory> {
  const recording = new Recording(settings);
  await recording.run(settings.commits);
  return recording.result();
}

class Recording {
  readonly #random: SeededRandom;
  readonly #world: SimClock;
  readonly #store: MemoryObjectStore;
  readonly #keys: KeyRing | undefined;
  readonly #states = new Map<number, ModelState>();
  readonly #points = new Map<string, number>();
  #model = new StreamModel();
  #clock: SimClock;
  #fs = new SimFs();
  #dir = '/data';
  #lastLsn = 0;
  #commits = 0;
  #sent: Promise<void>[] = [];
  #snapshots = 0;
  #crashes = 0;
  #restores = 0;

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

  result(): RestoreHistory {
    return {
      store: this.#store,
      keys: this.#keys,
      states: this.#states,
      lastLsn: this.#lastLsn,
      points: this.#points,
      snapshots: this.#snapshots,
      crashes: this.#crashes,
      restores: this.#restores,
    };
  }

  get #components() {
    const keyed = this.#keys === undefined ? {} : { keys: this.#keys };
    const { clock, fileSystem } = { clock: this.#clock, fileSystem: this.#fs };
    return { clock, fileSystem, random: this.#random, logger: SILENT, ...keyed };
  }

  /** The next life begins on what this one left: also after a clean stop. */
  #end(): void {
    const isDead = !this.#fs.alive || this.#random.integer(2) === 0;
    if (isDead) this.#crashes++;
    const loses = this.#random.integer(2) === 0;
    this.#fs = loses ? this.#fs.powerCut(this.#random) : this.#fs.kill();
    this.#clock = this.#clock.nextIncarnation();
    this.#sent = [];
  }

  async #live(toTheEnd: boolean): Promise<void> {
    try {
      const node = await this.#open();
      await this.#recovered(node);
      const steps = toTheEnd ? 10 : 40 + this.#random.integer(160);
      for (let i = 0; i < steps; i++) await this.#step(node);
      await this.#quiet(node);
      if (toTheEnd) await node.database.archive?.flush();
      if (!toTheEnd && this.#random.integer(2) === 0) return; // killed as it stands
      node.engine.close();
      await node.database.close();
    } catch (error) {
      if (toTheEnd || !isExpected(error)) throw error;
    }
  }

  async #open(): Promise<Node> {
    const settings = this.#random.integer(2) === 0 ? { tailCacheBytesPerStream: 0 } : {};
    const engine = createStreamEngine(this.#components, settings);
    const components = { ...this.#components, objects: this.#store };
    const database = await openDatabase(components, { ...SETTINGS, dir: this.#dir }, [engine]);
    return { database, engine };
  }

  /** How many of the commits in flight there are, the LSN says. */
  async #recovered(node: Node): Promise<void> {
    const { database, engine } = node;
    const kept = database.appliedLsn - this.#lastLsn;
    if (kept < 0 || kept > this.#model.inFlight) {
      throw new Error(`recovered lsn=${database.appliedLsn} acknowledged=${this.#lastLsn}`);
    }
    for (let i = 0; i < kept; i++) this.#settled();
    this.#model.crash(0);
    const [found, shown] = [await foundIn(engine), shownOf(this.#model.durable)];
    if (found !== shown) throw new Error(`recovered=${found} model=${shown}`);
    if (this.#model.find(this.#model.durable, MORTAL) !== undefined) await this.#reap(node);
  }

  /** From an earlier point: what came after it is another history. */
  async #goBack(): Promise<void> {
    if (this.#lastLsn === 0) return;
    const lsn = this.#lastLsn - this.#random.integer(Math.min(this.#lastLsn, MOST_GIVEN_UP));
    const into = `/restored-${++this.#restores}`;
    const target = { lsn: lsn as Lsn };
    const components = { ...this.#components, objects: this.#store };
    try {
      await restoreDatabase(components, { into, target });
    } catch (error) {
      // It died before it archived that.
      if (!isHoldfastError(error) || error.code !== 'RESTORE_TARGET_UNREACHABLE') throw error;
      this.#restores--;
      return;
    }
    this.#dir = into;
    for (let gone = lsn + 1; gone <= this.#lastLsn; gone++) this.#states.delete(gone);
    for (const [name, at] of this.#points) if (at > lsn) this.#points.delete(name);
    this.#lastLsn = lsn;
    this.#model.history = [structuredClone(this.#states.get(lsn) as ModelState)];
    this.#model.crash(0);
  }

  async #step(node: Node): Promise<void> {
    const { engine, database } = node;
    const dice = this.#random.integer(200);
    if (dice < 110) this.#append(engine);
    else if (dice < 135) await this.#create(node);
    else if (dice < 155) await this.#fork(node);
    else if (dice < 168) await this.#delete(node);
    else if (dice < 172) await database.checkpoint();
    else if (dice < 175) await this.#snapshot(node);
    else if (dice < 177) await this.#mark(node);
    else if (dice < 179) await this.#expire(node);
    else if (dice < 181) await database.archive?.flush();
    else if (dice < 184) await database.compact();
    else await sleep(this.#clock, this.#random.integer(1_500));
    if (this.#random.integer(3) === 0) await this.#quiet(node);
  }

  async #snapshot({ database }: Node): Promise<void> {
    await database.snapshots?.create({});
    this.#snapshots++;
  }

  /** A record of its own that changes nothing. */
  async #mark(node: Node): Promise<void> {
    await this.#quiet(node);
    const name = `point ${this.#random.integer(50)}`;
    this.#model.history.push(structuredClone(this.#model.ahead));
    const lsn = await node.database.mark(name);
    this.#settled();
    if (lsn !== this.#lastLsn) throw new Error(`a restore point has lsn=${lsn}`);
    this.#points.set(name, lsn);
  }

  /** A stream that lives only as long as this: time passes at other moments too. */
  async #expire(node: Node): Promise<void> {
    await this.#quiet(node);
    await this.#make(node, MORTAL, TTL_SECONDS);
    this.#append(node.engine, MORTAL);
    await this.#quiet(node);
    await this.#reap(node);
  }

  async #reap({ database }: Node): Promise<void> {
    this.#model.nowMs += EXPIRY_WAIT_MS;
    const commits = this.#model.reap();
    await sleep(this.#clock, EXPIRY_WAIT_MS);
    if (database.state !== 'open') throw systemError('EIO', 'reap', MORTAL);
    for (let i = 0; i < commits; i++) this.#settled();
  }

  #append(engine: StreamEngine, path: string = this.#pick(PATHS)): void {
    const stream = this.#model.find(this.#model.ahead, path);
    if (stream === undefined) return;
    const { json } = stream;
    const texts = this.#texts(json, 1);
    const close = this.#random.integer(25) === 0;
    const id = this.#pick(['p', 'q']);
    const known = stream.producers[`$${id}`];
    const epoch =
      (known?.epoch ?? 0) + (known !== undefined && this.#random.integer(9) === 0 ? 1 : 0);
    const seq = known?.epoch === epoch ? known.seq + 1 : 0;
    const producer = this.#random.integer(2) === 0 ? undefined : { id, epoch, seq };
    const next = Number(stream.streamSeq ?? 1e6) + 1;
    const streamSeq = this.#random.integer(4) === 0 ? `${next}` : undefined;
    const expected = this.#model.append({ path, json, texts, close, producer, streamSeq });
    const sent = engine.append({
      path,
      close,
      contentType: typeOf(json),
      messages: () => messagesOf(texts),
      ...(producer === undefined ? {} : { producer }),
      ...(streamSeq === undefined ? {} : { streamSeq }),
    });
    this.#track(expected, sent);
  }

  async #create(node: Node): Promise<void> {
    await this.#quiet(node);
    await this.#make(node, this.#pick(PATHS), undefined);
  }

  async #make(node: Node, path: string, ttlSeconds: number | undefined): Promise<void> {
    const json = this.#random.integer(2) === 0;
    const initial = this.#texts(json, 0);
    const closed = ttlSeconds === undefined && this.#random.integer(12) === 0;
    const shape = { path, json, closed, ttlSeconds, initial, fork: undefined };
    const expected = this.#model.create(shape);
    const sent = node.engine.create({
      path,
      contentType: typeOf(json),
      closed,
      ...(initial.length === 0 ? {} : { initial: () => messagesOf(initial) }),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
    });
    this.#track(expected, sent);
    await this.#quiet(node);
  }

  async #fork(node: Node): Promise<void> {
    await this.#quiet(node);
    const source = this.#pick(PATHS);
    const path = this.#pick(PATHS);
    const stream = this.#model.find(this.#model.durable, source);
    if (stream === undefined || path === source) return;
    const { json } = stream;
    const messages = this.#random.integer(stream.messages.length + 1);
    const before = stream.messages.slice(0, messages);
    const at = { messages, bytes: before.reduce((sum, { text }) => sum + text.length, 0) };
    const subOffset = this.#random.integer(3) === 0 && messages < stream.messages.length ? 1 : 0;
    const fork = { source, at, subOffset };
    const shape = { path, json, closed: false, ttlSeconds: undefined, initial: [], fork };
    const expected = this.#model.create(shape);
    const contentType = typeOf(json);
    this.#track(expected, node.engine.create({ path, contentType, closed: false, fork }));
    await this.#quiet(node);
  }

  async #delete(node: Node): Promise<void> {
    await this.#quiet(node);
    const path = this.#pick(PATHS);
    this.#track(this.#model.delete(path), node.engine.delete(path));
  }

  #track(expected: Expected, sent: Promise<unknown>): void {
    const tracked = sent.then(
      () => {
        if (expected.kind === 'refused') throw new Error(`not refused with ${expected.code}`);
        if (expected.kind === 'committed') this.#settled();
      },
      (error: unknown) => {
        const code = isHoldfastError(error) ? error.code : undefined;
        if (expected.kind !== 'refused' || expected.code !== code) throw error;
      },
    );
    tracked.catch(() => undefined); // heard of in #quiet
    this.#sent.push(tracked);
  }

  /** One commit is durable: its LSN is the next one. */
  #settled(): void {
    this.#model.settle(1);
    this.#states.set(++this.#lastLsn, this.#model.durable);
    this.#commits++;
  }

  async #quiet({ database }: Node): Promise<void> {
    const results = await Promise.allSettled(this.#sent.splice(0));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    if (database.appliedLsn !== this.#lastLsn) {
      throw new Error(`lsn=${database.appliedLsn} commits of the model=${this.#lastLsn}`);
    }
  }

  #texts(json: boolean, least: number): string[] {
    const count = least + this.#random.integer(json ? 4 : 2 - least);
    const fill = this.#pick([1, 7, 60, 60, 700]);
    return Array.from({ length: count }, (_, i) => {
      const text = `${this.#commits % 89}${i}`.repeat(fill);
      return json ? `"${text}",` : text;
    });
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(from.length)] as T;
  }
}

export function typeOf(json: boolean): string {
  return json ? 'application/json' : 'text/plain';
}

export function messagesOf(texts: readonly string[]): Messages {
  return { bytes: Buffer.from(texts.join('')), lengths: texts.map((text) => text.length) };
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
