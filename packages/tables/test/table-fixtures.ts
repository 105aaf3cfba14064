/** Things every test of this package needs. */
import { createSecretKey } from 'node:crypto';
import {
  BlockCodec,
  type FileId,
  type FileSystem,
  isHoldfastError,
  KeyRing,
  type Lsn,
} from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import fc from 'fast-check';
import { BlockCache } from '../src/block-cache.ts';
import type { Row } from '../src/row.ts';
import { Table } from '../src/table.ts';
import type { TableInfo } from '../src/table-info.ts';
import { writeTable } from '../src/write-table.ts';

// One run is as good as another: the same cases every time, others by changing the seed.
fc.configureGlobal({ seed: 20_261_120 });

export const DATABASE_ID = Buffer.alloc(16, 0x5a);
/** With `HOLDFAST_TEST_ENCRYPTED` everything rests encrypted: see `encrypted.test.ts`. */
const encrypted = process.env['HOLDFAST_TEST_ENCRYPTED'] === '1';
const ring = new KeyRing([createSecretKey(Buffer.alloc(32, 7))], new SeededRandom(1));
export const codec: BlockCodec = new BlockCodec(DATABASE_ID, encrypted ? ring : undefined);
/** What names a database in a compaction job. */
export const JOB_DATABASE: { databaseId: Buffer; keys?: KeyRing } = encrypted
  ? { databaseId: DATABASE_ID, keys: ring }
  : { databaseId: DATABASE_ID };
export const DIRECTORY = '/data';

/** Few different bytes, so that keys collide and share prefixes. */
export const keys: fc.Arbitrary<Buffer> = fc
  .array(fc.constantFrom(0, 1, 0x61, 0x62, 0x7f, 0x80, 0xff), { maxLength: 6 })
  .map((bytes) => Buffer.from(bytes));

export const values: fc.Arbitrary<Buffer | undefined> = fc.option(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  { nil: undefined, freq: 4 },
);

/** Sorted, one row per key. */
export const sortedRows: fc.Arbitrary<Row[]> = fc
  .array(fc.tuple(keys, values), { size: 'max', maxLength: 60 })
  .map((pairs) => rowsOf(pairs));

export function rowsOf(pairs: Iterable<readonly [Buffer, Buffer | undefined]>): Row[] {
  const model = new Map<string, Row>();
  for (const [key, value] of pairs) model.set(key.toString('hex'), { key, value });
  return [...model.values()].sort((a, b) => Buffer.compare(a.key, b.key));
}

export function row(key: string, value?: string): Row {
  return { key: Buffer.from(key), value: value === undefined ? undefined : Buffer.from(value) };
}

/** `count` rows with keys `key-000000`..., values of `valueBytes`. */
export function numberedRows(count: number, valueBytes = 20): Row[] {
  return Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(`key-${String(i).padStart(6, '0')}`),
    value: Buffer.alloc(valueBytes, i),
  }));
}

/** Comparable: buffers of any origin become hex. */
export function plain(rows: Iterable<Row>): [string, string | undefined][] {
  return [...rows].map(({ key, value }) => [key.toString('hex'), value?.toString('hex')]);
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

export interface WrittenTable {
  readonly path: string;
  readonly info: TableInfo;
}

export async function makeTable(
  fileSystem: FileSystem,
  rows: Iterable<Row>,
  { fileId = 1, blockBytes = 64 }: { fileId?: number; blockBytes?: number } = {},
): Promise<WrittenTable> {
  const path = `${DIRECTORY}/table-${fileId}`;
  const target = {
    path,
    fileId: fileId as FileId,
    firstLsn: fileId as Lsn,
    lastLsn: (fileId + 1) as Lsn,
    blockBytes,
  };
  const info = await writeTable({ fileSystem, codec }, target, rows);
  if (info === undefined) throw new Error('no rows');
  return { path, info };
}

export function openTable(
  fileSystem: FileSystem,
  { path, info }: WrittenTable,
  cache: BlockCache = new BlockCache(1 << 20),
): Promise<Table> {
  return Table.open({ fileSystem, codec, cache }, path, info);
}

/** Runs `act`; damage gives the error's code, anything else that is thrown fails the test. */
export async function orDamage<Result>(act: () => Promise<Result>): Promise<Result | string> {
  try {
    return await act();
  } catch (error) {
    if (isHoldfastError(error) && error.kind === 'corrupt') return error.code;
    throw error;
  }
}
