/** What the tests of the stores on a server share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { FencedKvStore } from '@holdfast/kv';
import type { KvStoreUnderTest } from '@holdfast/kv/conformance';
import { it } from 'vitest';

/** Whether the server is here; where it is not, says so. */
export function serverTests(name: string, program: string | undefined): boolean {
  if (program !== undefined) return true;
  const { CI } = process.env;
  const why = `no ${name} here: npm run servers -- install`;
  if (CI !== undefined) throw new Error(why);
  console.warn(`SKIPPED: ${why}`);
  return false;
}

export function scratch(): string {
  return mkdtempSync(path.join(tmpdir(), 'holdfast-kv-'));
}

export function removeScratch(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

/** Hundreds of writes, each a sync of the disk or several. */
const MANY_WRITES =
  /^(changes between two pages|a long range|a walk that others|fifty entries|every combination|a history .* seed [2-4]|a hundred writes)/;

/** The suite without what takes long on a slow place; that runs on a quick place of the same store. */
export const briefly = Object.assign(
  (title: string, run: () => Promise<void>) =>
    MANY_WRITES.test(title)
      ? briefly.skip(`${title} (on a quick place only)`, run)
      : it(title, run),
  // Skipped with a reason in the title, as the suite does it.
  { skip: (title: string, run: () => Promise<void>) => it.skipIf(true)(title, run) },
);

let places = 0;

/** A store in a new place of the server. */
export async function onServer(
  open: (place: string) => Promise<FencedKvStore>,
): Promise<KvStoreUnderTest> {
  const place = `place_${++places}`;
  let store = await open(place);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await open(place);
      return store;
    },
  };
}
