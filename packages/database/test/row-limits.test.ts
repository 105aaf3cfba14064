/** The bounds of what may rest in a row and in an extent file, each of them reached. */
import { LIMITS, type ShardId } from '@holdfast/core';
import { ExtentFileWriter } from '@holdfast/tables';
import { expect, it } from 'vitest';
import { DatabaseShard } from '../src/database-shard.ts';
import type { ExtentStore } from '../src/extent-store.ts';

const TOO_LARGE = expect.objectContaining({ code: 'RECORD_TOO_LARGE', effect: 'none' });

it('a row takes the largest key and value, and nothing larger', () => {
  const shard = new DatabaseShard(0 as ShardId, {} as ExtentStore);
  const [key, value] = [Buffer.alloc(LIMITS.maxRowKeyBytes), Buffer.alloc(LIMITS.maxRowValueBytes)];
  shard.put(key, value);
  expect(() => shard.put(Buffer.concat([key, Buffer.alloc(1)]), value)).toThrow(TOO_LARGE);
  expect(() => shard.put(key, Buffer.concat([value, Buffer.alloc(1)]))).toThrow(TOO_LARGE);
});

it('an extent has an owner whose key fits in a row', () => {
  const writer = new ExtentFileWriter(1 as never, 64);
  writer.add(Buffer.alloc(LIMITS.maxRowKeyBytes), [Buffer.from('x')]);
  const tooLong = Buffer.alloc(LIMITS.maxRowKeyBytes + 1);
  expect(() => writer.add(tooLong, [Buffer.from('x')])).toThrow(TOO_LARGE);
});
