/** The queue by itself: pushes that the test decides, in virtual time. */
import { HoldfastError, RECORD_LIMITS, SILENT, sleep } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type FanoutOutcome,
  NO_SUBKEYS,
  OfflineWrites,
  type PushedValue,
  type RecordId,
  RecordMetadata,
  SubkeySet,
} from '../../src/index.ts';
import { FaultyKv } from '../store/faulty-kv.ts';
import { descriptorOf, valueOf } from '../store/made-records.ts';

const { queuedWritesAtOnce, queuedWritesOfRecord, maxQueuedWriteRetryMs } = RECORD_LIMITS;
const A = descriptorOf(0).id;
const value = valueOf(0, 0, 1);

type Push = 'sent' | 'too few' | 'absent' | HoldfastError;

class QueueLife {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly kv: KvStore;
  queue!: OfflineWrites;
  metadata!: RecordMetadata;
  underWay = 0;
  most = 0;
  mostOfRecord = 0;
  readonly ofRecord = new Map<RecordId, number>();
  readonly pushes: { readonly record: RecordId; readonly subkey: number; readonly atMs: number }[] =
    [];
  readonly sent: number[] = [];
  takesMs = 100;
  decide: (record: RecordId, subkey: number) => Push = () => 'sent';

  constructor(seed: number) {
    const root = new SeededRandom(seed);
    this.clock = new SimClock(root.fork());
    this.random = root.fork();
    this.kv = openMemoryKvStore({ clock: this.clock }, { id: 'metadata' });
  }

  /** As after a start of the process. */
  async start(kv: KvStore = this.kv): Promise<void> {
    this.metadata = await this.clock.run(RecordMetadata.open({ kv, logger: SILENT }));
    this.queue = new OfflineWrites({
      clock: this.clock,
      random: this.random,
      logger: SILENT,
      items: this.metadata.pending,
      push: (record, subkey, { signal }) => this.#push(record, subkey, signal as AbortSignal),
      onSent: (_, subkey) => void this.sent.push(subkey),
    });
    this.queue.start();
  }

  add(record: RecordId, ...subkeys: readonly number[]): Promise<unknown> {
    return this.clock.run(Promise.all(subkeys.map((subkey) => this.queue.add(record, subkey))));
  }

  async #push(
    record: RecordId,
    subkey: number,
    signal: AbortSignal,
  ): Promise<PushedValue | undefined> {
    this.pushes.push({ record, subkey, atMs: this.clock.monotonicMs() });
    const { queue } = this;
    const of = (this.ofRecord.get(record) ?? 0) + 1;
    this.ofRecord.set(record, of);
    this.most = Math.max(this.most, ++this.underWay);
    this.mostOfRecord = Math.max(this.mostOfRecord, of);
    try {
      await sleep(this.clock, this.takesMs, signal);
    } finally {
      this.underWay--;
      this.ofRecord.set(record, (this.ofRecord.get(record) as number) - 1);
    }
    const decided = this.decide(record, subkey);
    if (decided instanceof HoldfastError) throw decided;
    if (decided === 'absent') return undefined;
    if (decided === 'sent') await queue.remove(record, subkey);
    const kind = decided === 'sent' ? 'consensus' : 'exhausted';
    const outcome = { kind } as FanoutOutcome;
    return { outcome, value, sent: value, conflict: false, floor: undefined, locked: 0 };
  }
}

let life: QueueLife;
beforeEach(async () => {
  life = new QueueLife(7);
  await life.start();
});

