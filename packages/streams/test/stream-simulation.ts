/**
 * Crash histories of the stream engine over the real database on a simulated disk: creations,
 * appends with producers and `Stream-Seq`, closures, forks with sub-offsets, deletes with their
 * cascade, checkpoints and merges, with the power cut between any two calls. Every second history is
 * encrypted, and its keys are rotated.
 *
 * The oracle is `StreamModel`: after a crash the whole visible state (every stream's text,
 * closure, forks) must equal the model after some number of the commits that were in flight,
 * never less than what was acknowledged; and every producer's retry must be a duplicate exactly
 * when its append is there.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import {
  isHoldfastError,
  KeyRing,
  onCut,
  SILENT,
  sleep,
  systemError,
  systemErrorCode,
} from '@holdfast/core';
import { type Database, openDatabase, rebalanceDatabase } from '@holdfast/database';
import {
  type Fault,
  isSimDead,
  SeededRandom,
  SimClock,
  SimFs,
  type HistoryRange,
  runHistories,
} from '@holdfast/testkit';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { Messages } from '../src/stream-store.ts';
import { textOf } from './engine-fixture.ts';
import { type Expected, type ModelState, StreamModel, tailOf } from './stream-model.ts';

export interface StreamHistoryTotals {
  histories: number;
  crashes: number;
  commits: number;
  checkpoints: number;
}

/** What happens at a cut point: the process ends, the call fails, or others overtake it. */
export type CutWay = 'kill' | 'power cut' | 'throw' | 'delay';

export interface ArmedCut {
  readonly point: string;
  readonly way: CutWay;
  /** The how-manieth time it is passed. */
  readonly nth: number;
}

interface Node {
  readonly database: Database;
  readonly engine: StreamEngine;
}

const PATHS = ['a', 'b', 'c/d', 'constructor', 'e'];
/** And the seed. */
const REPLAY = 'npm run simulate -- --only streams --histories 1 --seed';
const SOURCE = 'deleted/source';
const MORTAL = 'mortal';
const TTL_SECONDS = 10;
/** Longer than that, and than the grace after a start. */
const EXPIRY_WAIT_MS = 30_000;
const DELAY_MS = 20;
const SETTINGS = {
  dir: '/data',
  checkpointLogBytes: 32 * 1024,
  segmentTargetBytes: 40 * 1024,
  preallocateBytes: 8 * 1024,
  diskReserveBytes: 0,
} as const;
const GENERATIONS = 4;
const STEPS = 16;
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED']);

