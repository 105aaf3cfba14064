/**
 * What every `ObjectStore` owes its caller (the contract in `object-store.ts`), as tests. Runs on
 * any backend and on every composite: hand it the test runner's `it` and say why the backend does
 * not do what it does not do.
 *
 * ```ts
 * describe('MemoryObjectStore', () => {
 *   objectStoreConformance({
 *     it,
 *     open: async () => ({ store: new MemoryObjectStore({ clock }) }),
 *     unsupported: { reopen: 'memory is gone with its store' },
 *   });
 * });
 * ```
 */
import assert from 'node:assert/strict';
import type { ObjectStore } from '../object-store.ts';
import { CONDITION_CASES } from './condition-cases.ts';
import type {
  ConformanceCase,
  ObjectStoreFeature,
  ObjectStoreUnderTest,
} from './conformance-case.ts';
import { KEY_CASES } from './key-cases.ts';
import { LIFECYCLE_CASES } from './lifecycle-cases.ts';
import { VALUE_CASES } from './value-cases.ts';

export type { ObjectStoreFeature, ObjectStoreUnderTest } from './conformance-case.ts';

/** The part of vitest's, jest's and node:test's `it` that is needed. */
interface TestFunction {
  (title: string, run: () => Promise<void>): unknown;
  skip(title: string, run: () => Promise<void>): unknown;
}

export interface ObjectStoreConformanceOptions {
  readonly it: TestFunction;
  /** An empty store of this test alone. */
  readonly open: () => Promise<ObjectStoreUnderTest>;
  /** A reason for each feature that the backend does not have. Default: it has all. */
  readonly unsupported?: Partial<Record<ObjectStoreFeature, string>>;
  /** Bytes that make the backend take several parts or pieces. Default 700 000. */
  readonly largeBytes?: number;
  /** The store retries over a way on which answers get lost. Default: false. */
  readonly losesAnswers?: boolean;
}

const DEFAULT_LARGE_BYTES = 700_000;

const CASES: readonly ConformanceCase[] = [
  ...VALUE_CASES,
  ...CONDITION_CASES,
  ...KEY_CASES,
  ...LIFECYCLE_CASES,
];

export function objectStoreConformance(options: ObjectStoreConformanceOptions): void {
  const { unsupported = {}, largeBytes = DEFAULT_LARGE_BYTES, losesAnswers = false } = options;
  options.it('declares the capabilities that the suite is told of', () =>
    within(options, async ({ store }) => assertDeclared(store, unsupported, largeBytes)),
  );
  for (const { title, needs, run } of CASES) {
    const reason = needs === undefined ? undefined : unsupported[needs];
    const test = (): Promise<void> =>
      within(options, ({ store, reopen }) =>
        run(store, {
          largeBytes,
          losesAnswers,
          reopen: () => reopen?.() ?? Promise.reject(new Error('the suite got no way to reopen')),
        }),
      );
    if (reason === undefined) options.it(title, test);
    else options.it.skip(`${title} (${reason})`, test);
  }
}

async function within(
  options: ObjectStoreConformanceOptions,
  act: (opened: ObjectStoreUnderTest) => Promise<void>,
): Promise<void> {
  const opened = await options.open();
  try {
    await act(opened);
  } finally {
    await opened.store.close();
    await opened.close?.();
  }
}

function assertDeclared(
  { capabilities }: ObjectStore,
  unsupported: Partial<Record<ObjectStoreFeature, string>>,
  largeBytes: number,
): void {
  assert.deepEqual(
    {
      ifAbsent: capabilities.ifAbsent,
      ifMatch: capabilities.ifMatch,
      nestedKeys: capabilities.nestedKeys,
      largeCondition: capabilities.ifAbsent && capabilities.maxConditionalBytes >= largeBytes,
    },
    {
      ifAbsent: unsupported.ifAbsent === undefined,
      ifMatch: unsupported.ifMatch === undefined,
      nestedKeys: unsupported.nestedKeys === undefined,
      largeCondition: unsupported.largeCondition === undefined,
    },
  );
}
