/** The tiers as one backend: `BackedKvStore` does the rest of the contract over it. */
import { LIMITS } from '@holdfast/core';
import type { ChangeRing } from '../change-ring.ts';
import type {
  CreatedPlace,
  KeyInterval,
  KvBackend,
  KvScanOptions,
  KvWrite,
} from '../kv-backend.ts';
import type { KvAck, KvCapabilities, KvChange, KvEntry, KvStore } from '../kv-store.ts';
import { OPERATION_OVERHEAD_BYTES } from './tier-operation.ts';
import type { TieredReads } from './tiered-reads.ts';
import type { TierStores } from './tiered-store.ts';
import type { TieredWalks } from './tiered-walks.ts';
import type { TieredWrites } from './tiered-writes.ts';

export interface TieredBackendParts {
  readonly reads: TieredReads;
  readonly writes: TieredWrites;
  readonly walks: TieredWalks;
  readonly ring: ChangeRing;
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export class TieredBackend implements KvBackend {
  readonly id: string;
  readonly capabilities: KvCapabilities;
  readonly #parts: TieredBackendParts;

  constructor(id: string, capabilities: KvCapabilities, parts: TieredBackendParts) {
    this.id = id;
    this.capabilities = capabilities;
    this.#parts = parts;
  }

  read(key: string): Promise<KvEntry | undefined> {
    return this.#parts.reads.read(key);
  }

  write(writes: readonly KvWrite[], signal: AbortSignal | undefined): Promise<readonly KvAck[]> {
    return this.#parts.writes.write(writes, signal);
  }

  scan(interval: KeyInterval, options: KvScanOptions): AsyncIterable<readonly KvEntry[]> {
    return this.#parts.walks.scan(interval, options);
  }

  scanCreated(
    behind: CreatedPlace | undefined,
    options: KvScanOptions,
  ): AsyncIterable<readonly KvEntry[]> {
    return this.#parts.walks.scanCreated(behind, options);
  }

  changes(since: number | undefined, signal: AbortSignal): AsyncIterable<KvChange> {
    return this.#parts.ring.watch(this.id, since, signal);
  }

  lastChange(): number {
    return this.#parts.ring.last;
  }

  flush(): Promise<void> {
    return this.#parts.flush();
  }

  close(): Promise<void> {
    return this.#parts.close();
  }
}

/** What `TierFence` adds. */
const GUARD_OPERATIONS = 2;
const DURABILITIES = ['none', 'process', 'power'] as const;

/** What all of them can; limits are checked against all before any is written. */
export function combinedCapabilities(stores: TierStores, evicts: boolean): KvCapabilities {
  const { primary, backup, ephemeral, local } = stores;
  const given = [primary, backup, ephemeral].filter((store) => store !== undefined);
  const all = (feature: 'createdOrder' | 'ttl' | 'watch' | 'anyText'): boolean =>
    given.every(({ capabilities }) => capabilities[feature]);
  const least = (of: readonly KvStore[], limit: LimitName): number =>
    Math.min(...of.map(({ capabilities }) => capabilities[limit]));
  const durable = [primary, backup, local].filter((store) => store !== undefined);
  const weakest = Math.min(
    ...durable.map(({ capabilities }) => DURABILITIES.indexOf(capabilities.durability)),
  );
  // Tiers without batches get one operation at a time.
  const batching = given.filter(({ capabilities }) => capabilities.atomicBatch);
  const { atomicBatch } = primary.capabilities;
  const operations = Math.min(
    least(batching, 'maxBatchOperations') - GUARD_OPERATIONS,
    local.capabilities.maxBatchOperations - LIMITS.lazyLocalOperations - 1,
  );
  const localRoom = local.capabilities.maxBatchBytes - LIMITS.maxEntryKeyBytes;
  const beside = LIMITS.lazyLocalOperations + operations;
  return {
    atomicBatch,
    compareAndSet: true,
    createdOrder: all('createdOrder'),
    ttl: all('ttl'),
    watch: all('watch'),
    stamps: true,
    anyText: all('anyText'),
    durability: DURABILITIES[weakest] ?? 'none',
    evicts,
    retries: true,
    maxKeyBytes: least(given, 'maxKeyBytes'),
    maxValueBytes: Math.min(
      least(given, 'maxValueBytes'),
      // Beside its key and the guard of `TierFence`, in one batch.
      least(batching, 'maxBatchBytes') - 2 * LIMITS.maxEntryKeyBytes,
      local.capabilities.maxValueBytes - OPERATION_OVERHEAD_BYTES - LIMITS.maxEntryKeyBytes,
    ),
    maxBatchOperations: atomicBatch ? operations : 1,
    maxBatchBytes: Math.min(
      least(batching, 'maxBatchBytes') - LIMITS.maxEntryKeyBytes,
      localRoom - beside * OPERATION_OVERHEAD_BYTES,
    ),
  };
}

type LimitName = 'maxKeyBytes' | 'maxValueBytes' | 'maxBatchOperations' | 'maxBatchBytes';