describe('the queue', () => {
  it('sends what is in it, with bounds for all and for each record', async () => {
    const records = Array.from({ length: 12 }, (_, i) => descriptorOf(i).id);
    for (const record of records) await life.add(record, 0, 1, 2, 3, 4, 5, 6);
    const flushed = Promise.all(records.map((record) => life.queue.flush(record)));
    const results = await life.clock.run(flushed);
    expect(results.every(({ status }) => status === 'flushed')).toBe(true);
    expect(life.pushes).toHaveLength(12 * 7);
    expect(life.most).toBe(queuedWritesAtOnce);
    expect(life.mostOfRecord).toBe(queuedWritesOfRecord);
    expect([...life.metadata.pending.entries()]).toEqual([]);
  });

  it('waits longer with each failure, up to a bound, and never gives up', async () => {
    life.decide = () => 'too few';
    await life.add(A, 0);
    await life.clock.advance(40 * maxQueuedWriteRetryMs);
    const pauses = life.pushes.slice(1).map(({ atMs }, i) => atMs - (life.pushes[i]?.atMs ?? 0));
    expect(pauses.length).toBeGreaterThan(40);
    for (const [failures, pause] of pauses.entries()) {
      const bound = Math.min(1000 * 2 ** failures, maxQueuedWriteRetryMs);
      expect(pause).toBeLessThanOrEqual(bound + life.takesMs);
    }
    // Full jitter: some are short, some long, and no two alike.
    const late = pauses.slice(10).map((pause) => pause / maxQueuedWriteRetryMs);
    expect(Math.min(...late)).toBeLessThan(0.3);
    expect(Math.max(...late)).toBeGreaterThan(0.7);
    life.decide = () => 'sent';
    await life.clock.advance(2 * maxQueuedWriteRetryMs);
    expect(life.sent).toEqual([0]);
  });

  it('lets no subkey that fails for ever keep the others of its record waiting', async () => {
    life.decide = (_, subkey) => (subkey < 6 ? 'too few' : 'sent');
    await life.add(A, 0, 1, 2, 3, 4, 5, 6, 7);
    await life.clock.advance(60_000);
    expect([...life.sent].sort()).toEqual([6, 7]);
    expect(life.queue.of(A)).toEqual(SubkeySet.range(0, 5));
  });

  it('lets no record that fails keep others waiting', async () => {
    const bad = Array.from({ length: 30 }, (_, i) => descriptorOf(i).id);
    const good = descriptorOf(99).id;
    life.decide = (record) => (record === good ? 'sent' : 'too few');
    for (const record of [...bad, good]) await life.add(record, 0, 1, 2, 3);
    const result = await life.clock.run(life.queue.flush(good, { timeoutMs: 20_000 }));
    expect(result).toEqual({ status: 'flushed' });
  });

  it('drops a subkey of which nothing is stored', async () => {
    life.decide = () => 'absent';
    await life.add(A, 0);
    expect(await life.clock.run(life.queue.flush(A))).toEqual({ status: 'flushed' });
    expect(life.queue.of(A)).toBe(NO_SUBKEYS);
    expect(life.sent).toEqual([]);
  });

  it('drops what belongs to a record that is not here, and keeps what failed otherwise', async () => {
    life.decide = (_, subkey) =>
      new HoldfastError(subkey === 0 ? 'RECORD_NOT_FOUND' : 'STORAGE_UNAVAILABLE', 'planned');
    await life.add(A, 0, 1);
    await life.clock.advance(30_000);
    expect(life.queue.of(A)).toEqual(SubkeySet.of(1));
    expect(life.pushes.filter(({ subkey }) => subkey === 1).length).toBeGreaterThan(2);
  });

  it('leaves a subkey alone that the application sets', async () => {
    const setting = life.queue.hold(A, 0, async () => {
      await life.queue.add(A, 0);
      await sleep(life.clock, 30_000);
      expect(life.pushes).toEqual([]);
    });
    await life.clock.run(setting);
    expect(life.queue.of(A)).toEqual(SubkeySet.of(0));
    await life.clock.run(life.queue.flush(A));
    expect(life.sent).toEqual([0]);
  });

  it('does not drop what was set anew while nothing was found', async () => {
    life.decide = () => 'absent';
    life.takesMs = 5_000;
    await life.add(A, 0);
    await life.clock.advance(2_000);
    expect(life.underWay).toBe(1);
    const setting = life.queue.hold(A, 0, async () => {
      await life.queue.add(A, 0);
      await sleep(life.clock, 60_000);
    });
    await life.clock.run(setting);
    expect(life.queue.of(A)).toEqual(SubkeySet.of(0));
  });

  it('tries again soon once the network is back', async () => {
    life.decide = () => 'too few';
    await life.add(A, 0);
    await life.clock.advance(10 * maxQueuedWriteRetryMs);
    life.decide = () => 'sent';
    life.queue.wake();
    await life.clock.advance(1_000 + life.takesMs);
    expect(life.sent).toEqual([0]);
  });
});

