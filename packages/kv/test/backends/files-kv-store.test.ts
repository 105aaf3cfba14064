import { MemoryFileSystem, NodeClock, NodeRandom } from '@holdfast/core';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { inScratch } from './embedded.ts';
import { briefly, onServer } from './servers.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
const unsupported = {
  atomicBatch: 'each entry is a file of its own',
  watch: 'changes are not kept',
};

describe('a store in files', () => {
  kvStoreConformance({
    it,
    open: () => {
      const fileSystem = new MemoryFileSystem();
      return onServer(() =>
        openFilesKvStore({ ...seams, fileSystem }, { id: 'files', directory: 'store' }),
      );
    },
    unsupported,
  });
});

describe('a store in files on a real disk', () => {
  kvStoreConformance({
    it: briefly,
    open: () => inScratch((directory) => openFilesKvStore(seams, { id: 'files', directory })),
    unsupported,
  });
});
