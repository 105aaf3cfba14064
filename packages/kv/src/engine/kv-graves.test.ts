import { SILENT } from '@holdfast/core';
import type { CollectingShard, ExtentRef } from '@holdfast/database';
import { expect, it } from 'vitest';
import { KvGraves } from './kv-graves.ts';
import { encodeValueRow, valueRowKey } from './kv-rows.ts';

const old: ExtentRef = { fileId: 1, position: 0, length: 9_000 };
const moved: ExtentRef = { fileId: 2, position: 100, length: 9_000 };

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

it('a grave frees its extent where that rests now, once, and goes', async () => {
  const owner = valueRowKey('main', 7, 'key');
  const rows = new Map([[owner.toString('latin1'), encodeValueRow(old)]]);
  const freed: ExtentRef[] = [];
  const shard = {
    id: 0,
    get: async (key: Buffer) => rows.get(key.toString('latin1')),
    put: (key: Buffer, value: Buffer) => void rows.set(key.toString('latin1'), value),
    delete: (key: Buffer) => void rows.delete(key.toString('latin1')),
    freeExtent: (ref: ExtentRef) => void freed.push(ref),
  } as unknown as CollectingShard;
  const graves = new KvGraves(SILENT);
  graves.bury(shard, owner);
  expect(rows.size).toBe(2);
  graves.free(shard);
  expect(freed).toEqual([]); // not looked up yet
  graves.find(shard);
  await turn();
  rows.set(owner.toString('latin1'), encodeValueRow(moved));
  graves.moved({ owner, to: moved });
  graves.free(shard);
  graves.free(shard);
  expect(freed).toEqual([moved]);
  expect(rows.size).toBe(0);
});
