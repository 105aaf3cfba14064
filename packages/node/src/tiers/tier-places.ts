/**
 * From a location to an open store. Whatever speaks to a kind of place is loaded when the first one
 * is opened: who uses none of them installs nothing.
 */
import { type Clock, type FileSystem, LIMITS, type Random } from '@holdfast/core';
import { type FencedKvStore, type KvCapabilities, type KvStore } from '@holdfast/kv';
import type { KvLocation, KvLocationKind } from './kv-location.ts';

export interface TierPlaceComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly fileSystem: FileSystem;
  /** Where `AWS_…` variables are looked up. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Around every place outside the node, with the name of the store: it keeps the fence. */
  readonly seal?: ((store: FencedKvStore, name: string) => FencedKvStore) | undefined;
}

/** A place that is opened, and may be away. */
export type OutsideLocation = Exclude<KvLocation, { readonly kind: 'engine' | 'memory' }>;

export function isOutside(location: KvLocation): location is OutsideLocation {
  return location.kind !== 'engine' && location.kind !== 'memory';
}

/** @throws `DRIVER_MISSING`, naming the package to install; what speaks against the place. */
export async function openTierPlace(
  location: OutsideLocation,
  { name, epoch }: { readonly name: string; readonly epoch: number },
  components: TierPlaceComponents,
): Promise<FencedKvStore> {
  const store = await openBare(location, epoch, components);
  return components.seal === undefined ? store : components.seal(store, name);
}

async function openBare(
  location: OutsideLocation,
  epoch: number,
  components: TierPlaceComponents,
): Promise<FencedKvStore> {
  const { id } = location;
  switch (location.kind) {
    case 'files': {
      const { openFilesKvStore } = await import('@holdfast/kv/backends/files');
      return openFilesKvStore(components, { id, epoch, directory: location.directory });
    }
    case 'lmdb': {
      const { openLmdbKvStore } = await import('@holdfast/kv/backends/lmdb');
      return openLmdbKvStore(components, { id, epoch, directory: location.directory });
    }
    case 'sqlite': {
      const { openSqliteKvStore } = await import('@holdfast/kv/backends/sqlite');
      return openSqliteKvStore(components, { id, epoch, directory: location.directory });
    }
    case 'postgres': {
      const { openPostgresKvStore } = await import('@holdfast/kv/backends/postgres');
      return openPostgresKvStore(components, {
        ...{ id, epoch },
        url: location.url,
        table: location.table,
      });
    }
    case 'redis': {
      const { openRedisKvStore } = await import('@holdfast/kv/backends/redis');
      return openRedisKvStore(components, { id, epoch, url: location.url, name: location.name });
    }
    case 'nats': {
      const { openNatsKvStore } = await import('@holdfast/kv/backends/nats');
      const { servers, bucket } = location;
      return openNatsKvStore(components, { id, epoch, servers, bucket });
    }
    case 's3':
      return openS3(location, epoch, components);
  }
}

/** The objects are closed with the store. Nothing is tried again in there: tiers do that. */
async function openS3(
  { id, bucket, prefix, access }: OutsideLocation & { readonly kind: 's3' },
  epoch: number,
  components: TierPlaceComponents,
): Promise<FencedKvStore> {
  const { openS3KvStore } = await import('@holdfast/kv/backends/s3');
  const { openS3ObjectStore } = await import('@holdfast/objects');
  const objects = await openS3ObjectStore({ ...access, bucket, prefix }, components);
  try {
    const store = await openS3KvStore({ ...components, objects }, { id, epoch });
    return withClose(store, () => objects.close());
  } catch (error) {
    await objects.close();
    throw error;
  }
}

function withClose(store: FencedKvStore, then: () => Promise<void>): FencedKvStore {
  const close = store.close.bind(store);
  store.close = async (): Promise<void> => {
    await close();
    await then();
  };
  return store;
}

const TABLES: KvCapabilities = {
  atomicBatch: true,
  compareAndSet: true,
  createdOrder: true,
  ttl: true,
  watch: false,
  stamps: true,
  anyText: true,
  durability: 'power',
  evicts: false,
  retries: false,
  maxKeyBytes: LIMITS.maxEntryKeyBytes,
  maxValueBytes: LIMITS.maxEntryValueBytes,
  maxBatchOperations: LIMITS.maxTransactionOperations,
  maxBatchBytes: LIMITS.maxEntryBatchBytes,
};
/** What a NATS server takes in one message unless it is told otherwise, without what is around it. */
const NATS_VALUE_BYTES = 1_048_576 - 4_096;
const ONE_BY_ONE = { ...TABLES, atomicBatch: false, maxBatchOperations: 1 };

/**
 * Until a place has answered once: no more than it will turn out to take, so that nothing is
 * acknowledged elsewhere which then does not fit.
 */
export const ASSUMED_CAPABILITIES: Readonly<Record<KvLocationKind, KvCapabilities>> = {
  engine: TABLES,
  memory: TABLES,
  postgres: TABLES,
  redis: { ...TABLES, durability: 'process' },
  sqlite: { ...TABLES, watch: true },
  lmdb: { ...TABLES, watch: true, maxKeyBytes: 1_024 },
  files: { ...ONE_BY_ONE, maxKeyBytes: 366 },
  s3: { ...ONE_BY_ONE, maxKeyBytes: 366, maxValueBytes: LIMITS.objectPartBytes },
  nats: {
    ...ONE_BY_ONE,
    durability: 'process',
    maxKeyBytes: 1_024,
    maxValueBytes: NATS_VALUE_BYTES,
  },
};

const BOUNDS = ['maxKeyBytes', 'maxValueBytes', 'maxBatchOperations', 'maxBatchBytes'] as const;

/** The place takes less than was said while it was away. */
export function isNarrower(store: KvStore, said: KvCapabilities): boolean {
  const { capabilities } = store;
  return BOUNDS.some((bound) => capabilities[bound] < said[bound]);
}
