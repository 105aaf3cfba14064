/**
 * The operations of the subscription engine: absolute effects, one log record each (FORMAT.md,
 * "Subscription records").
 */
import { type Operation, RECORD_RANGES, REQUIRED_RECORD } from '@holdfast/database';
import type { Position } from '../position.ts';
import type { SubscriptionConfig } from './subscription-store.ts';

const range = RECORD_RANGES.subscriptions | REQUIRED_RECORD;

/** Numbers on disk: never reused for another meaning. */
export const SUBSCRIPTION_RECORDS = {
  put: (range | 0) as 0x8080,
  update: (range | 1) as 0x8081,
  remove: (range | 2) as 0x8082,
  putKey: (range | 3) as 0x8083,
  removeKey: (range | 4) as 0x8084,
} as const;

/**
 * `issued`: nobody has it yet, as far as is known. `delivered`: the receiver took it and has the
 * lease. `claimed`: a worker has the lease.
 */
export type WakePhase = 'issued' | 'delivered' | 'claimed';

export interface WakeState {
  readonly wakeId: string;
  readonly phase: WakePhase;
  /** With `claimed`. */
  readonly holder?: string;
  /** Wall clock, ms; without meaning for an issued wake of a pull-wake subscription. */
  readonly leaseUntilMs: number;
  /**
   * The greatest stream id when the wake was handed out: acks of streams that came later are
   * meant for a stream that had the path before, and move nothing.
   */
  readonly highestStreamId: number;
}

/** What moves with wakes. Replaced, never changed in place. */
export interface SubscriptionState {
  readonly generation: number;
  readonly wake?: WakeState;
  readonly failedAttempts: number;
  /** Wall clock, ms; while a retry is waiting. */
  readonly nextAttemptAtMs?: number;
  readonly parked: boolean;
}

/** A link that has to be remembered; see `LinkBook` for those that need not. */
export interface LinkRow {
  readonly path: string;
  readonly explicit: boolean;
  /** The stream the cursor belongs to; 0 for none. */
  readonly streamId: number;
  readonly acked: Position;
}

export interface PutOperation extends Operation {
  readonly type: typeof SUBSCRIPTION_RECORDS.put;
  readonly id: string;
  /** Tells this subscription from others of its name, before and after. */
  readonly incarnation: string;
  readonly createdAtMs: number;
  /** Matching streams from this id on are linked at their start without a row. */
  readonly firstStreamId: number;
  readonly config: SubscriptionConfig;
  readonly links: readonly LinkRow[];
}

export interface UpdateOperation extends Operation {
  readonly type: typeof SUBSCRIPTION_RECORDS.update;
  readonly id: string;
  readonly incarnation: string;
  readonly state: SubscriptionState;
  readonly links: readonly LinkRow[];
  /** Paths of links that are forgotten. */
  readonly unlinked: readonly string[];
}

export interface RemoveOperation extends Operation {
  readonly type: typeof SUBSCRIPTION_RECORDS.remove;
  readonly id: string;
  readonly incarnation: string;
}

/** A secret: the one of tokens, or the seed of a signing key. */
export interface StoredKey {
  /** `token`, or the `kid` of a signing key. */
  readonly name: string;
  /** 32 bytes, in plain until there is encryption at rest. */
  readonly secret: Buffer;
  readonly createdAtMs: number;
  /** Published before, used from here on. */
  readonly signsFromMs: number;
}

export interface PutKeyOperation extends Operation {
  readonly type: typeof SUBSCRIPTION_RECORDS.putKey;
  readonly key: StoredKey;
}

export interface RemoveKeyOperation extends Operation {
  readonly type: typeof SUBSCRIPTION_RECORDS.removeKey;
  readonly name: string;
}

export type SubscriptionOperation =
  PutOperation | UpdateOperation | RemoveOperation | PutKeyOperation | RemoveKeyOperation;

export const NEW_STATE: SubscriptionState = { generation: 0, failedAttempts: 0, parked: false };
