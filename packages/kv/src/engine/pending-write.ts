/** A call that writes, from the call to its commit. */
import type { KvWrite } from '../kv-backend.ts';
import type { KvAck } from '../kv-store.ts';
import type { KeyState } from './key-state.ts';
import type { StoreKeys } from './store-keys.ts';

export interface PendingWrite {
  readonly store: StoreKeys;
  readonly writes: readonly KvWrite[];
  readonly signal: AbortSignal | undefined;
  readonly bytes: number;
  readonly resolve: (acks: readonly KvAck[]) => void;
  readonly reject: (error: unknown) => void;
  /** Each key once. */
  states: readonly KeyState[];
  /** Of its keys those that are not known yet, or have an earlier write before it. */
  blocked: number;
}
