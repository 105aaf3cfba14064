/** Rules 5 and 12 of the contract, where a store knows what is written after a call. */
import type { KvStore } from '@holdfast/kv';
import { expect } from 'vitest';

const OLD = 2_000;

function keyOf(at: number): string {
  return `k${String(at).padStart(5, '0')}`;
}

export async function expectClearInOrder(store: KvStore): Promise<void> {
  const old = Array.from({ length: OLD }, (_, at) => {
    return { type: 'put' as const, key: keyOf(at), value: Buffer.from('old') };
  });
  await store.batch(old);
  await store.put('stamped', Buffer.from('old'), { stamp: { seq: 1, version: 1e9, epoch: 0 } });
  const calls: Promise<unknown>[] = [store.put('before', Buffer.from('old')), store.clear()];
  for (const key of ['after', keyOf(0), keyOf(OLD - 1)]) {
    calls.push(store.put(key, Buffer.from('new')));
  }
  await Promise.all(calls);
  const left: string[] = [];
  for await (const [key, value] of store.iterator()) left.push(`${key} ${String(value)}`);
  expect(left).toEqual(['after new', `${keyOf(0)} new`, `${keyOf(OLD - 1)} new`]);
  await store.clear({ prefix: 'k', limit: 1 });
  expect(await store.has(keyOf(0))).toBe(false);
  expect(await store.has(keyOf(OLD - 1))).toBe(true);
}
