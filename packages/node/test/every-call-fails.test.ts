/**
 * The whole node, asked over its routes, with each call to the file system failing once in each
 * way: creations, producers, forks, closure, deletes with their cascade, expiry, checkpoints, a
 * clean stop and a start. Each answer is a success or a problem with a code; and what the next
 * start shows is what was acknowledged, or that and the one request that was on its way.
 */
import { isHoldfastError, NodeClock, systemErrorCode } from '@holdfast/core';
import { type Fault, isSimDead, SeededRandom, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type HoldfastNode, openNode } from '../src/index.ts';

const MAX_CALLS = 3_000;
const BASE = 'http://x/v1/stream/';

/** Real timers, and a time that a test can move on. */
class MovedClock extends NodeClock {
  movedMs = 0;

  override now(): number {
    return super.now() + this.movedMs;
  }

  override monotonicMs(): number {
    return super.monotonicMs() + this.movedMs;
  }
}

interface Step {
  readonly method: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const producer = (seq: number): Record<string, string> => ({
  ...JSON_TYPE,
  'producer-id': 'p',
  'producer-epoch': '0',
  'producer-seq': String(seq),
});
const forkOf = (path: string): Record<string, string> => ({
  ...JSON_TYPE,
  'stream-forked-from': `/v1/stream/${path}`,
});
const LONG = JSON.stringify('x'.repeat(6_000));

/** `stop` and `start` are a clean stop and the start behind it. */
const STEPS: readonly (Step | 'stop' | 'start' | 'expire')[] = [
  { method: 'PUT', path: 'a', headers: JSON_TYPE, body: '[1,2]' },
  { method: 'POST', path: 'a', headers: producer(0), body: `[3,${LONG}]` },
  { method: 'PUT', path: 'f', headers: forkOf('a') },
  { method: 'PUT', path: 't', headers: { ...forkOf('a'), 'stream-ttl': '60' } },
  { method: 'POST', path: 'f', headers: producer(0), body: `[${LONG},${LONG}]` },
  { method: 'DELETE', path: 'a' },
  'expire',
  { method: 'POST', path: 'f', headers: { ...producer(1), 'stream-closed': 'true' }, body: '[9]' },
  'stop',
  'start',
  { method: 'PUT', path: 'b', headers: { 'content-type': 'text/plain' }, body: 'text' },
  { method: 'DELETE', path: 'f' }, // and `a` with it
  { method: 'POST', path: 'b', headers: { 'content-type': 'text/plain' }, body: 'more' },
  'stop',
];

class Life {
  readonly fs: SimFs;
  readonly clock = new MovedClock();
  node: HoldfastNode | undefined;

  constructor(fs: SimFs) {
    this.fs = fs;
  }

  async open(): Promise<HoldfastNode> {
    this.node = await openNode(
      { dir: '/data', shardCount: 2 },
      { fileSystem: this.fs, clock: this.clock, random: new SeededRandom(7) },
      {
        database: {
          checkpointLogBytes: 12 * 1024,
          segmentTargetBytes: 16 * 1024,
          preallocateBytes: 8 * 1024,
          diskReserveBytes: 0,
        },
        streams: { reaperIntervalMs: 1, reaperStartGraceMs: 0, tailCacheBytesPerStream: 0 },
      },
    );
    return this.node;
  }

  async close(): Promise<void> {
    const { node } = this;
    this.node = undefined;
    await node?.close();
  }

  /** How many steps were acknowledged; fewer than all when one was not. */
  async history(states?: string[]): Promise<{ done: number; error: unknown }> {
    let done = 0;
    try {
      await this.open();
      states?.push(await this.state());
      for (const step of STEPS) {
        await this.step(step);
        done++;
        states?.push(this.node === undefined ? (states.at(-1) as string) : await this.state());
      }
      return { done, error: undefined };
    } catch (error) {
      return { done, error };
    }
  }

  async step(step: (typeof STEPS)[number]): Promise<void> {
    if (step === 'stop') return this.close();
    if (step === 'start') {
      await this.open();
      return;
    }
    if (step === 'expire') return this.expire();
    const { method, path, headers = {}, body } = step;
    await this.ask(method, path, headers, body);
  }

  /** The reaper deletes what has expired. Nobody is told, but the log has one record more. */
  async expire(): Promise<void> {
    const node = this.node as HoldfastNode;
    const { appliedLsn } = node.stats().database;
    this.clock.movedMs += 61_000;
    for (let i = 0; i < 200 && node.failure === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (node.stats().database.appliedLsn > appliedLsn) return;
    }
    throw new Refusal('STORAGE_UNAVAILABLE');
  }

  async ask(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<Buffer> {
    const { node } = this;
    if (node === undefined) throw new Error('not open');
    const response = await node.fetch(
      new Request(BASE + path, { method, headers, ...(body === undefined ? {} : { body }) }),
    );
    const bytes = Buffer.from(await response.arrayBuffer());
    if (response.ok) return bytes;
    const { code } = JSON.parse(bytes.toString()) as { code: string };
    throw new Refusal(code);
  }

  /** Everything a reader can see. */
  async state(): Promise<string> {
    const seen: unknown[] = [];
    for (const { path, closed, forks } of (this.node as HoldfastNode).streams.list().streams) {
      const body = await this.ask('GET', `${path}?offset=-1`);
      seen.push([path, closed, forks, body.toString()]);
    }
    return JSON.stringify(seen);
  }
}

/** A problem that was answered. */
class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const EXPECTED = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'DISK_FULL', 'COMMIT_QUEUE_FULL']);

function isTyped(error: unknown): boolean {
  if (error instanceof Refusal) return EXPECTED.has(error.code);
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
};

describe('a node', async () => {
  const states: string[] = [];
  const golden = await new Life(new SimFs()).history(states);

  it('does the history when nothing fails', () => {
    expect(golden).toEqual({ done: STEPS.length, error: undefined });
    expect(new Set(states).size).toBeGreaterThan(8);
    expect(states.at(-1)).toBe('[["b",false,0,"textmore"]]');
  });

  it.each(Object.entries(WAYS))(
    'of which a call %s answers with a code, and starts again with what it acknowledged',
    async (_name, way) => {
      let nth = 1;
      for (; nth < MAX_CALLS; nth++) {
        const life = new Life(new SimFs());
        const plan = life.fs.disk.faults.plan(way(nth));
        const { done, error } = await life.history();
        life.fs.disk.faults.clear();
        if (plan.fired === 0) break;
        if (error !== undefined && !isTyped(error)) {
          throw new Error(`call ${nth} step ${done}`, { cause: error });
        }
        const fs = nth % 4 < 2 ? life.fs.kill() : life.fs.powerCut(new SeededRandom(nth));
        await life.close().catch(() => undefined);
        const next = new Life(fs);
        try {
          await next.open();
          const allowed = [states[done], states[Math.min(done + 1, STEPS.length)]];
          expect(allowed).toContain(await next.state());
        } catch (cause) {
          throw new Error(`after call ${nth} step ${done}`, { cause });
        } finally {
          await next.close();
        }
      }
      expect(nth).toBeGreaterThan(10);
      expect(nth).toBeLessThan(MAX_CALLS);
    },
    240_000,
  );
});
