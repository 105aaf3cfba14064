/** The contract holds over an encrypted store, whatever is beneath. */
import { MemoryFileSystem } from '@holdfast/core';
import { type KvStore, namespaced } from '@holdfast/kv';
import { type KvStoreUnderTest, kvStoreConformance } from '@holdfast/kv/conformance';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';
import { describe, it, vi } from 'vitest';
import { inScratch, whyNoSqlite } from '../backends/embedded.ts';
import { briefly, onServer } from '../backends/servers.ts';
import { EngineLife } from '../engine-life.ts';
import { COMPONENTS, memories, memory, openTiers } from '../tiers/tiered-stores.ts';
import { encrypted, ringOf } from './encrypted-stores.ts';

vi.setConfig({ testTimeout: 60_000 });

const keys = ringOf(['a']);

function sealed(store: KvStore): KvStore {
  return encrypted(store, keys);
}

/** The suite closes what it is given, which closes nothing beneath. */
async function over(place: Promise<KvStoreUnderTest>): Promise<KvStoreUnderTest> {
  const { store, reopen, close } = await place;
  let beneath = store;
  return {
    store: sealed(store),
    ...(reopen && {
      reopen: async () => {
        beneath = await reopen();
        return sealed(beneath);
      },
    }),
    close: async () => {
      await beneath.close();
      await close?.();
    },
  };
}

describe('encrypted over memory', () => {
  kvStoreConformance({
    it,
    open: () => over(Promise.resolve({ store: memory('memory') })),
    unsupported: { reopen: 'memory is gone with its store' },
  });
});

describe('a namespace of tiers, all of them encrypted', () => {
  kvStoreConformance({
    it,
    open: async () => {
      const { local, ...tiers } = memories();
      const open = await openTiers(
        {
          primary: encrypted(tiers.primary, keys),
          backup: encrypted(tiers.backup, keys),
          ephemeral: encrypted(tiers.ephemeral, keys),
          local: encrypted(local, keys),
        },
        { rules: [{ glob: '**2' }] },
      );
      return { store: namespaced(open, 'main', 'sub'), close: () => open.close() };
    },
    unsupported: { reopen: 'memory is gone with its store', anyText: 'names are narrow' },
  });
});

describe('encrypted over a store of the engine', () => {
  kvStoreConformance({
    it,
    open: async () => {
      const components = { ...COMPONENTS, fileSystem: new MemoryFileSystem() };
      const settings = { purgeIntervalMs: 20, purgeStartGraceMs: 0, entryCacheBytes: 100_000 };
      let life = await EngineLife.open(components, {}, settings);
      return {
        store: sealed(life.engine.store('main')),
        reopen: async () => {
          await life.close();
          life = await EngineLife.open(components, {}, settings);
          return sealed(life.engine.store('main'));
        },
        close: () => life.close(),
      };
    },
  });
});

describe('encrypted over LMDB', () => {
  kvStoreConformance({
    it: briefly,
    open: () =>
      over(inScratch((directory) => openLmdbKvStore(COMPONENTS, { id: 'lmdb', directory }))),
  });
});

describe('encrypted over files', () => {
  kvStoreConformance({
    it,
    open: () => {
      const fileSystem = new MemoryFileSystem();
      const settings = { id: 'files', directory: 'store' };
      return over(onServer(() => openFilesKvStore({ ...COMPONENTS, fileSystem }, settings)));
    },
    unsupported: { atomicBatch: 'each entry is a file of its own', watch: 'changes are not kept' },
  });
});

const whySkipped = await whyNoSqlite();

// Skipped only where this Node has no SQLite, as the title says.
describe.skipIf(whySkipped !== undefined)(`encrypted over SQLite${whySkipped ?? ''}`, () => {
  kvStoreConformance({
    it: briefly,
    open: () =>
      over(inScratch((directory) => openSqliteKvStore(COMPONENTS, { id: 'sqlite', directory }))),
  });
});
