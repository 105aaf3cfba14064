/** The tests of a database under damage, faults and crashes once more, with everything encrypted. */
import { createSecretKey } from 'node:crypto';
import { KeyRing } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { vi } from 'vitest';
import type * as Open from '../src/open-database.ts';
import type * as Rebalance from '../src/rebalance-database.ts';
import type * as Verify from '../src/verify-database.ts';

function withKeys<Components extends object>(components: Components): Components {
  const keys = new KeyRing([createSecretKey(Buffer.alloc(32, 1))], new SeededRandom(1));
  return { keys, ...components };
}

vi.mock('../src/open-database.ts', async (original) => {
  const real = await original<typeof Open>();
  const openDatabase: typeof Open.openDatabase = (components, ...rest) =>
    real.openDatabase(withKeys(components), ...rest);
  return { ...real, openDatabase };
});

vi.mock('../src/verify-database.ts', async (original) => {
  const real = await original<typeof Verify>();
  const verifyDatabase: typeof Verify.verifyDatabase = (components, ...rest) =>
    real.verifyDatabase(withKeys(components), ...rest);
  return { ...real, verifyDatabase };
});

vi.mock('../src/rebalance-database.ts', async (original) => {
  const real = await original<typeof Rebalance>();
  const rebalanceDatabase: typeof Rebalance.rebalanceDatabase = (components, ...rest) =>
    real.rebalanceDatabase(withKeys(components), ...rest);
  return { ...real, rebalanceDatabase };
});

import './creation-cut-short.test.ts';
import './double-damage.test.ts';
import './maintenance-failures.test.ts';
import './rebalance-cut-short.test.ts';
import './rot.test.ts';
import './scrub.test.ts';
import '../src/database.test.ts';
