/** A log that was written anew is like any other: whole, exact, and torn is told from rotten. */
import { BlockCodec, type Lsn, isHoldfastError } from '@holdfast/core';
import {
  type NewLog,
  type StoredRecord,
  verifyLog,
  writeLog,
  type WrittenLog,
} from '@holdfast/log';
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { BLOCK, DATABASE_ID, DIRECTORY, SECTOR, SimLog, texts } from './sim-log.ts';

const CORRUPT = ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'LSN_GAP', 'FILE_MISSING'];
const codec = new BlockCodec(DATABASE_ID);

let sim: SimLog;

beforeEach(() => {
  sim = new SimLog(11);
});

function write(records: readonly StoredRecord[], log: Partial<NewLog> = {}): Promise<WrittenLog> {
  const firstLsn = records[0]?.lsn ?? (1 as Lsn);
  return sim.run(
    writeLog(
      { fileSystem: sim.fs, random: sim.random.fork(), codec },
      { dir: DIRECTORY, firstLsn, committedAtMs: 0, segmentTargetBytes: 4 * BLOCK, ...log },
      fromArray(records),
    ),
  );
}

async function* fromArray(records: readonly StoredRecord[]): AsyncGenerator<StoredRecord> {
  yield* records;
}

/** `count` records from `firstLsn` on, three of one time. */
function recordsFrom(firstLsn: number, count: number, bytes = 300): StoredRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    lsn: (firstLsn + i) as Lsn,
    type: 0x10,
    shard: i % 3,
    tenant: i,
    payload: Buffer.from(`${firstLsn + i} `.repeat(bytes / 4)),
    committedAtMs: 1_000 + Math.floor(i / 3),
  }));
}

const anyRecord = fc.record({
  type: fc.integer({ min: 1, max: 0xffff }),
  shard: fc.integer({ min: 0, max: 0xffff }),
  tenant: fc.integer({ min: 0, max: 0xffff_ffff }),
  bytes: fc.oneof(
    fc.constant(0),
    fc.integer({ max: 200, min: 0 }),
    fc.integer({ min: 0, max: 9_000 }),
  ),
  fill: fc.integer({ min: 0, max: 255 }),
  pauseMs: fc.constantFrom(0, 0, 0, 1, 1_000),
});

test('open finds exactly the records that were written, and goes on behind them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyRecord, { maxLength: 30, size: 'max' }),
      fc.integer({ min: 1, max: 2 ** 40 }),
      fc.constantFrom(1, 500, 4_000, 64_000),
      fc.boolean(),
      async (shapes, firstLsn, maxBatchBytes, powerCut) => {
        sim = new SimLog(firstLsn % 1_000);
        let committedAtMs = 5;
        const records = shapes.map(({ bytes, fill, pauseMs, type, shard, tenant }, i) => ({
          lsn: (firstLsn + i) as Lsn,
          type,
          shard,
          tenant,
          payload: Buffer.alloc(bytes, fill),
          committedAtMs: (committedAtMs += pauseMs),
        }));
        const written = await write(records, { firstLsn: firstLsn as Lsn, maxBatchBytes });
        expect(written).toMatchObject({
          records: records.length,
          lastLsn: firstLsn + records.length - 1,
          committedAtMs: records.length === 0 ? 0 : committedAtMs,
        });
        const report = await sim.run(verifyLog({ fileSystem: sim.fs, codec }, DIRECTORY));
        expect(report).toMatchObject({ problems: [], tornBytes: 0, records: records.length });
        if (powerCut) sim.powerCut();
        const log = await sim.open();
        expect(log.nextLsn).toBe(firstLsn + records.length);
        expect(log.recovery.tornBytes).toBe(0);
        expect(await sim.replay(log)).toEqual(records);
        expect(await sim.append(log, 'more')).toBe(firstLsn + records.length);
        sim.kill();
        const again = await sim.open();
        expect((await sim.replay(again)).slice(0, -1)).toEqual(records);
        expect(texts(await sim.replay(again)).at(-1)).toBe('more');
      },
    ),
    { numRuns: 60 },
  );
});

test('a log without records opens with the LSN it was given, also when its first start is cut short', async () => {
  await write([], { firstLsn: 42 as Lsn, committedAtMs: 7 });
  for (let nth = 1; nth <= 12; nth++) {
    const fault = sim.fs.disk.faults.plan({ effect: 'halt', nth, performed: nth % 2 === 0 });
    await sim.open().catch(() => undefined);
    fault.remove();
    sim.powerCut();
  }
  const log = await sim.open();
  expect(log.nextLsn).toBe(42);
  expect(await sim.append(log, 'first')).toBe(42);
});

test('records of one time share a batch, and segments are cut at their size', async () => {
  const written = await write(recordsFrom(9, 60));
  expect(written.segments).toBeGreaterThan(2);
  const report = await sim.run(verifyLog({ fileSystem: sim.fs, codec }, DIRECTORY));
  expect(report).toMatchObject({ segments: written.segments, records: 60, problems: [] });
  expect(report.batches).toBe(20 + 1); // and the closing frame
});

test('a time that falls is raised to the one before it', async () => {
  const [first, second] = recordsFrom(1, 2);
  if (first === undefined || second === undefined) throw new Error('two were made');
  await write([first, { ...second, committedAtMs: 3 }], { committedAtMs: 50 });
  const times = (await sim.replay(await sim.open())).map(({ committedAtMs }) => committedAtMs);
  expect(times).toEqual([1_000, 1_000]);
});

test('each byte flipped, and each sector wiped, is found or harmless', async () => {
  const records = recordsFrom(5, 9, 800);
  await write(records);
  const files = sim.files();
  let found = 0;
  const judge = async (harm: () => void): Promise<void> => {
    sim.restore(files);
    harm();
    try {
      expect(texts(await sim.replay(await sim.open()))).toEqual(
        records.map(({ payload }) => payload.toString()),
      );
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      expect(CORRUPT).toContain(error.code);
      found++;
    }
  };
  for (const [path, bytes] of files) {
    for (let at = 0; at < bytes.length; at += bytes[at] === 0 ? 97 : 7) {
      await judge(() => sim.fs.disk.flipBit(path, at, at % 8));
    }
    for (let at = 0; at < bytes.length; at += SECTOR) {
      const harmed = Buffer.from(bytes).fill(0, at, at + SECTOR);
      await judge(() => sim.fs.disk.replaceContent(path, harmed));
    }
  }
  expect(found).toBeGreaterThan(500);
});

test('a log that is there is left alone, and a full disk is told', async () => {
  await write(recordsFrom(1, 3));
  await expect(write(recordsFrom(1, 3))).rejects.toThrow('there is a log already');
  sim = new SimLog(1);
  sim.fs.disk.faults.plan({ effect: 'ENOSPC', nth: 3, operations: ['write'] });
  await expect(write(recordsFrom(1, 30))).rejects.toMatchObject({ code: 'DISK_FULL' });
});

test('records that leave a gap are a bug of whoever gives them', async () => {
  const records = recordsFrom(1, 3).filter(({ lsn }) => lsn !== 2);
  await expect(write(records)).rejects.toMatchObject({ code: 'INVARIANT_VIOLATED' });
});
