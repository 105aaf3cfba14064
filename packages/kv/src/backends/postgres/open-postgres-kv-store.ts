/**
 * A key-value store in a Postgres. Several processes may write; whoever takes it over for itself
 * claims an epoch (`fence`), which every write compares in its own statement.
 */
import { type Clock, LIMITS } from '@holdfast/core';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { TableKvBackend } from '../table/table-kv-backend.ts';
import { PostgresEntryTable } from './postgres-entry-table.ts';

export interface PostgresKvSettings {
  readonly id: string;
  /** `postgresql://user@host:port/database`; TLS as the driver's parameters say. */
  readonly url: string;
  /** Tables of this name, and with `_head` behind it, are made. Default: `holdfast_kv`. */
  readonly table?: string;
  /** Default: 8. */
  readonly connections?: number;
  /** A silent server is given up after this. Default: 10 s. */
  readonly timeoutMs?: number;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

/** Driver: `pg`. */
export async function openPostgresKvStore(
  components: { readonly clock: Clock },
  settings: PostgresKvSettings,
): Promise<FencedKvStore> {
  const { clock } = components;
  const { id, url, table: name = 'holdfast_kv', epoch = 0 } = settings;
  const { connections = LIMITS.backendConnections, timeoutMs = LIMITS.backendTimeoutMs } = settings;
  const table = await PostgresEntryTable.open(clock, { url, connections, timeoutMs }, name);
  const backend = await TableKvBackend.open({ clock }, table, { id, epoch });
  return new BackedFencedKvStore({ clock }, backend);
}
