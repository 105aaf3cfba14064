/**
 * A key-value store in a Redis or Valkey. How durable it is depends on the server, which is asked:
 * see `capabilities.durability`. Several processes may write; whoever takes it over for itself claims
 * an epoch (`fence`), which every write compares in its own script.
 */
import { type Clock, LIMITS } from '@holdfast/core';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { TableKvBackend } from '../table/table-kv-backend.ts';
import { RedisEntryTable } from './redis-entry-table.ts';

export interface RedisKvSettings {
  readonly id: string;
  /** `redis://host:port`, or `rediss:` for TLS. */
  readonly url: string;
  /** Its keys begin with this in braces. Default: `holdfast`. */
  readonly name?: string;
  /** A silent server is given up after this. Default: 10 s. */
  readonly timeoutMs?: number;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

/** Driver: `ioredis`, else `iovalkey`. */
export async function openRedisKvStore(
  components: { readonly clock: Clock },
  settings: RedisKvSettings,
): Promise<FencedKvStore> {
  const { clock } = components;
  const { id, url, name = 'holdfast', epoch = 0 } = settings;
  const { timeoutMs = LIMITS.backendTimeoutMs } = settings;
  const table = await RedisEntryTable.open(clock, { url, name, timeoutMs });
  const backend = await TableKvBackend.open({ clock }, table, { id, epoch });
  return new BackedFencedKvStore({ clock }, backend);
}
