/**
 * What a tiered store knows of itself from one life to the next; rests in its local store.
 *
 * Invariants
 * 1. `epoch` was claimed by this store, or none was (0). It is written after the primary has it.
 * 2. `clock` is at or above every number that was given in a life that ended well; after one that did
 *    not, numbers go on far above it.
 * 3. `behind` is durable before the first write that the backup is not owed.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { KvOperation, KvStore } from '../kv-store.ts';

export interface TierState {
  /** 0: this local store is new. */
  readonly epoch: number;
  /** Signs the claims of this store. */
  readonly owner: string;
  readonly primaryId: string;
  readonly backupId: string | undefined;
  /** The backup knows of `epoch`. */
  readonly backupClaimed: boolean;
  readonly behind: boolean;
  /** An epoch is being claimed; how that ended is not known. */
  readonly claiming: boolean;
  /** The epoch of a promotion or migration that was begun, and whose end is not known. */
  readonly moving: number | undefined;
  /** Of the rules that the data is placed by. */
  readonly rulesId: string | undefined;
  /** See `TieredSettings`; as it was when an epoch was claimed last. */
  readonly copyId: string | undefined;
}

const STATE_KEY = 'state';
const CLOCK_KEY = 'clock';

const NEW_STATE: TierState = {
  epoch: 0,
  owner: '',
  primaryId: '',
  backupId: undefined,
  backupClaimed: false,
  behind: false,
  claiming: false,
  moving: undefined,
  rulesId: undefined,
  copyId: undefined,
};

export async function readTierState(local: KvStore): Promise<TierState> {
  const bytes = await local.get(STATE_KEY);
  if (bytes === undefined) return NEW_STATE;
  const state = parse(bytes) as Partial<TierState>;
  if (!Number.isSafeInteger(state.epoch) || typeof state.primaryId !== 'string') throw invalid();
  return { ...NEW_STATE, ...state };
}

export function stateOperation(state: TierState): KvOperation {
  return { type: 'put', key: STATE_KEY, value: Buffer.from(JSON.stringify(state)) };
}

/** Where numbers go on: I2. */
export async function readTierClock(local: KvStore): Promise<number> {
  const bytes = await local.get(CLOCK_KEY);
  if (bytes === undefined) return 0;
  const { now, clean } = parse(bytes) as { now?: unknown; clean?: unknown };
  if (!Number.isSafeInteger(now)) throw invalid();
  return clean === true ? (now as number) : (now as number) + LIMITS.tierClockJump;
}

/** @param clean nothing will be given behind it. */
export function clockOperation(now: number, clean: boolean): KvOperation {
  return { type: 'put', key: CLOCK_KEY, value: Buffer.from(JSON.stringify({ now, clean })) };
}

function parse(bytes: Uint8Array): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw invalid();
}

function invalid(): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', 'the local store of tiers holds something else');
}
