/** Damage at rest: found or harmless, and never taken for a torn write. */
import { type HoldfastError, isHoldfastError, isZero, type Lsn } from '@holdfast/core';
import type { Log } from '@holdfast/log';
import { beforeEach, describe, expect, test } from 'vitest';
import { BLOCK, DIRECTORY, SECTOR, SimLog, record, texts } from './sim-log.ts';

const CORRUPT = ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'LSN_GAP', 'FILE_MISSING'];

describe.each([
  ['plain', false],
  ['encrypted', true],
] as const)('%s', (_name, encrypted) => {
  let sim: SimLog;

  beforeEach(() => {
    sim = new SimLog(5, encrypted);
  });

  async function openError(): Promise<HoldfastError> {
    const result = await sim.open().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!isHoldfastError(result)) throw new Error(`expected a refusal, got ${String(result)}`);
    expect(CORRUPT).toContain(result.code);
    return result;
  }

  /** Three segments: 1-4, 5-8, 9-12; each record in a batch of its own. */
  async function threeSegments(close: boolean): Promise<string[]> {
    const log = await sim.open();
    const expected: string[] = [];
    for (let i = 1; i <= 12; i++) {
      const text = `record ${i} ${'x'.repeat(i * 40)}`;
      await sim.append(log, text);
      expected.push(text);
      if (i === 4 || i === 8) await sim.run(log.roll());
    }
    if (close) await sim.run(log.close());
    else sim.kill();
    return expected;
  }

  describe('each byte of a small log', () => {
    for (const close of [true, false]) {
      test(`flipped after ${close ? 'a clean stop' : 'a kill'} is found or harmless`, async () => {
        const expected = await threeSegments(close);
        const files = sim.files();
        let found = 0;
        for (const [path, bytes] of files) {
          for (let at = 0; at < bytes.length; at += isZero(bytes.subarray(at, at + 97)) ? 97 : 1) {
            sim.restore(files);
            sim.fs.disk.flipBit(path, at, at % 8);
            try {
              const log = await sim.open();
              expect(texts(await sim.replay(log))).toEqual(expected);
            } catch (error) {
              if (!isHoldfastError(error)) throw error;
              expect(CORRUPT).toContain(error.code);
              found++;
            }
          }
        }
        expect(found).toBeGreaterThan(2_500);
      }, 120_000);
    }

    test('a refusal changes nothing on the disk', async () => {
      await threeSegments(false);
      sim.fs.disk.flipBit(sim.path(2), BLOCK + 200, 0);
      const before = sim.files();
      await openError();
      expect(sim.files()).toEqual(before);
    });
  });

  describe('the last batch', () => {
    /** Nine sectors: head, data, two of zeros in the middle, a cut-off last one. */
    const payload = Buffer.concat([
      Buffer.alloc(2 * SECTOR, 1),
      Buffer.alloc(2 * SECTOR),
      Buffer.alloc(3 * SECTOR, 2),
      Buffer.alloc(100, 3),
    ]);
    const sectors = Math.ceil((payload.length + 140) / SECTOR);
    const at = 2 * BLOCK;

    async function lastBatch(): Promise<Map<string, Buffer>> {
      const log = await sim.open();
      await sim.append(log, 'before');
      await sim.append(log, payload);
      sim.kill();
      return sim.files();
    }

    test('torn at every subset of its sectors opens, with or without it', async () => {
      const files = await lastBatch();
      const path = sim.path(1);
      const whole = files.get(path) as Buffer;
      let torn = 0;
      for (let lost = 0; lost < 1 << sectors; lost++) {
        const bytes = Buffer.from(whole);
        for (let sector = 0; sector < sectors; sector++) {
          const start = at + sector * SECTOR;
          if ((lost >> sector) & 1) bytes.fill(0, start, start + SECTOR);
        }
        const same = bytes.equals(whole);
        sim.restore(new Map([...files, [path, bytes]]));
        const log = await sim.open();
        const records = await sim.replay(log);
        expect(records.length).toBe(same ? 2 : 1);
        if (log.recovery.tornBytes > 0) torn++;
        expect(log.nextLsn).toBe(records.length + 1);
      }
      expect(torn).toBeGreaterThan(200);
    });

    test('with any one sector rotten is refused, naming the record', async () => {
      const files = await lastBatch();
      for (let sector = 0; sector < sectors; sector++) {
        sim.restore(files);
        const bytes = sim.fs.disk.content(sim.path(1));
        sim.random.bytes(SECTOR).copy(bytes, at + sector * SECTOR);
        sim.fs.disk.replaceContent(sim.path(1), bytes);
        const error = await openError();
        // The last sector is mostly padding; the frame ends inside it.
        expect(error.details).toMatchObject({ firstLsn: 2, position: at });
      }
    });

    test('behind another one, with any one sector zeroed, is refused', async () => {
      const log = await sim.open();
      await sim.append(log, payload);
      await sim.append(log, 'behind');
      sim.kill();
      const files = sim.files();
      for (let sector = 0; sector < sectors; sector++) {
        sim.restore(files);
        const bytes = sim.fs.disk.content(sim.path(1));
        const start = BLOCK + sector * SECTOR;
        if (bytes.subarray(start, start + SECTOR).every((byte) => byte === 0)) continue;
        bytes.fill(0, start, start + SECTOR);
        sim.fs.disk.replaceContent(sim.path(1), bytes);
        expect((await openError()).details).toMatchObject({ firstLsn: 1, lastLsn: 1 });
      }
    });

    test('torn, with anything behind it, is refused: nothing is written behind a torn batch', async () => {
      const files = await lastBatch();
      const bytes = Buffer.from(files.get(sim.path(1)) as Buffer);
      bytes.fill(0, at + SECTOR, at + 2 * SECTOR);
      sim.restore(new Map([...files, [sim.path(1), bytes]]));
      expect((await sim.open()).recovery.tornBytes).toBeGreaterThan(0);
      bytes[at + 2 * BLOCK + 700] = 1;
      sim.restore(new Map([...files, [sim.path(1), bytes]]));
      expect((await openError()).details).toMatchObject({ firstLsn: 2, lastLsn: 2 });
    });

    test('with a sector zeroed after a clean stop is refused', async () => {
      const log = await sim.open();
      await sim.append(log, payload);
      await sim.run(log.close());
      const bytes = sim.fs.disk.content(sim.path(1));
      bytes.fill(0, BLOCK + SECTOR, BLOCK + 2 * SECTOR);
      sim.fs.disk.replaceContent(sim.path(1), bytes);
      expect((await openError()).details).toMatchObject({ firstLsn: 1, lastLsn: 1 });
    });
  });

  describe('files', () => {
    beforeEach(async () => {
      await threeSegments(true);
    });

    test('a missing one is named by the LSNs that are lost', async () => {
      sim.fs.disk.deleteFile(sim.path(2));
      const error = await openError();
      expect(error).toMatchObject({ code: 'FILE_MISSING', details: { firstLsn: 5, lastLsn: 8 } });
    });

    test('the oldest may be missing: it was truncated', async () => {
      sim.fs.disk.deleteFile(sim.path(1));
      const log = await sim.open();
      expect((await sim.replay(log)).map((stored) => stored.lsn)).toEqual([
        5, 6, 7, 8, 9, 10, 11, 12,
      ]);
      await expect(sim.replay(log, { from: 1 as never })).rejects.toMatchObject({
        code: 'LSN_GAP',
      });
    });

    test('swapped ones are refused', async () => {
      sim.fs.disk.swapFiles(sim.path(1), sim.path(2));
      await openError();
    });

    test('one under the name of another is refused', async () => {
      sim.fs.disk.duplicateFile(sim.path(1), sim.path(9));
      await openError();
    });

    test('one of another database is refused', async () => {
      const other = new SimLog(9, encrypted);
      const log = await other.open({ databaseId: Buffer.alloc(16, 9) });
      await other.append(log, 'foreign');
      await other.run(log.close());
      sim.fs.disk.replaceContent(sim.path(1), other.fs.disk.content(other.path(1)));
      await openError();
    });

    test('cut short anywhere where batches are lost is refused', async () => {
      const files = sim.files();
      for (const id of [1, 2, 3]) {
        const size = (files.get(sim.path(id)) as Buffer).length;
        for (let to = 0; to < size; to += 1024) {
          sim.restore(files);
          sim.fs.disk.truncateFile(sim.path(id), to);
          const opened = await sim.open().then(
            async (log) => (await sim.replay(log)).length,
            (error: unknown) => (isHoldfastError(error) ? CORRUPT.includes(error.code) : error),
          );
          // An empty newest file looks like one that was never begun.
          const fine = opened === true || opened === 12 || (id === 3 && to === 0);
          expect({ id, to, opened, fine }).toMatchObject({ fine: true });
        }
      }
    });

    test('verify names every problem and goes on behind it', async () => {
      const log = await sim.open();
      sim.fs.disk.flipBit(sim.path(1), 2 * BLOCK + 150, 1);
      sim.fs.disk.flipBit(sim.path(3), BLOCK + 300, 1);
      sim.fs.disk.flipBit(sim.path(2), BLOCK + 4_000, 1);
      const report = await sim.run(log.verify());
      expect(report.problems).toMatchObject([
        { path: sim.path(1), position: 2 * BLOCK, firstLsn: 2, lastLsn: 2 },
        { path: sim.path(2), message: 'bytes that must be zero are not; no record is lost' },
        { path: sim.path(3), position: BLOCK, firstLsn: 9, lastLsn: 9 },
      ]);
      expect(report.records).toBe(10);
    });

    test('verify keeps no segment from going, and takes none that went for damage', async () => {
      const log = await sim.open();
      let deleted = 0;
      const pace = async (): Promise<void> => {
        deleted += (await log.truncateBefore(9 as Lsn)).segmentsDeleted;
      };
      const report = await sim.run(log.verify(pace));
      expect(deleted).toBe(2);
      expect(report.problems).toEqual([]);
      expect(report.records).toBeGreaterThanOrEqual(8);
    });

    test('verify calls nothing damaged for want of a file handle', async () => {
      const log = await sim.open();
      sim.fs.disk.faults.plan({ effect: 'EMFILE', operations: ['open'] });
      await expect(sim.run(log.verify())).rejects.toMatchObject({
        code: 'STORAGE_UNAVAILABLE',
      });
      expect((await sim.run(log.verify())).problems).toEqual([]);
    });

    test('damage that comes later stops replay before it, never silently', async () => {
      const log = await sim.open();
      sim.fs.disk.flipBit(sim.path(2), BLOCK + 300, 1);
      const seen: number[] = [];
      const run = async (): Promise<void> => {
        for await (const stored of log.replay()) seen.push(stored.lsn);
      };
      await expect(sim.run(run())).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        details: { firstLsn: 5 },
      });
      expect(seen).toEqual([1, 2, 3, 4]);
    });
  });

  test('stale bytes never come back: a torn batch is gone for good', async () => {
    const log: Log = await sim.open();
    await sim.append(log, 'kept');
    sim.fs.disk.faults.plan({ effect: 'halt', operations: ['datasync'] });
    log.submit([record(Buffer.alloc(3_000, 7))], { durable() {}, failed() {} });
    await sim.clock.runUntilIdle();
    sim.kill();
    const bytes = sim.fs.disk.content(sim.path(1));
    bytes.fill(0, 2 * BLOCK + SECTOR, 2 * BLOCK + 2 * SECTOR);
    sim.fs.disk.replaceContent(sim.path(1), bytes);
    const second = await sim.open();
    expect(second.recovery).toMatchObject({ tornBytes: BLOCK, lastLsn: 1 });
    expect(
      sim.fs.disk
        .content(sim.path(1))
        .subarray(2 * BLOCK)
        .every((byte) => byte === 0),
    ).toBe(true);
    await sim.append(second, 'after');
    sim.powerCut();
    const third = await sim.open();
    expect(texts(await sim.replay(third))).toEqual(['kept', 'after']);
  });

  test('a payload that looks like frames of this very file is only a payload', async () => {
    const log = await sim.open();
    await sim.append(log, 'real');
    const image = sim.fs.disk.content(sim.path(1));
    // Stands on block boundaries inside the frame, and is torn at its head.
    const shifted = Buffer.concat([Buffer.alloc(BLOCK - 140), image.subarray(0, 3 * BLOCK)]);
    await sim.append(log, shifted);
    sim.kill();
    const bytes = sim.fs.disk.content(sim.path(1));
    bytes.fill(0, 2 * BLOCK, 2 * BLOCK + SECTOR);
    sim.fs.disk.replaceContent(sim.path(1), bytes);
    const again = await sim.open();
    expect(texts(await sim.replay(again))).toEqual(['real']);
    expect(sim.fs.disk.paths().every((path) => path.startsWith(DIRECTORY))).toBe(true);
  });

  test('a frame of another history, right in all but its chain, is refused', async () => {
    const write = async (seed: number, first: string): Promise<SimLog> => {
      const one = new SimLog(seed, encrypted);
      const log = await one.open();
      await one.append(log, first);
      await one.append(log, 'second');
      one.kill();
      return one;
    };
    // The same seed gives the same salt: all that differs is what was said before.
    sim = await write(8, 'first');
    const other = await write(8, 'other');
    const bytes = sim.fs.disk.content(sim.path(1));
    const frame = other.fs.disk.content(other.path(1)).subarray(2 * BLOCK, 3 * BLOCK);
    expect(frame.equals(bytes.subarray(2 * BLOCK, 3 * BLOCK))).toBe(false);
    frame.copy(bytes, 2 * BLOCK);
    sim.fs.disk.replaceContent(sim.path(1), bytes);
    expect((await openError()).code).toBe('LSN_GAP');
  });

  test('a batch the log has gone on without stays away, though the disk brings it back', async () => {
    const log = await sim.open();
    await sim.append(log, 'kept');
    sim.kill();
    const second = await sim.open();
    const before = sim.fs.disk.content(sim.path(2));
    await sim.append(second, 'lost by the disk');
    const after = sim.fs.disk.content(sim.path(2));
    sim.kill();
    sim.fs.disk.replaceContent(sim.path(2), before);
    // Dies after its own segment is durable, before the empty one is removed.
    sim.fs.disk.faults.plan({ effect: 'halt', operations: ['unlink'] });
    await expect(sim.open()).rejects.toThrow();
    sim.kill();
    sim.fs.disk.faults.clear();
    sim.fs.disk.replaceContent(sim.path(2), after);
    const third = await sim.open();
    expect(texts(await sim.replay(third))).toEqual(['kept']);
    expect(await sim.append(third, 'next')).toBe(2);
  });
});
