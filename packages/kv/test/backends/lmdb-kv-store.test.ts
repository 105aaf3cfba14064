import { NodeClock } from '@holdfast/core';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, it } from 'vitest';
import { inScratch } from './embedded.ts';

const clock = new NodeClock();

describe('a store in LMDB', () => {
  kvStoreConformance({
    it,
    open: () => inScratch((directory) => openLmdbKvStore({ clock }, { id: 'lmdb', directory })),
  });
});
