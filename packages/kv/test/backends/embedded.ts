/** What the tests of the stores in a folder share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KvStore } from '@holdfast/kv';
import type { KvStoreUnderTest } from '@holdfast/kv/conformance';

export function scratch(): string {
  return mkdtempSync(path.join(tmpdir(), 'holdfast-kv-'));
}

/** A store in a new folder, which goes with it. */
export async function inScratch(
  open: (directory: string) => Promise<KvStore>,
): Promise<KvStoreUnderTest> {
  const directory = scratch();
  let store = await open(directory);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await open(directory);
      return store;
    },
    close: async () => rmSync(directory, { recursive: true, force: true }),
  };
}

/**
 * Why there is no SQLite here, for the title of what is skipped: Node 20 has none, and the package
 * for it is compiled when it is installed. The tests run on Node 24.
 */
export async function whyNoSqlite(): Promise<string | undefined> {
  for (const name of ['node:sqlite', 'better-sqlite3']) {
    try {
      await import(name);
      return undefined;
    } catch {
      continue;
    }
  }
  return ' (SKIPPED: this Node has no node:sqlite, and better-sqlite3 is not installed)';
}
