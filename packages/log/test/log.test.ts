/** The contract of `log.ts`, point by point. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  LIMITS,
  type Lsn,
  MemoryFileSystem,
  NodeClock,
  NodeFileSystem,
  NodeRandom,
} from '@holdfast/core';
import { type Log, openLog } from '@holdfast/log';
import { beforeEach, describe, expect, test } from 'vitest';
import { BLOCK, DATABASE_ID, RecordingSink, SimLog, collect, record, texts } from './sim-log.ts';

let sim: SimLog;

beforeEach(() => {
  sim = new SimLog(3);
});

describe('acknowledging', () => {
  test('append resolves with the LSN of its first record, once it is durable', async () => {
    const log = await sim.open();
    expect(await sim.append(log, 'a')).toBe(1);
    expect(await sim.append(log, 'b', 'c')).toBe(2);
    expect(await sim.append(log, 'd')).toBe(4);
    expect(log.durableLsn).toBe(4);
    expect(log.nextLsn).toBe(5);
  });

  test('nothing is acknowledged before the sync, and power may fail right behind it', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      sim = new SimLog(seed);
      const log = await sim.open();
      await sim.append(log, 'acknowledged');
      sim.powerCut();
      expect(texts(await sim.replay(await sim.open()))).toEqual(['acknowledged']);
    }
  });

  test('what is submitted together shares one write and one sync', async () => {
    const log = await sim.open();
    const before = sim.fs.disk.calls('datasync');
    await sim.run(Promise.all(Array.from({ length: 100 }, (_, i) => log.append(record(`${i}`)))));
    expect(sim.fs.disk.calls('datasync') - before).toBe(1);
    expect(log.stats()).toMatchObject({ batches: 1, records: 100, syncs: 1 });
  });

  test('sinks hear in LSN order, and onBatch after all of them', async () => {
    const log = await sim.open();
    const sink = new RecordingSink();
    log.onBatch((last) => sink.heard.push(`batch ${last}`));
    log.submit([record('a'), record('b')], sink);
    log.submit([record('c')], sink);
    await sim.run(log.sync());
    expect(sink.heard).toEqual(['durable 1', 'durable 3', 'batch 3']);
  });

  test('sync waits for everything accepted before it', async () => {
    const log = await sim.open({ maxBatchBytes: 1 });
    for (let i = 0; i < 5; i++) log.submit([record('x')], new RecordingSink());
    await sim.run(log.sync());
    expect(log.durableLsn).toBe(5);
    await sim.run(log.sync());
  });

  test('no acknowledged block is ever written again by a running log', async () => {
    const log = await sim.open();
    const written = new Map<string, number>();
    sim.fs.disk.onCall = ({ operation, path, position, length }) => {
      if (operation !== 'write') return;
      for (let at = position; at < position + length; at += BLOCK) {
        expect(at % BLOCK).toBe(0);
        const key = `${path}:${at}`;
        written.set(key, (written.get(key) ?? 0) + 1);
      }
    };
    for (let i = 0; i < 60; i++) await sim.append(log, 'x'.repeat(i * 50));
    // Once as zeros, once as data; the zeros of the first step were written before we looked.
    expect(Math.max(...written.values())).toBe(2);
  });

  test('a record larger than a batch, and than a segment, goes alone', async () => {
    const log = await sim.open({ maxBatchBytes: 1_000 });
    const large = sim.random.bytes(40 * BLOCK);
    await sim.append(log, 'small');
    await sim.append(log, large);
    await sim.append(log, 'small again');
    const records = await sim.replay(log);
    expect(records[1]?.payload.equals(large)).toBe(true);
    await sim.run(log.close());
    expect(await sim.replay(await sim.open())).toHaveLength(3);
  });

  test('short writes are continued', async () => {
    const log = await sim.open();
    const plan = sim.fs.disk.faults.plan({ effect: 'short-write', times: 50, bytes: 700 });
    const payload = sim.random.bytes(10_000);
    await sim.append(log, payload);
    expect(plan.fired).toBeGreaterThan(10);
    sim.powerCut();
    expect((await sim.replay(await sim.open()))[0]?.payload.equals(payload)).toBe(true);
  });
});

describe('LSNs', () => {
  test('go on over restarts, also when the last life wrote nothing', async () => {
    for (let life = 0; life < 5; life++) {
      const log = await sim.open();
      expect(log.nextLsn).toBe(life < 2 ? life + 1 : life);
      if (life !== 1) await sim.append(log, `${life}`);
      if (life % 2 === 0) await sim.run(log.close());
      else sim.powerCut();
    }
  });

  test('are not given again when everything before was truncated', async () => {
    const log = await sim.open();
    await sim.append(log, 'a');
    await sim.run(log.roll());
    await sim.run(log.truncateBefore(2 as Lsn));
    for (let life = 0; life < 3; life++) {
      sim.powerCut();
      const again = await sim.open();
      expect(again.nextLsn).toBe(2);
      expect(again.segments()).toHaveLength(1);
    }
  });

  test('the wall clock of a batch never falls, not even over a restart', async () => {
    const log = await sim.open();
    await sim.append(log, 'a');
    sim.clock.jumpWallClock(-3_600_000);
    await sim.append(log, 'b');
    sim.kill();
    sim.clock.jumpWallClock(-3_600_000);
    const again = await sim.open();
    await sim.append(again, 'c');
    const times = (await sim.replay(again)).map((stored) => stored.committedAtMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times).toHaveLength(3);
  });
});

describe('segments', () => {
  test('roll by size, and a start begins one of its own', async () => {
    const log = await sim.open();
    for (let i = 0; i < 40; i++) await sim.append(log, 'x');
    const segments = log.segments();
    expect(segments.length).toBeGreaterThan(2);
    for (const segment of segments) expect(segment.bytes).toBeLessThanOrEqual(16 * BLOCK);
    const last = segments.at(-1)?.id ?? 0;
    await sim.run(log.close());
    const again = await sim.open();
    expect(again.segments().at(-1)?.id).toBeGreaterThan(last);
    expect(await sim.replay(again)).toHaveLength(40);
  });

  test('sealed ones are announced with what they hold', async () => {
    const log = await sim.open();
    const sealed: string[] = [];
    log.onSealed(({ state, firstLsn, lastLsn }) => sealed.push(`${state} ${firstLsn}-${lastLsn}`));
    await sim.append(log, 'a');
    await sim.append(log, 'b');
    await sim.run(log.roll());
    await sim.run(log.roll());
    expect(sealed).toEqual(['sealed 1-2']);
  });

  test('starts that write nothing leave nothing behind', async () => {
    for (let life = 0; life < 6; life++) {
      await sim.open();
      sim.kill();
    }
    expect(sim.fs.disk.paths()).toHaveLength(1);
  });
});

describe('truncation', () => {
  async function rolled(): Promise<Log> {
    const log = await sim.open();
    for (let i = 1; i <= 6; i++) {
      await sim.append(log, `${i}`);
      await sim.run(log.roll());
    }
    return log;
  }

  test('takes what every floor has passed, and no more', async () => {
    const log = await rolled();
    const one = log.floor('engine');
    const other = log.floor('archive');
    one.raise(4 as Lsn);
    expect(await sim.run(log.truncateBefore())).toMatchObject({ segmentsDeleted: 0 });
    other.raise(2 as Lsn);
    expect(await sim.run(log.truncateBefore())).toMatchObject({ segmentsDeleted: 2 });
    other.raise(1 as Lsn);
    other.release();
    const result = await sim.run(log.truncateBefore(4 as Lsn));
    expect(result.segmentsDeleted).toBe(1);
    expect(result.bytesReclaimed).toBeGreaterThan(0);
    expect(texts(await sim.replay(log))).toEqual(['4', '5', '6']);
  });

  test('without a floor and without an LSN takes nothing', async () => {
    const log = await rolled();
    expect(await sim.run(log.truncateBefore())).toMatchObject({ segmentsDeleted: 0 });
  });

  test('waits for an open replay', async () => {
    const log = await rolled();
    const iterator = log.replay()[Symbol.asyncIterator]();
    await sim.run(iterator.next());
    expect(await sim.run(log.truncateBefore(7 as Lsn))).toMatchObject({ segmentsDeleted: 0 });
    for (let i = 2; i <= 6; i++) {
      expect((await sim.run(iterator.next())).value?.lsn).toBe(i);
    }
    await sim.run(Promise.resolve(iterator.return?.()));
    expect(await sim.run(log.truncateBefore(7 as Lsn))).toMatchObject({ segmentsDeleted: 6 });
  });

  test('a deletion that failed is tried again before any younger one', async () => {
    const log = await rolled();
    const plan = sim.fs.disk.faults.plan({ effect: 'EIO', operations: ['unlink'] });
    await expect(sim.run(log.truncateBefore(4 as Lsn))).rejects.toThrow();
    expect(plan.fired).toBe(1);
    await sim.run(log.truncateBefore(4 as Lsn));
    sim.powerCut();
    expect(texts(await sim.replay(await sim.open()))).toEqual(['4', '5', '6']);
  });
});

describe('replay', () => {
  test('filters by range, type, shard and tenant', async () => {
    const log = await sim.open();
    for (let i = 1; i <= 12; i++) {
      const fields = { type: i % 2, shard: i % 3, tenant: i % 4 };
      await sim.run(log.append(record(`${i}`, fields)));
      if (i === 6) await sim.run(log.roll());
    }
    const lsns = async (range: object): Promise<number[]> =>
      (await sim.replay(log, range)).map((stored) => stored.lsn);
    expect(await lsns({ from: 3, to: 8 })).toEqual([3, 4, 5, 6, 7, 8]);
    expect(await lsns({ types: [1] })).toEqual([1, 3, 5, 7, 9, 11]);
    expect(await lsns({ shard: 0, tenant: 0 })).toEqual([12]);
    expect(await lsns({ from: 13 })).toEqual([]);
    expect(await lsns({ from: 8, to: 3 })).toEqual([]);
  });

  test('ends at what was durable when it began, while appends go on', async () => {
    const log = await sim.open();
    for (let i = 0; i < 5; i++) await sim.append(log, `${i}`);
    const seen: number[] = [];
    const run = async (): Promise<void> => {
      for await (const stored of log.replay()) {
        seen.push(stored.lsn);
        await log.append(record('more'));
      }
    };
    await sim.run(run());
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(log.durableLsn).toBe(10);
  });

  test('payloads may be kept', async () => {
    const log = await sim.open();
    for (let i = 0; i < 30; i++) await sim.append(log, `payload ${i}`);
    const kept = await sim.replay(log);
    await sim.replay(log);
    expect(texts(kept)).toEqual(Array.from({ length: 30 }, (_, i) => `payload ${i}`));
  });
});

describe('a full disk', () => {
  test('refuses appends, fails what was accepted together, and resumes by itself', async () => {
    const log = await sim.open();
    sim.fs.disk.capacityBytes = sim.fs.disk.usedBytes;
    const sink = new RecordingSink();
    let appended = 0;
    while (log.state === 'open' && appended < 100) {
      try {
        await sim.append(log, 'x');
        appended++;
      } catch {
        break;
      }
    }
    expect(appended).toBeGreaterThan(0);
    expect(log.state).toBe('full');
    expect(() => log.submit([record('x')], sink)).toThrow(
      expect.objectContaining({ code: 'DISK_FULL', effect: 'none' }),
    );
    expect(await sim.replay(log)).toHaveLength(appended);
    sim.fs.disk.capacityBytes = Infinity;
    await sim.clock.advance(2 * LIMITS.diskFullProbeMs);
    expect(log.state).toBe('open');
    expect(await sim.append(log, 'again')).toBe(appended + 1);
    await sim.run(log.close());
    expect(await sim.replay(await sim.open())).toHaveLength(appended + 1);
  });

  test('keeps a reserve that only what frees space may use', async () => {
    const log = await sim.open({ diskReserveBytes: 30 * BLOCK });
    sim.fs.disk.capacityBytes = sim.fs.disk.usedBytes + 20 * BLOCK;
    await expect(
      (async () => {
        for (let i = 0; i < 100; i++) await sim.append(log, 'x');
      })(),
    ).rejects.toMatchObject({ code: 'DISK_FULL', effect: 'none' });
    expect(log.state).toBe('full');
    let freed = 0;
    for (; freed < 100; freed++) {
      try {
        await sim.run(log.append(record('delete'), { reclaims: true }));
      } catch (error) {
        expect(error).toMatchObject({ code: 'DISK_FULL', effect: 'none' });
        break;
      }
    }
    expect(freed).toBeGreaterThan(10);
    expect(freed).toBeLessThan(100);
    expect(log.state).toBe('full');
  });

  test('what was accepted fails all together, and its LSNs are given again', async () => {
    const log = await sim.open({ maxBatchBytes: 1 });
    const sinks = Array.from({ length: 4 }, () => new RecordingSink());
    sim.fs.disk.capacityBytes = sim.fs.disk.usedBytes;
    for (const sink of sinks) log.submit([record(Buffer.alloc(20 * BLOCK))], sink);
    expect(log.nextLsn).toBe(5);
    await sim.clock.runUntilIdle();
    for (const sink of sinks) expect(sink.heard).toEqual(['failed DISK_FULL none']);
    expect(log.nextLsn).toBe(1);
    sim.fs.disk.capacityBytes = Infinity;
    await sim.clock.advance(2 * LIMITS.diskFullProbeMs);
    expect(await sim.append(log, 'first')).toBe(1);
  });

  test('at the start leaves nothing that a later truncation would turn into a gap', async () => {
    const log = await sim.open();
    await sim.append(log, 'a');
    sim.kill();
    await sim.open(); // an empty segment that a later life passes over
    sim.kill();
    sim.fs.disk.capacityBytes = sim.fs.disk.usedBytes;
    const full = await sim.open();
    sim.fs.disk.capacityBytes = Infinity;
    expect(await sim.run(full.truncateBefore(2 as Lsn))).toMatchObject({ segmentsDeleted: 0 });
    await sim.clock.advance(2 * LIMITS.diskFullProbeMs);
    await sim.append(full, 'b');
    await sim.run(full.roll());
    await sim.append(full, 'c');
    await sim.run(full.truncateBefore(3 as Lsn));
    sim.powerCut();
    expect(texts(await sim.replay(await sim.open()))).toEqual(['c']);
  });

  test('does not keep the log from opening', async () => {
    const log = await sim.open();
    await sim.append(log, 'a');
    sim.kill();
    sim.fs.disk.capacityBytes = sim.fs.disk.usedBytes;
    const full = await sim.open();
    expect(full.state).toBe('full');
    expect(texts(await sim.replay(full))).toEqual(['a']);
    sim.fs.disk.capacityBytes = Infinity;
    await sim.clock.advance(2 * LIMITS.diskFullProbeMs);
    expect(await sim.append(full, 'b')).toBe(2);
    await sim.run(full.close());
    expect(texts(await sim.replay(await sim.open()))).toEqual(['a', 'b']);
  });
});

describe('closing', () => {
  test('makes what was accepted durable, then refuses; twice is once', async () => {
    const log = await sim.open();
    const sink = new RecordingSink();
    log.submit([record('a')], sink);
    const closing = log.close();
    expect(() => log.submit([record('b')], sink)).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
    await sim.run(closing);
    await sim.run(log.close());
    expect(sink.heard).toEqual(['durable 1']);
    expect(log.state).toBe('closed');
    const again = await sim.open();
    expect(again.recovery).toEqual({ segments: 1, records: 1, tornBytes: 0, lastLsn: 1 });
  });
});

describe('settings and ownership', () => {
  test('two writers on one folder are refused, a lock left behind is not', async () => {
    await sim.open();
    await expect(sim.open()).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    sim.kill();
    const log = await sim.open();
    await sim.run(log.close());
    await sim.open();
  });

  test('nonsense is refused before anything is touched', async () => {
    for (const settings of [
      { segmentTargetBytes: 100 },
      { preallocateBytes: 1.5 },
      { maxBatchBytes: 0 },
      { databaseId: Buffer.alloc(3) },
      { dir: '' },
    ]) {
      await expect(sim.open(settings)).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    }
    expect(sim.fs.disk.paths()).toEqual([]);
  });

  test('the key of another database opens nothing', async () => {
    const log = await sim.open();
    await sim.append(log, 'a');
    await sim.run(log.close());
    await expect(sim.open({ databaseId: Buffer.alloc(16, 1) })).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
    });
  });
});

describe.each(['memory', 'disk'] as const)('on a real clock, in %s', (kind) => {
  test('500 appends in flight, over a restart', async () => {
    const root = kind === 'disk' ? mkdtempSync(join(tmpdir(), 'holdfast-log-')) : '/';
    const fileSystem = kind === 'disk' ? new NodeFileSystem() : new MemoryFileSystem();
    const components = { fileSystem, clock: new NodeClock(), random: new NodeRandom() };
    const settings = {
      dir: join(root, 'log'),
      databaseId: DATABASE_ID,
      segmentTargetBytes: 1 << 20,
    };
    try {
      for (let life = 0; life < 2; life++) {
        const log = await openLog(components, settings);
        const lsns = await Promise.all(
          Array.from({ length: 500 }, (_, i) => log.append(record(`${life} ${i}`))),
        );
        expect(lsns).toEqual(Array.from({ length: 500 }, (_, i) => life * 500 + i + 1));
        expect(await collect(log.replay())).toHaveLength((life + 1) * 500);
        expect((await log.verify()).problems).toEqual([]);
        await log.close();
      }
    } finally {
      if (kind === 'disk') rmSync(root, { recursive: true });
    }
  });
});
