import { NodeClock } from '@holdfast/core';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { inScratch, whyNoSqlite } from './embedded.ts';

const clock = new NodeClock();
const missing = await whyNoSqlite();

// Skipped only where this Node has no SQLite, as the title says.
describe.skipIf(missing !== undefined)(`a store in SQLite${missing ?? ''}`, () => {
  kvStoreConformance({
    it,
    open: () => inScratch((directory) => openSqliteKvStore({ clock }, { id: 'sqlite', directory })),
  });
});
