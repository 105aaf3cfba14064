/** No byte of a value is to be seen in whatever the store beneath writes. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { KvStore } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { whyNoSqlite } from '../backends/embedded.ts';
import { openEmbedded } from '../backends/open-embedded.ts';
import { removeScratch, scratch } from '../backends/servers.ts';
import { encrypted } from './encrypted-stores.ts';

const CANARY = 'a canary that sings in the dark';
const NAME = 'a-key-that-may-be-seen';

/** In a small value, and all over a large one. */
async function sing(store: KvStore): Promise<void> {
  await store.put(NAME, Buffer.from(CANARY));
  await store.batch([{ type: 'put', key: 'large', value: Buffer.from(CANARY.repeat(1_000)) }]);
  await store.put('deleted', Buffer.from(CANARY));
  await store.del('deleted');
  await store.flush();
}

function holds(files: readonly Uint8Array[], words: string): boolean {
  return files.some((file) => Buffer.from(file).includes(words));
}

const whySkipped = await whyNoSqlite();

describe.each([
  { kind: 'files', skip: undefined },
  { kind: 'lmdb', skip: undefined },
  { kind: 'sqlite', skip: whySkipped },
] as const)('in a folder of $kind', ({ kind, skip }) => {
  // Skipped only where this Node has no SQLite.
  it.skipIf(skip !== undefined).each([false, true])(
    'the canary is seen unless it is encrypted: %s',
    async (isEncrypted) => {
      const directory = scratch();
      const store = await openEmbedded(kind, directory);
      await sing(isEncrypted ? encrypted(store) : store);
      await store.close();
      const files = readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((each) => each.isFile())
        .map((each) => readFileSync(path.join(each.parentPath, each.name)));
      expect(holds(files, CANARY)).toBe(!isEncrypted);
      expect(holds(files, CANARY.slice(0, 8))).toBe(!isEncrypted);
      removeScratch(directory);
    },
  );
});
