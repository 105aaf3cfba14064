import { NodeClock, NodeRandom } from '@holdfast/core';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { inScratch } from './embedded.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };

describe('a store in files', () => {
  kvStoreConformance({
    it,
    open: () => inScratch((directory) => openFilesKvStore(seams, { id: 'files', directory })),
    unsupported: {
      atomicBatch: 'each entry is a file of its own',
      watch: 'changes are not kept',
    },
  });
});
