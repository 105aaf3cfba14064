/** A backend that does the least there is: what it does not declare is refused above it. */
import { NodeClock } from '@holdfast/core';
import { BackedKvStore, type KvBackend, type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { kvStoreConformance } from '@holdfast/kv/conformance';
import { describe, expect, it } from 'vitest';

const components = { clock: new NodeClock() };

function bare(): KvStore {
  const inner = openMemoryKvStore(components, { id: 'bare' });
  const none = { atomicBatch: false, compareAndSet: false, createdOrder: false };
  const neither = { ttl: false, watch: false, stamps: false };
  const backend: KvBackend = {
    id: inner.id,
    capabilities: { ...inner.capabilities, ...none, ...neither },
    read: (key) => inner.getEntry(key),
    write: (writes) =>
      inner.batch(
        writes.map((write) =>
          write.type === 'put'
            ? { type: 'put', key: write.key, value: write.value }
            : { type: 'del', key: write.key },
        ),
      ),
    async *scan({ from, to }, { reverse }) {
      for await (const entry of inner.entries({ gte: from, lt: to, reverse })) yield [entry];
    },
    scanCreated: () => {
      throw new Error('not asked for');
    },
    changes: () => {
      throw new Error('not asked for');
    },
    lastChange: () => 0,
    flush: () => inner.flush(),
    close: () => inner.close(),
  };
  return new BackedKvStore(components, backend);
}

const reason = 'the least there is';

describe('a bare backend', () => {
  kvStoreConformance({
    it,
    open: async () => ({ store: bare() }),
    unsupported: {
      atomicBatch: reason,
      compareAndSet: reason,
      createdOrder: reason,
      ttl: reason,
      watch: reason,
      stamps: reason,
      reopen: reason,
    },
  });

  it('refuses a watch as every other thing that it does not do', async () => {
    const watch = bare().watch()[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({ code: 'KV_UNSUPPORTED' });
  });
});