export async function runStreamHistories(range: HistoryRange): Promise<StreamHistoryTotals> {
  const totals: StreamHistoryTotals = { histories: 0, crashes: 0, commits: 0, checkpoints: 0 };
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

/**
 * One history in which a cut point is armed, with expiry, rebalances and clean stops besides.
 * Returns whether the point was reached; rejects when a promise is broken.
 */
export async function runArmedHistory(seed: number, armed: ArmedCut): Promise<boolean> {
  const totals: StreamHistoryTotals = { histories: 0, crashes: 0, commits: 0, checkpoints: 0 };
  const history = new History(seed, totals, armed);
  const off = onCut((name) => history.passed(name));
  try {
    await history.run();
  } catch (cause) {
    const { point, way, nth } = armed;
    throw new Error(`broken seed=${seed} point=${point} way=${way} nth=${nth}: ${String(cause)}`, {
      cause,
    });
  } finally {
    off();
  }
  return history.fired;
}

class History {
  /** The armed point was reached. */
  fired = false;
  readonly #armed: ArmedCut | undefined;
  #passed = 0;
  #last = false;
  readonly #random: SeededRandom;
  readonly #totals: StreamHistoryTotals;
  readonly #model = new StreamModel();
  #fs = new SimFs();
  #clock: SimClock;
  #sent: Promise<void>[] = [];
  /** What the operator has, the active one first; empty in a plain history. */
  #keys: readonly KeyObject[];

  constructor(seed: number, totals: StreamHistoryTotals, armed?: ArmedCut) {
    this.#armed = armed;
    this.#keys = seed % 2 === 0 ? [keyOf(1)] : [];
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(this.#random);
    this.#totals = totals;
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      const last = generation === GENERATIONS - 1;
      const nth = 1 + this.#random.integer(220);
      const performed = this.#random.integer(2) === 0;
      this.#last = last;
      const dies = !last && (this.#armed === undefined || generation === 0);
      const fault = dies
        ? this.#fs.disk.faults.plan({ effect: 'halt', nth, performed, ...this.#inTheLog() })
        : undefined;
      await this.#clock.run(this.#live(last));
      fault?.remove();
      if (!last) this.#crash();
    }
  }

  /** An armed history begins with the end of a life within a write of the log, often torn. */
  #inTheLog(): Partial<Fault> {
    if (this.#armed === undefined) return {};
    const nth = 1 + this.#random.integer(20);
    return { nth, performed: false, operations: ['write'], path: (name) => name.includes('/log/') };
  }

  /** Hears of every cut point that is passed. */
  passed(name: string): void | Promise<void> {
    const { point, way, nth } = this.#armed ?? {};
    if (name !== point || this.#last || this.fired || ++this.#passed !== nth) return;
    this.fired = true;
    if (way === 'throw') throw systemError('EIO', 'cut', name);
    if (way === 'delay') return sleep(this.#clock, DELAY_MS);
    this.#fs.disk.halt();
  }

  #crash(): void {
    this.#totals.crashes++;
    const kill = this.#random.integer(4) === 0;
    const { way } = this.fired ? (this.#armed ?? {}) : {};
    const keeps = way === 'kill' || (way !== 'power cut' && kill);
    this.#fs = keeps ? this.#fs.kill() : this.#fs.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
  }

  async #live(toTheEnd: boolean): Promise<void> {
    const armed = this.#armed !== undefined;
    try {
      if (armed && this.#random.integer(3) === 0) await this.#rebalance();
      const node = await this.#open();
      await this.#recovered(node);
      for (let i = 0; i < STEPS; i++) {
        await this.#step(node);
        if (armed && this.#random.integer(6) === 0) await this.#expire(node);
      }
      await this.#quiet();
      if (toTheEnd || this.#random.integer(armed ? 2 : 3) === 0) {
        node.engine.close();
        await node.database.close();
      }
      if (toTheEnd) await this.#reopen();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  async #reopen(): Promise<void> {
    const node = await this.#open();
    await this.#recovered(node);
    const problems = await node.database.verify();
    if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
    node.engine.close();
    await node.database.close();
  }

  async #open(): Promise<Node> {
    const engine = this.#engine();
    const shards = this.#armed === undefined ? { shardCount: 2 } : {};
    const database = await openDatabase(this.#components, { ...SETTINGS, ...shards }, [engine]);
    return { database, engine };
  }

  get #components() {
    const keys = this.#keys.length === 0 ? {} : { keys: new KeyRing(this.#keys, this.#random) };
    return {
      clock: this.#clock,
      random: this.#random,
      logger: SILENT,
      fileSystem: this.#fs,
      ...keys,
    };
  }

  #engine(): StreamEngine {
    const settings = this.#random.integer(2) === 0 ? { tailCacheBytesPerStream: 0 } : {};
    return createStreamEngine(this.#components, settings);
  }

  async #rebalance(): Promise<void> {
    if ((await this.#fs.stat(`${SETTINGS.dir}/layout.json`)) === undefined) return;
    const shardCount = this.#pick([1, 2, 4]);
    const engine = this.#engine();
    await rebalanceDatabase(this.#components, { ...SETTINGS, shardCount }, [engine]);
    engine.close();
  }

  /** The last fork of a deleted stream expires: both go, in one commit of the reaper. */
  async #expire({ engine, database }: Node): Promise<void> {
    await this.#quiet();
    const { durable } = this.#model;
    const source = this.#model.find(durable, SOURCE);
    if (source === undefined) await this.#make(engine, SOURCE, undefined);
    if (source?.state !== 'softDeleted' && this.#model.find(durable, MORTAL) === undefined) {
      await this.#make(engine, MORTAL, SOURCE);
    }
    const kept = this.#model.find(this.#model.durable, SOURCE);
    if (kept?.state === 'active') {
      this.#track(this.#model.delete(SOURCE), engine.delete(SOURCE));
      await this.#quiet();
    }
    this.#model.nowMs += EXPIRY_WAIT_MS;
    const commits = this.#model.reap();
    await sleep(this.#clock, EXPIRY_WAIT_MS);
    if (database.state !== 'open') throw systemError('EIO', 'reap', MORTAL);
    if (engine.list({ limit: 100 }).some(({ path }) => path === MORTAL)) {
      throw new Error('what has expired was not reaped');
    }
    this.#model.settle(commits);
    this.#totals.commits += commits;
  }

  async #make(engine: StreamEngine, path: string, source: string | undefined): Promise<void> {
    const initial = source === undefined ? ['kept for its fork'] : [];
    const fork = source === undefined ? undefined : { source, at: undefined, subOffset: 0 };
    const ttlSeconds = source === undefined ? undefined : TTL_SECONDS;
    const expected = this.#model.create({
      path,
      json: false,
      closed: false,
      ttlSeconds,
      initial,
      fork,
    });
    const sent = engine.create({
      path,
      contentType: typeOf(false),
      closed: false,
      ...(initial.length === 0 ? {} : { initial: () => messagesOf(initial) }),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(source === undefined ? {} : { fork: { source, subOffset: 0 } }),
    });
    this.#track(expected, sent);
    await this.#quiet();
  }

  /** Finds out how many of the commits in flight there are, by the whole state. */
  async #recovered(node: Node): Promise<void> {
    const found = await this.#found(node.engine);
    const candidates = this.#model.history;
    const kept = candidates.findIndex((state) => JSON.stringify(this.#shown(state)) === found);
    if (kept < 0) {
      const wanted = JSON.stringify(this.#shown(this.#model.durable));
      throw new Error(`no state of the model is found=${found} acknowledged=${wanted}`);
    }
    this.#model.crash(kept);
    this.#sent = [];
    await this.#retryProducers(node.engine);
  }

  async #found(engine: StreamEngine): Promise<string> {
    const streams: unknown[] = [];
    for (const info of engine.list({ limit: 100 })) {
      const slice = await engine.read({ path: info.path, from: 'start', maxBytes: 1e9 });
      const text = await textOf(slice);
      streams.push([info.path, info.json, info.closed, info.forks, info.tail.messages, text]);
    }
    return JSON.stringify(streams);
  }

  #shown(state: ModelState): unknown[] {
    return [...state.streams.values()]
      .filter((stream) => stream.state === 'active')
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map((stream) => [
        stream.path,
        stream.json,
        stream.closed,
        this.#model.forks(state, stream.key),
        stream.messages.length,
        stream.messages.map(({ text }) => text).join(''),
      ]);
  }

  /** The last append of each producer, sent again: never twice, never lost. */
  async #retryProducers(engine: StreamEngine): Promise<void> {
    for (const stream of this.#model.durable.streams.values()) {
      if (stream.state !== 'active') continue;
      for (const [key, { epoch, seq }] of Object.entries(stream.producers)) {
        const result = await engine.append({
          path: stream.path,
          close: false,
          producer: { id: key.slice(1), epoch, seq },
          contentType: typeOf(stream.json),
          messages: () => messagesOf(['1,']),
        });
        const tail = tailOf(stream);
        if (result.outcome !== 'duplicate' || result.tail.messages !== tail.messages) {
          throw new Error(`a retry was taken for new path=${stream.path}`);
        }
      }
    }
  }

  /** The operator keeps the new key whatever comes of it. */
  async #rotate({ database }: Node): Promise<void> {
    this.#keys = [keyOf(this.#keys.length + 1), ...this.#keys];
    await database.rotateKeys(this.#keys);
  }

  async #step(node: Node): Promise<void> {
    if (this.#keys.length > 0 && this.#random.integer(16) === 0) await this.#rotate(node);
    const dice = this.#random.integer(20);
    if (dice < 10) this.#append(node.engine);
    else if (dice < 13) await this.#create(node.engine);
    else if (dice < 15) await this.#fork(node.engine);
    else if (dice < 17) await this.#delete(node.engine);
    else if (dice === 17) await this.#checkpoint(node.database);
    else if (dice === 18) await node.database.compact();
    else await this.#quiet();
    if (this.#random.integer(3) === 0) await this.#quiet();
  }

  async #checkpoint(database: Database): Promise<void> {
    await database.checkpoint();
    this.#totals.checkpoints++;
  }

  #append(engine: StreamEngine): void {
    const path = this.#pick(PATHS);
    const stream = this.#model.find(this.#model.ahead, path);
    if (stream === undefined) return;
    const texts = this.#texts(stream.json, 1);
    const close = this.#random.integer(12) === 0;
    const known = stream.producers['$p'];
    const producer =
      this.#random.integer(2) === 0
        ? undefined
        : { id: 'p', epoch: known?.epoch ?? 0, seq: (known?.seq ?? -1) + 1 };
    const { json } = stream;
    const streamSeq = this.#random.integer(4) === 0 ? `${1e6 + this.#model.inFlight}` : undefined;
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

  async #create(engine: StreamEngine): Promise<void> {
    await this.#quiet();
    const path = this.#pick(PATHS);
    const json = this.#random.integer(2) === 0;
    const initial = this.#texts(json, 0);
    const closed = this.#random.integer(8) === 0;
    const expected = this.#model.create({
      path,
      json,
      closed,
      ttlSeconds: undefined,
      initial,
      fork: undefined,
    });
    const sent = engine.create({
      path,
      contentType: typeOf(json),
      closed,
      ...(initial.length === 0 ? {} : { initial: () => messagesOf(initial) }),
    });
    this.#track(expected, sent);
  }

  /** Alone: where a fork begins may have to be read first. */
  async #fork(engine: StreamEngine): Promise<void> {
    await this.#quiet();
    const source = this.#pick(PATHS);
    const path = this.#pick(PATHS);
    const stream = this.#model.find(this.#model.durable, source);
    if (stream === undefined || path === source) return;
    const message = this.#random.integer(stream.messages.length + 1);
    const before = stream.messages.slice(0, message);
    const at = { messages: message, bytes: before.reduce((sum, m) => sum + m.text.length, 0) };
    const subOffset = this.#random.integer(3) === 0 && message < stream.messages.length ? 1 : 0;
    const { json } = stream;
    const fork = { source, at, subOffset };
    const closed = false;
    const expected = this.#model.create({
      path,
      json,
      closed,
      ttlSeconds: undefined,
      initial: [],
      fork,
    });
    this.#track(expected, engine.create({ path, contentType: typeOf(json), closed, fork }));
    await this.#quiet();
  }

  async #delete(engine: StreamEngine): Promise<void> {
    await this.#quiet();
    const path = this.#pick(PATHS);
    this.#track(this.#model.delete(path), engine.delete(path));
  }

  /** Acknowledged in order; a refusal must be the model's. */
  #track(expected: Expected, sent: Promise<unknown>): void {
    const tracked = sent.then(
      () => {
        if (expected.kind === 'refused') throw new Error(`not refused with ${expected.code}`);
        if (expected.kind !== 'committed') return;
        this.#model.settle(1);
        this.#totals.commits++;
      },
      (error: unknown) => {
        const code = isHoldfastError(error) ? error.code : undefined;
        if (expected.kind !== 'refused' || expected.code !== code) throw error;
      },
    );
    tracked.catch(() => undefined); // heard of in #quiet
    this.#sent.push(tracked);
  }

  async #quiet(): Promise<void> {
    const sent = this.#sent;
    this.#sent = [];
    const results = await Promise.allSettled(sent);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #texts(json: boolean, least: number): string[] {
    const count = least + this.#random.integer(json ? 4 : 2 - least);
    // Only what takes several sectors can be torn.
    const fill = this.#pick(this.#armed === undefined ? [1, 7, 60, 700] : [1, 60, 700, 700]);
    return Array.from({ length: count }, (_, i) => {
      const text = `${this.#model.ahead.streams.size}${i}`.repeat(fill);
      return json ? `"${text}",` : text;
    });
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(from.length)] as T;
  }
}

function typeOf(json: boolean): string {
  return json ? 'application/json' : 'text/plain';
}

function messagesOf(texts: readonly string[]): Messages {
  return { bytes: Buffer.from(texts.join('')), lengths: texts.map((text) => text.length) };
}

function keyOf(fill: number): KeyObject {
  return createSecretKey(Buffer.alloc(32, fill));
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