describe('flush', () => {
  it('has nothing to wait for, or waits for what is queued now and not for what comes', async () => {
    expect(await life.queue.flush(A)).toEqual({ status: 'flushed' });
    life.decide = (_, subkey) => (subkey === 0 ? 'sent' : 'too few');
    await life.add(A, 0);
    const flushed = life.queue.flush(A);
    await life.add(A, 1);
    expect(await life.clock.run(flushed)).toEqual({ status: 'flushed' });
  });

  it('tells what is left when its time is over, and ends with its signal or its record', async () => {
    life.decide = (_, subkey) => (subkey === 0 ? 'sent' : 'too few');
    await life.add(A, 0, 1);
    const result = await life.clock.run(life.queue.flush(A, { timeoutMs: 5_000 }));
    expect(result).toEqual({ status: 'pending', subkeys: SubkeySet.of(1) });
    const abort = new AbortController();
    const aborted = life.queue.flush(A, { signal: abort.signal });
    const deleted = life.queue.flush(A);
    abort.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(life.queue.flush(A, { signal: abort.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    life.queue.forget(A);
    await expect(deleted).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND' });
  });
});

describe('a process that ends', () => {
  it('by itself or killed: the next one sends what is left', async () => {
    life.decide = () => 'too few';
    await life.add(A, 0, 3);
    await life.clock.advance(5_000);
    const first = life.queue;
    life.decide = () => 'sent';
    await life.start();
    await life.clock.run(life.queue.flush(A));
    expect([...life.sent].sort()).toEqual([0, 3]);
    await life.clock.run(first.close());
  });

  it('ends what is under way and who waits, and keeps the queue', async () => {
    life.takesMs = 100_000;
    await life.add(A, 0);
    const flushed = life.queue.flush(A).catch((error: unknown) => error);
    await life.clock.run(life.queue.close());
    expect(await flushed).toMatchObject({ code: 'CLOSED' });
    expect(life.underWay).toBe(0);
    await expect(life.queue.add(A, 1)).rejects.toMatchObject({ code: 'CLOSED' });
    life.takesMs = 1;
    await life.start();
    await life.clock.run(life.queue.flush(A));
    expect(life.sent).toEqual([0]);
  });

  it('at any call of its store: what was acknowledged as queued is queued', async () => {
    for (let nth = 1; nth <= 6; nth++) {
      for (const fault of ['halt-before', 'halt-after'] as const) {
        const crashing = new QueueLife(nth);
        crashing.decide = () => 'too few';
        const faulty = new FaultyKv(crashing.kv);
        await crashing.start(faulty.store);
        faulty.fail(nth, fault);
        const queued: number[] = [];
        for (const subkey of [0, 1, 2, 3, 4]) {
          void crashing.queue.add(A, subkey).then(() => queued.push(subkey));
          await crashing.clock.advance(10);
        }
        const before = crashing.queue;
        await crashing.start();
        for (const subkey of queued) expect(crashing.queue.of(A).has(subkey)).toBe(true);
        expect(queued.length).toBe(Math.min(nth - 1, 5));
        await crashing.clock.run(before.close());
        await crashing.clock.run(crashing.queue.close());
      }
    }
  });

  it('is not where an add was refused by the store: it says so, and the next one keeps it', async () => {
    const faulty = new FaultyKv(life.kv);
    life.decide = () => 'too few';
    await life.start(faulty.store);
    faulty.fail(1, 'refused');
    await expect(life.clock.run(life.queue.add(A, 0))).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
    });
    await life.add(A, 0);
    await life.start();
    expect(life.queue.of(A)).toEqual(SubkeySet.of(0));
  });
});
