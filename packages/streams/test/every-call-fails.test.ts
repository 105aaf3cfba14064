/**
 * One short history of streams over the real database, with each of its calls to the file system
 * failing once in each way: producers, closure, forks with a cascade, expiry, checkpoints, a start
 * behind a clean stop. What is found afterwards is what was acknowledged, or that and the one
 * change that was on its way.
 */
import { isHoldfastError, SILENT, sleep, systemErrorCode } from '@holdfast/core';
import { type Database, openDatabase } from '@holdfast/database';
import { type Fault, isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { Messages } from '../src/stream-store.ts';
import { textOf } from './engine-fixture.ts';
import { type Expected, StreamModel } from './stream-model.ts';

const MAX_CALLS = 3_000;
const TTL_SECONDS = 10;
/** Longer than that, and than the reaper's grace after a start. */
const EXPIRY_WAIT_MS = 30_000;

class Life {
  readonly fs: SimFs;
  readonly clock: SimClock;
  readonly model: StreamModel;
  engine!: StreamEngine;
  database!: Database;

  constructor(fs: SimFs, model: StreamModel) {
    this.fs = fs;
    this.clock = new SimClock(new SeededRandom(1));
    this.model = model;
  }

  async open(): Promise<void> {
    const components = { clock: this.clock, random: new SeededRandom(7), logger: SILENT };
    this.engine = createStreamEngine(components, { tailCacheBytesPerStream: 0 });
    this.database = await openDatabase(
      { ...components, fileSystem: this.fs },
      {
        dir: '/data',
        shardCount: 2,
        segmentTargetBytes: 16 * 1024,
        preallocateBytes: 8 * 1024,
        diskReserveBytes: 0,
      },
      [this.engine],
    );
  }

  async close(): Promise<void> {
    this.engine.close();
    await this.database.close();
  }

  async history(): Promise<void> {
    await this.open();
    await this.create('source', 'first'.repeat(900));
    await this.append('source', 'second', 0);
    await this.database.checkpoint();
    await this.create('fork', '', 'source');
    await this.create('mortal', '', 'source', TTL_SECONDS);
    await this.append('fork', 'x'.repeat(5_000), 0);
    await this.delete('source');
    await this.database.checkpoint();
    await this.append('fork', 'last', 1, true);
    await this.expire();
    await this.close();

    await this.open();
    await this.check();
    await this.create('source2', 'again');
    await this.delete('fork'); // and the source with it
    await this.database.checkpoint();
    await this.database.compact();
    await this.append('source2', 'end', 0);
    await this.close();
  }

  async create(path: string, text: string, source?: string, ttlSeconds?: number): Promise<void> {
    const fork = source === undefined ? undefined : { source, at: undefined, subOffset: 0 };
    const initial = text === '' ? [] : [text];
    const about = { path, closed: false };
    const expected = this.model.create({ ...about, json: false, ttlSeconds, initial, fork });
    await this.engine.create({
      ...about,
      contentType: 'text/plain',
      ...(text === '' ? {} : { initial: () => messagesOf(text) }),
      ...(source === undefined ? {} : { fork: { source, subOffset: 0 } }),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
    });
    this.#acknowledged(expected);
  }

  async append(path: string, text: string, seq: number, close = false): Promise<void> {
    const producer = { id: 'p', epoch: 0, seq };
    const about = { path, close, producer };
    const expected = this.model.append({
      ...about,
      json: false,
      texts: [text],
      streamSeq: undefined,
    });
    await this.engine.append({
      ...about,
      contentType: 'text/plain',
      messages: () => messagesOf(text),
    });
    this.#acknowledged(expected);
  }

  async delete(path: string): Promise<void> {
    const expected = this.model.delete(path);
    await this.engine.delete(path);
    this.#acknowledged(expected);
  }

  async expire(): Promise<void> {
    this.model.nowMs += EXPIRY_WAIT_MS;
    const commits = this.model.reap();
    expect(commits).toBe(1);
    await sleep(this.clock, EXPIRY_WAIT_MS);
    if (this.database.state === 'failed') await this.database.checkpoint(); // says why
    expect(this.paths()).not.toContain('mortal');
    this.model.settle(commits);
  }

  paths(): string[] {
    return this.engine.list({ limit: 100 }).map(({ path }) => path);
  }

  #acknowledged(expected: Expected): void {
    expect(expected.kind).toBe('committed');
    this.model.settle(1);
  }

  /** What is found is a state of the model, and every producer's retry is known. */
  async check(): Promise<void> {
    const found: unknown[] = [];
    for (const { path, closed, forks } of this.engine.list({ limit: 100 })) {
      const slice = await this.engine.read({ path, from: 'start', maxBytes: 1e9 });
      found.push([path, closed, forks, await textOf(slice)]);
    }
    const candidates = this.model.history.map((state) =>
      [...state.streams.values()]
        .filter((stream) => stream.state === 'active')
        .sort((a, b) => (a.path < b.path ? -1 : 1))
        .map((stream) => [
          stream.path,
          stream.closed,
          this.model.forks(state, stream.key),
          stream.messages.map(({ text }) => text).join(''),
        ]),
    );
    const kept = candidates.findIndex((state) => JSON.stringify(state) === JSON.stringify(found));
    if (kept < 0) expect(found).toEqual(candidates[0]);
    this.model.crash(kept);
    for (const stream of this.model.durable.streams.values()) {
      const { seq } = stream.producers['$p'] ?? {};
      if (stream.state !== 'active' || seq === undefined) continue;
      const again = await this.engine.append({
        path: stream.path,
        close: stream.closed,
        producer: { id: 'p', epoch: 0, seq },
        contentType: 'text/plain',
        messages: () => messagesOf('again'),
      });
      expect(again.outcome).toBe('duplicate');
    }
  }
}

