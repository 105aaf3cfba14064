/**
 * Tiers over every pair of places, encrypted and plain. Each pair runs an eighth of the cases, so
 * that every one runs over every kind of primary, and over every kind of backup; and every
 * kind is encrypted and plain in both roles.
 */
import type { KvStore, TieredKvStore } from '@holdfast/kv';
import {
  type KvFeature,
  type KvStoreUnderTest,
  kvStoreConformance,
} from '@holdfast/kv/conformance';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { serverTests } from '../backends/servers.ts';
import { encrypted, ringOf } from '../encrypted/encrypted-stores.ts';
import { openTiers } from '../tiers/tiered-stores.ts';
import { PLACE_KINDS, type Place, type PlaceKind, Places, PROGRAMS } from './places.ts';

const PARTS = PLACE_KINDS.length;
const BATCHES: readonly PlaceKind[] = ['memory', 'engine', 'lmdb', 'postgres', 'redis'];
const WATCHES: readonly PlaceKind[] = ['memory', 'engine', 'lmdb'];
const keys = ringOf(['a']);
const places = new Places();

function isHere(kind: PlaceKind): boolean {
  return !(kind in PROGRAMS) || serverTests(kind, PROGRAMS[kind]);
}

/** Hundreds of writes, or the largest of them: they run over tiers of quick places in test/tiers. */
const HEAVY =
  /^(changes between two pages|clear deletes|a long range|a walk that others|a history|every combination|fifty entries|a hundred writes|the largest batch)/;

/** One part of the cases. */
function partOf(part: number) {
  let cases = 0;
  const isOurs = (title: string): boolean => !HEAVY.test(title) && cases++ % PARTS === part;
  return Object.assign(
    (title: string, run: () => Promise<void>) =>
      isOurs(title) && it(title, { timeout: 60_000 }, run),
    {
      skip: (title: string, run: () => Promise<void>) =>
        // With its reason in the title, as the suite gives it.
        isOurs(title) && it.skipIf(true)(title, run),
    },
  );
}

function unsupportedBy(primary: PlaceKind, backup: PlaceKind): Partial<Record<KvFeature, string>> {
  const pair = [primary, backup];
  return {
    ...(BATCHES.includes(primary) ? {} : { atomicBatch: 'the primary has none' }),
    ...(pair.every((kind) => WATCHES.includes(kind)) ? {} : { watch: 'not all of them tell' }),
    ...(pair.includes('memory') ? { reopen: 'memory is gone with its store' } : {}),
  };
}

interface Part {
  readonly kind: PlaceKind;
  readonly isEncrypted: boolean;
}

async function open(primary: Part, backup: Part): Promise<KvStoreUnderTest> {
  const made = [await places.make(primary.kind), await places.make(backup.kind)] as const;
  const local = places.local();
  let stores: KvStore[] = [];
  const start = async (): Promise<TieredKvStore> => {
    const [one, other] = await Promise.all(made.map((place: Place) => place()));
    stores = [one as KvStore, other as KvStore];
    return openTiers(
      {
        primary: primary.isEncrypted ? encrypted(one as KvStore, keys) : (one as KvStore),
        backup: backup.isEncrypted ? encrypted(other as KvStore, keys) : (other as KvStore),
        local,
      },
      { callTimeoutMs: 30_000 },
    );
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
    close: end,
  };
}

beforeAll(() => places.start(), 120_000);
afterAll(() => places.stop(), 120_000);

for (const [row, primaryKind] of PLACE_KINDS.entries()) {
  for (const [column, backupKind] of PLACE_KINDS.entries()) {
    const way = (column + 3 * row) % 4;
    const primary = { kind: primaryKind, isEncrypted: (way & 1) !== 0 };
    const backup = { kind: backupKind, isEncrypted: (way & 2) !== 0 };
    const nameOf = ({ kind, isEncrypted }: Part): string =>
      isEncrypted ? `encrypted ${kind}` : kind;
    // Skipped only where a server is not installed, which is said, and is an error in CI.
    describe.skipIf(!isHere(primaryKind) || !isHere(backupKind))(
      `tiers over ${nameOf(primary)} and ${nameOf(backup)}`,
      () => {
        kvStoreConformance({
          it: partOf((row + column) % PARTS),
          open: () => open(primary, backup),
          unsupported: unsupportedBy(primaryKind, backupKind),
        });
      },
    );
  }
}
