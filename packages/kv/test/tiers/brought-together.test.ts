/** Writes that wait for their tiers at the same time go there in one batch. */
import { HoldfastError } from '@holdfast/core';
import type { KvOperation, KvStore } from '@holdfast/kv';
import { expect, it, vi } from 'vitest';
import { memories, openTiers, text, valueOf } from './tiered-stores.ts';

const KEYS = Array.from({ length: 64 }, (_, at) => `key-${at}`);

function batchesOf(store: KvStore): KvOperation[][] {
  const batches: KvOperation[][] = [];
  const batch = store.batch.bind(store);
  vi.spyOn(store, 'batch').mockImplementation((operations, options) => {
    batches.push([...operations]);
    return batch(operations, options);
  });
  return batches;
}

const keysOf = (operations: readonly KvOperation[]): string[] =>
  operations.map(({ key }) => key).filter((key) => key.startsWith('key-'));

it('puts at once are few batches of primary and backup, each under one guard', async () => {
  const stores = memories();
  const tiers = await openTiers(stores);
  for (const store of [stores.primary, stores.backup]) {
    const batches = batchesOf(store);
    await Promise.all(KEYS.map((key) => tiers.put(key, text(key))));
    const writing = batches.filter((operations) => keysOf(operations).length > 0);
    expect(writing.length).toBeLessThanOrEqual(4);
    expect(writing.flatMap(keysOf).toSorted()).toEqual(KEYS.toSorted());
    for (const operations of writing) {
      expect(operations.length - keysOf(operations).length).toBe(2); // claim of the next epoch, and its end
    }
  }
  for (const key of KEYS) expect(await valueOf(stores.primary, key)).toBe(key);
  await tiers.close();
});

it('a batch never has more than the tier takes at once', async () => {
  const stores = memories();
  const most = 10;
  const capabilities = { ...stores.primary.capabilities, maxBatchOperations: most };
  vi.spyOn(stores.primary, 'capabilities', 'get').mockReturnValue(capabilities);
  const tiers = await openTiers(stores);
  const batches = batchesOf(stores.primary);
  await Promise.all(KEYS.map((key) => tiers.put(key, text(key))));
  expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(most);
  expect(batches.flatMap(keysOf).toSorted()).toEqual(KEYS.toSorted());
  await tiers.close();
});

it('a batch that fails is told to each that was in it, and is brought later', async () => {
  const stores = memories();
  const tiers = await openTiers(stores, { retry: false });
  const failing = vi.spyOn(stores.backup, 'batch').mockImplementationOnce(() => {
    return Promise.reject(new HoldfastError('STORAGE_UNAVAILABLE', 'away'));
  });
  const told = await Promise.allSettled(KEYS.map((key) => tiers.put(key, text(key))));
  failing.mockRestore();
  const codes = told.map((each) =>
    each.status === 'rejected' ? (each.reason as HoldfastError).code : 'fulfilled',
  );
  expect(codes.filter((code) => code === 'PARTIAL_WRITE').length).toBeGreaterThan(0);
  expect(codes.every((code) => code === 'PARTIAL_WRITE' || code === 'fulfilled')).toBe(true);
  await tiers.drain();
  for (const key of KEYS) expect(await valueOf(stores.backup, key)).toBe(key);
  await tiers.close();
});
