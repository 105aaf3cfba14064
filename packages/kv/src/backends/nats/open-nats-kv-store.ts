/**
 * A key-value store in a bucket of NATS JetStream. The server acknowledges before it syncs: what was
 * acknowledged survives its end, not the loss of power. One process writes at a time; another one
 * that begins to write fences it. The order of keys is held in memory.
 */
import { type Clock, LIMITS, type Random } from '@holdfast/core';
import type { FencedKvStore } from '../../fencing.ts';
import { BackedFencedKvStore } from '../backed-fenced-kv-store.ts';
import { CellKvBackend } from '../cell/cell-kv-backend.ts';
import { NatsCellStore } from './nats-cell-store.ts';

export interface NatsKvSettings {
  readonly id: string;
  /** `nats://host:port`, or several of a cluster. */
  readonly servers: string | readonly string[];
  /** Made if it is not there. Letters, digits, `-` and `_`. */
  readonly bucket: string;
  /** Of a bucket that is made. Default: 1. */
  readonly replicas?: number;
  /** Calls at a time. Default: 64. */
  readonly calls?: number;
  /** A silent server is given up after this. Default: 10 s. */
  readonly timeoutMs?: number;
  /** What writes carry: see `fencing.ts`. Default: 0. */
  readonly epoch?: number;
}

const DEFAULT_CALLS = 64;

/** Drivers: `@nats-io/transport-node` and `@nats-io/kv`. */
export async function openNatsKvStore(
  components: { readonly clock: Clock; readonly random: Random },
  settings: NatsKvSettings,
): Promise<FencedKvStore> {
  const { clock, random } = components;
  const { id, servers, bucket, replicas = 1, epoch = 0 } = settings;
  const { calls = DEFAULT_CALLS, timeoutMs = LIMITS.backendTimeoutMs } = settings;
  const place = { servers, bucket, replicas, connections: calls, timeoutMs };
  const store = await NatsCellStore.open(clock, place);
  const backend = await CellKvBackend.open({ clock, random, store }, { id, epoch, sole: false });
  return new BackedFencedKvStore({ clock }, backend);
}
