/** What a case of the conformance suite is, and what cases need again and again. */
import assert from 'node:assert/strict';
import { type ErrorCode, hasCode } from '@holdfast/core';
import type { KvPageOptions, KvRange, KvStore } from '../kv-store.ts';

export type KvFeature =
  | 'atomicBatch'
  | 'compareAndSet'
  | 'createdOrder'
  | 'ttl'
  | 'watch'
  | 'stamps'
  | 'anyText'
  | 'reopen';

export interface KvStoreUnderTest {
  readonly store: KvStore;
  /** Closes the store and opens the same place again; for the feature `reopen`. */
  readonly reopen?: () => Promise<KvStore>;
  /** Time passes for the store's clock. Default: it really passes. */
  readonly passTime?: (ms: number) => Promise<void>;
  /** After the store, which may have been opened again, was closed. */
  close?(): Promise<void>;
}

export interface KvConformanceCase {
  readonly title: string;
  readonly needs?: readonly KvFeature[];
  readonly run: (store: KvStore, around: KvCaseSurroundings) => Promise<void>;
}

export interface KvCaseSurroundings {
  /** A size that takes the way of large values. */
  readonly largeBytes: number;
  readonly reopen: () => Promise<KvStore>;
  readonly passTime: (ms: number) => Promise<void>;
}

export function bytes(text: string): Buffer {
  return Buffer.from(text);
}

/** Repeats after a prime number of bytes: no two places at a power of two are equal. */
export function largeValue(length: number, seed = 1): Buffer {
  const pattern = Buffer.alloc(65_521);
  let state = Math.imul(seed, 2_654_435_761);
  for (let at = 0; at < pattern.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    pattern[at] = state >>> 24;
  }
  return Buffer.alloc(length, pattern);
}

export async function rejects(call: () => Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(hasCode(error, code), `wanted ${code}, got ${String(error)}`);
    return true;
  });
}

export async function assertValue(
  store: KvStore,
  key: string,
  value: Uint8Array | string | undefined,
): Promise<void> {
  const found = await store.get(key);
  const shown = JSON.stringify(key).slice(0, 40);
  if (value === undefined) {
    assert.equal(found, undefined, `${shown} is there`);
    return;
  }
  const wanted = typeof value === 'string' ? bytes(value) : Buffer.from(value);
  assert.ok(found !== undefined, `${shown} is not there`);
  assert.ok(wanted.equals(found), `${shown} has other bytes: ${found.length} of ${wanted.length}`);
}

export async function gather<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function keysOf(store: KvStore, range: KvRange = {}): Promise<string[]> {
  return gather(store.keys(range));
}

export async function putAll(store: KvStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) await store.put(key, bytes(`value of ${key}`));
}

/** Every page to the last, each with its keys. */
export async function pagesOf(store: KvStore, options: KvPageOptions): Promise<string[][]> {
  const pages: string[][] = [];
  let { token } = options;
  for (;;) {
    const { entries, next } = await store.page({ ...options, token });
    pages.push(entries.map(({ key }) => key));
    if (next === undefined) return pages;
    token = next;
  }
}

/** `k000` to `k<count - 1>`. */
export function numberedKeys(count: number, prefix = 'k'): string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${String(at).padStart(3, '0')}`);
}

/** Within a bounded number of turns and short waits. */
export async function eventually(
  passTime: (ms: number) => Promise<void>,
  holds: () => Promise<boolean>,
  what: string,
): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (await holds()) return;
    await passTime(50);
  }
  assert.fail(`never: ${what}`);
}
