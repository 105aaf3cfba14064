/**
 * One store over several: a primary that is right, a backup that has all of it a second time, an
 * ephemeral tier for what can be made again, and a local store that remembers what is owed to whom.
 *
 * Everything of `KvStore` holds; beside it
 *
 * Truth
 * 1. The primary says what there is. `undefined` is only ever its answer, or for an ephemeral key
 *    that of the ephemeral tier; a tier that cannot answer is an error, never an absence. The one
 *    exception is asked for: `readFallback`, whose answers say `stale`.
 * 2. A write resolves when every tier that it waits for has it: `sync` the primary and the backup,
 *    which are written together; `async` the primary. An ephemeral key waits for its tier alone.
 * 3. Intent first: before a primary or a backup is touched the local store has the operation on its
 *    disk, and forgets it only after every tier has it. So after any failure, also a `kill -9`, it
 *    is known what which tier lacks; it is tried again until it is there. Nothing is undone.
 * 4. When it cannot be said that nothing happened, a failed write is `PARTIAL_WRITE`: `details`
 *    names each tier as `done` or `queued`, and what is queued will be there. When every tier said
 *    that nothing happened, the operation is forgotten, and the error is that of the primary.
 * 5. Of writes to one key that wait behind another only the last is carried out, and those before it
 *    end as it ends. No write to a key begins before the one before it ended.
 *
 * Order
 * 6. Every entry carries its version, its place in the order of creation, its epoch and its expiry
 *    into every tier: a copy is taken for newer by its version alone, never by a clock; pages are one
 *    merge in one order, and their tokens hold wherever the entries are.
 *
 * Outages
 * 7. What is not needed for a call cannot fail it: reads ask no backup, durable keys no ephemeral
 *    tier, and a namespace without ephemeral keys neither. Writes need a backup as rule 2 says.
 * 8. What is owed is bounded by operations, bytes and age. Beyond: `block` waits, but for work on
 *    whole tiers, which waits for writes itself; `fail` is `LAG_LIMIT` before anything happens, `degrade` goes on without the backup, which then is
 *    `behind` and is filled again by itself. What is owed twice for one key is owed once.
 * 9. A tier is tried again within a deadline, with full jitter; one that says `retries` is not. A
 *    call that takes longer than `callTimeoutMs` failed, with an effect that is not known.
 *
 * Rules
 * 10. Rules say which keys are ephemeral; everything else is durable. They rest beside the data: who
 *    opens with others is `TIER_RULES_CHANGED`, or moves the entries first, to an end even when cut
 *    short. The copy of an ephemeral key in another tier is never shown, nor the other way round.
 * 11. Ephemeral entries go when there are too many, those used longest ago first; durable ones never.
 *    They are durable as far as their tier is: no intent is kept for them alone.
 *
 * Writers
 * 12. One writer at a time, by epochs that rest in the tiers. A writer that was taken over is
 *    `FENCED` in whatever it writes from then on. Whoever opens tiers of another writer says so.
 * 13. Tiers that do not fit together (the primary is another one, was emptied, or was put back to an
 *    older state, or the local store was) are `TIER_MISMATCH` at the door: an empty primary is never
 *    taken for the truth. Who takes over a store that was put back makes the backup equal to the primary.
 *
 * Entries with keys that begin with `_holdfast_tier-` are this store's own, in every tier; for
 * callers there are no such keys.
 *
 * Owner: whoever opened a tier closes it, after this store.
 */
import type { KvEntry, KvStore } from '../kv-store.ts';
import type { TierRule } from './tier-rules.ts';

/** `target` exists while a migration runs. */
export type TierName = 'primary' | 'backup' | 'ephemeral' | 'target';

export interface TierStores {
  readonly primary: KvStore;
  readonly backup?: KvStore | undefined;
  /** May hold other keys too: they are neither shown nor touched. */
  readonly ephemeral?: KvStore | undefined;
  /** Where intents rest: on this machine, for this tiered store alone, with atomic batches. */
  readonly local: KvStore;
}

