/** Tiers in two databases of SQLite, one of them encrypted, with the contract of both. */
import type { FencedKvStore, KvStore } from '@holdfast/kv';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, vi } from 'vitest';
import { whyNoSqlite } from '../backends/embedded.ts';
import { briefly, removeScratch, scratch } from '../backends/servers.ts';
import { encrypted } from '../encrypted/encrypted-stores.ts';
import { COMPONENTS, openTiers } from '../tiers/tiered-stores.ts';

vi.setConfig({ testTimeout: 60_000 }); // each write is several syncs

const whySkipped = await whyNoSqlite();

// Skipped only where this Node has no SQLite, as the title says.
describe.skipIf(whySkipped !== undefined)(`tiers over SQLite${whySkipped ?? ''}`, () => {
  kvStoreConformance({
    it: briefly,
    open: async () => {
      const directory = scratch();
      let stores: readonly FencedKvStore[] = [];
      const start = async (): Promise<KvStore> => {
        const open = (id: string): Promise<FencedKvStore> =>
          openSqliteKvStore(COMPONENTS, { id, directory: `${directory}/${id}` });
        const [primary, backup, local] = await Promise.all([
          open('primary'),
          open('backup'),
          open('local'),
        ]);
        stores = [primary, backup, local];
        return openTiers({ primary, backup: encrypted(backup), local }, { callTimeoutMs: 30_000 });
      };
      const end = async (): Promise<void> => {
        for (const store of stores) await store.close();
      };
      let tiers = await start();
      return {
        store: tiers,
        reopen: async () => {
          await tiers.close();
          await end();
          tiers = await start();
          return tiers;
        },
        close: async () => {
          await end();
          removeScratch(directory);
        },
      };
    },
  });
});