function messagesOf(text: string): Messages {
  return { bytes: Buffer.from(text), lengths: [text.length] };
}

function isTyped(error: unknown): boolean {
  if (isHoldfastError(error)) return error.kind !== 'internal' && error.kind !== 'corrupt';
  return isSimDead(error) || systemErrorCode(error) !== undefined;
}

/** By the number of the call: odd ones before they take effect, even ones after. */
const WAYS: Record<string, (nth: number) => Fault> = {
  'ends the process': (nth) => ({ effect: 'halt', nth, performed: nth % 2 === 0 }),
  'fails with EIO': (nth) => ({ effect: 'EIO', nth, performed: nth % 2 === 0 }),
  'fails with ENOSPC': (nth) => ({ effect: 'ENOSPC', nth }),
  'fails with EMFILE': (nth) => ({ effect: 'EMFILE', nth }),
  'writes less than asked': (nth) => ({ effect: 'short-write', nth }),
  'fails to sync and forgets': (nth) => ({ effect: 'lying-sync', nth }),
};

async function runWith(fault: Fault): Promise<{ life: Life; error: unknown; fired: boolean }> {
  const life = new Life(new SimFs(), new StreamModel());
  const plan = life.fs.disk.faults.plan(fault);
  let error: unknown;
  try {
    await life.clock.run(life.history());
  } catch (caught) {
    error = caught;
  }
  life.fs.disk.faults.clear();
  return { life, error, fired: plan.fired > 0 };
}

describe('in a short history of streams', () => {
  it.each(Object.entries(WAYS))(
    'every call %s: a typed error, and the next start finds a state of the model',
    async (_name, way) => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const { life, error, fired } = await runWith(way(nth));
        if (!fired) break;
        if (error !== undefined && !isTyped(error)) {
          throw new Error(`call ${nth}`, { cause: error });
        }
        const fs = nth % 4 < 2 ? life.fs.kill() : life.fs.powerCut(new SeededRandom(nth));
        const next = new Life(fs, life.model);
        try {
          await next.clock.run(
            (async () => {
              await next.open();
              await next.check();
              expect(await next.database.verify()).toEqual([]);
              await next.close();
            })(),
          );
        } catch (cause) {
          throw new Error(`after call ${nth}`, { cause });
        }
      }
      expect(nth).toBeGreaterThan(10);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    240_000,
  );
});