export interface TieredSettings {
  /** Names the store for page tokens: the same on every machine that takes its place. */
  readonly id: string;
  readonly rules?: readonly TierRule[];
  /** What to do when the rules are not those of the data. Default `refuse`. */
  readonly onRulesChange?: 'refuse' | 'migrate';
  /** Default `sync`. */
  readonly backupMode?: 'sync' | 'async';
  /** Bounds of what is owed; default `LIMITS.maxOwed*`. */
  readonly maxOwedOperations?: number;
  readonly maxOwedBytes?: number;
  /** Default: no bound. */
  readonly maxOwedAgeMs?: number;
  /** Default: `sync` fails, `async` blocks. */
  readonly onOwedLimit?: 'block' | 'fail' | 'degrade';
  /** Default `never`. Of reads of single keys alone; `hedged` asks the backup after so many ms. */
  readonly readFallback?: 'never' | 'if-unavailable' | { readonly hedgedAfterMs: number };
  readonly ephemeralLimits?: EphemeralBounds;
  readonly retry?: TierRetry | false;
  /** Default `LIMITS.tierCallTimeoutMs`. */
  readonly callTimeoutMs?: number;
  /** Rule 12: these tiers were another writer's, who shall stop. */
  readonly takeOver?: boolean;
  /**
   * Which copy the local store is: another one once it was put back to an older state, by a restore,
   * say. Then what was written since is not known: rule 13.
   */
  readonly copyId?: string | undefined;
}

export interface EphemeralBounds {
  /** Keys and values. Default: no bound. */
  readonly maxBytes?: number;
  readonly maxEntries?: number;
}

export interface TierRetry {
  /** No try begins later than this after the first. */
  readonly deadlineMs: number;
  /** The pause is anything up to this, and up to twice as much after each try. */
  readonly baseMs: number;
  readonly maxMs: number;
}

/** What a read gave; without these two fields it is the truth. */
export interface TieredEntry extends KvEntry {
  readonly source?: 'backup';
  /** The primary did not answer: there may be something newer. */
  readonly stale?: true;
}

export interface TieredStatus {
  readonly epoch: number;
  readonly tiers: Partial<Record<TierName, TierState>>;
  readonly owed: { readonly operations: number; readonly bytes: number; readonly oldestMs: number };
  /** Keys of which some tier is known to lack the newest state. */
  readonly divergent: number;
  /** A newer writer was met: nothing is written any more. */
  readonly fenced: boolean;
}

export interface TierState {
  /** `down`: the last call failed. `degraded`: something is owed to it, or it is being filled. */
  readonly state: 'ok' | 'degraded' | 'down';
  readonly owedOperations: number;
  /** Has to be filled from the primary before it is a backup again. */
  readonly behind: boolean;
  readonly stats: TierStats;
}

export interface TierStats {
  readonly calls: number;
  readonly failures: number;
  readonly retries: number;
  readonly timeouts: number;
}

export interface TieredStats {
  readonly tiers: Partial<Record<TierName, TierStats>>;
  /** Reads that the backup answered. */
  readonly fallbackReads: number;
  /** Writes that ended with a newer one of their key. */
  readonly superseded: number;
  readonly partialWrites: number;
  /** Owed operations that were brought to their tier later. */
  readonly drained: number;
  readonly evicted: number;
}

export interface TierDifference {
  readonly key: string;
  /** `corrupt`: that tier has an entry which it cannot give. */
  readonly kind: 'only-primary' | 'only-backup' | 'different' | 'corrupt';
  readonly tier?: 'primary' | 'backup';
}

export interface VerifyOptions {
  readonly prefix?: string | undefined;
  /** Entries per second. Default: as fast as it goes. */
  readonly rate?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RepairOptions extends VerifyOptions {
  /**
   * Which side is right. `by-version` (default): the newer one, and what is on one side only is
   * copied to the other; of a backup that is behind: the primary.
   */
  readonly direction?: 'by-version' | 'primary-wins' | 'backup-wins' | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface RepairReport {
  readonly compared: number;
  readonly copiedToBackup: number;
  readonly copiedToPrimary: number;
  readonly removedFromBackup: number;
  readonly removedFromPrimary: number;
}

export interface CopyProgress {
  readonly phase: 'copy' | 'verify' | 'done';
  readonly entries: number;
}

export interface TieredKvStore extends KvStore {
  getEntry(
    key: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<TieredEntry | undefined>;
  status(): TieredStatus;
  stats(): TieredStats;
  /** Resolves when nothing is owed any more. */
  drain(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** What primary and backup differ in, without what is owed. Changes nothing. */
  verify(options?: VerifyOptions): AsyncIterable<TierDifference>;
  /** Makes them equal. */
  repair(options?: RepairOptions): Promise<RepairReport>;
  /**
   * The backup becomes the primary, under a new epoch, and there is no backup any more. It has to
   * have everything: what is owed to it is brought there first. `force`: also one that is behind.
   */
  promote(options?: { readonly force?: boolean }): Promise<{ readonly epoch: number }>;
  /** Makes another store the primary while this one is in use; the old one is fenced. */
  migrate(options: MigrateOptions): AsyncIterable<CopyProgress>;
}

export interface MigrateOptions {
  /** Empty, or what an earlier migration of this store left. */
  readonly to: KvStore;
  readonly signal?: AbortSignal;
}
