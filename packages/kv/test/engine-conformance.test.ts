/** The engine keeps the contract: with everything in memory, in rows, in both, and as a view. */
import { MemoryFileSystem, NodeClock, NodeRandom } from '@holdfast/core';
import { type KvStore, namespaced } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { EngineLife } from './engine-life.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const QUICK = { purgeIntervalMs: 20, purgeStartGraceMs: 0 };

interface Way {
  readonly checkpointEveryMs?: number;
  readonly entryCacheBytes: number;
  readonly view: (store: KvStore) => KvStore;
}

function conforms({ checkpointEveryMs, entryCacheBytes, view }: Way, anyText = true): void {
  kvStoreConformance({
    it,
    unsupported: anyText ? {} : { anyText: 'names of the Lightning Dev Kit are narrow' },
    open: async () => {
      const components = { ...seams, fileSystem: new MemoryFileSystem() };
      const settings = { ...QUICK, entryCacheBytes };
      let life = await EngineLife.open(components, {}, settings);
      let checkpoints: Promise<unknown> = Promise.resolve();
      let over = false;
      const timer = setInterval(() => {
        const { database } = life;
        checkpoints = checkpoints.then(() =>
          over || database.state !== 'open' ? undefined : database.checkpoint().catch(() => {}),
        );
      }, checkpointEveryMs ?? 1e9);
      return {
        store: view(life.engine.store('main')),
        reopen: async () => {
          await life.close();
          life = await EngineLife.open(components, {}, settings);
          return view(life.engine.store('main'));
        },
        close: async () => {
          over = true;
          clearInterval(timer);
          await checkpoints;
          await life.close();
        },
      };
    },
  });
}

describe('a store of the engine', () => {
  conforms({ entryCacheBytes: 1_000_000, view: (store) => store });
});

describe('a store of the engine with checkpoints all the time and no cache', () => {
  conforms({ checkpointEveryMs: 2, entryCacheBytes: 0, view: (store) => store });
});

describe('a namespace of a store of the engine', () => {
  conforms({ entryCacheBytes: 0, view: (store) => namespaced(store, 'main', 'sub') }, false);
});
