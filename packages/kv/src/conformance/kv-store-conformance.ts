/**
 * What every `KvStore` owes its caller (the contract in `kv-store.ts`), as tests. Runs on any
 * backend and on every composite: hand it the test runner's `it`; which cases run is decided by
 * what the store declares, and a reason has to be given for each feature that it does not declare.
 *
 * ```ts
 * describe('memory', () => {
 *   kvStoreConformance({
 *     it,
 *     open: async () => ({ store: openMemoryKvStore({ clock }, { id: 'test' }) }),
 *     unsupported: { reopen: 'memory is gone with its store' },
 *   });
 * });
 * ```
 */
import assert from 'node:assert/strict';
import { NodeClock, sleep } from '@holdfast/core';
import type { KvStore } from '../kv-store.ts';
import { BATCH_CASES } from './batch-cases.ts';
import { CHANGE_CASES } from './change-cases.ts';
import { CONDITION_CASES } from './condition-cases.ts';
import type { KvConformanceCase, KvFeature, KvStoreUnderTest } from './conformance-case.ts';
import { EXPIRY_CASES } from './expiry-cases.ts';
import { HISTORY_CASES } from './history-cases.ts';
import { KEY_CASES } from './key-cases.ts';
import { LIFECYCLE_CASES } from './lifecycle-cases.ts';
import { ORDER_CASES } from './order-cases.ts';
import { PAGE_CASES } from './page-cases.ts';
import { RANGE_CASES } from './range-cases.ts';
import { VALUE_CASES } from './value-cases.ts';

export type { KvFeature, KvStoreUnderTest } from './conformance-case.ts';

/** The part of vitest's, jest's and node:test's `it` that is needed. */
interface TestFunction {
  (title: string, run: () => Promise<void>): unknown;
  skip(title: string, run: () => Promise<void>): unknown;
}

export interface KvStoreConformanceOptions {
  readonly it: TestFunction;
  /** An empty store of this test alone. */
  readonly open: () => Promise<KvStoreUnderTest>;
  /** A reason for each feature that the store does not have. Default: it has all. */
  readonly unsupported?: Partial<Record<KvFeature, string>>;
  /** Bytes of a value that takes the way of large ones. Default 300 000. */
  readonly largeBytes?: number;
}

const DEFAULT_LARGE_BYTES = 300_000;

const CASES: readonly KvConformanceCase[] = [
  ...VALUE_CASES,
  ...KEY_CASES,
  ...ORDER_CASES,
  ...CONDITION_CASES,
  ...BATCH_CASES,
  ...RANGE_CASES,
  ...PAGE_CASES,
  ...EXPIRY_CASES,
  ...CHANGE_CASES,
  ...LIFECYCLE_CASES,
  ...HISTORY_CASES,
];

export function kvStoreConformance(options: KvStoreConformanceOptions): void {
  const { unsupported = {}, largeBytes = DEFAULT_LARGE_BYTES } = options;
  options.it('declares the capabilities that the suite is told of', () =>
    within(options, async ({ store }) => assertDeclared(store, unsupported)),
  );
  for (const { title, needs = [], run } of CASES) {
    const reasons = needs.map((feature) => unsupported[feature]);
    const reason = reasons.find((each) => each !== undefined);
    const test = (): Promise<void> =>
      within(options, ({ store, reopen, passTime = pass }) =>
        run(store, {
          largeBytes,
          passTime,
          reopen: () => reopen?.() ?? Promise.reject(new Error('the suite got no way to reopen')),
        }),
      );
    if (reason === undefined) options.it(title, test);
    else options.it.skip(`${title} (${reason})`, test);
  }
}

function pass(ms: number): Promise<void> {
  return sleep(new NodeClock(), ms);
}

async function within(
  options: KvStoreConformanceOptions,
  act: (opened: KvStoreUnderTest) => Promise<void>,
): Promise<void> {
  const opened = await options.open();
  let last = opened.store;
  const reopen = opened.reopen;
  try {
    await act({
      ...opened,
      ...(reopen === undefined
        ? {}
        : {
            reopen: async () => {
              last = await reopen();
              return last;
            },
          }),
    });
  } finally {
    await last.close();
    await opened.close?.();
  }
}

function assertDeclared(
  { capabilities, id }: KvStore,
  unsupported: Partial<Record<KvFeature, string>>,
): void {
  const { atomicBatch, compareAndSet, createdOrder, ttl, watch, stamps, anyText } = capabilities;
  const does = (feature: KvFeature): boolean => unsupported[feature] === undefined;
  assert.deepEqual(
    { atomicBatch, compareAndSet, createdOrder, ttl, watch, stamps, anyText },
    {
      atomicBatch: does('atomicBatch'),
      compareAndSet: does('compareAndSet'),
      createdOrder: does('createdOrder'),
      ttl: does('ttl'),
      watch: does('watch'),
      stamps: does('stamps'),
      anyText: does('anyText'),
    },
  );
  assert.equal(does('reopen'), capabilities.durability !== 'none');
  assert.equal(capabilities.evicts, false, 'a store under test must not evict');
  assert.ok(id.length > 0);
}
