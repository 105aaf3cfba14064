import { NodeClock } from '@holdfast/core';
import { MemoryObjectStore } from '@holdfast/objects';
import { objectStoreConformance } from '@holdfast/objects/conformance';
import { describe, it } from 'vitest';

describe('MemoryObjectStore', () => {
  objectStoreConformance({
    it,
    open: async () => ({ store: new MemoryObjectStore({ clock: new NodeClock() }) }),
    unsupported: { reopen: 'memory is gone with its store' },
  });
});
