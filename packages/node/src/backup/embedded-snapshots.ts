/**
 * `node.snapshots`: snapshots of a running node, for those who embed it and for the routes of
 * administration.
 *
 * Invariants
 * 1. After `close` nothing runs, and the last of what ran has ended.
 */
import { HoldfastError } from '@holdfast/core';
import type { DatabaseSnapshots, RetentionRules } from '@holdfast/database';
import type { BackupSettings } from '../backup-settings.ts';
import { holding } from '../node-keep-alive.ts';
import type { Drills, DrillResult } from './drills.ts';
import {
  pruneResult,
  type PruneResult,
  snapshotDetails,
  type SnapshotDetails,
  snapshotListing,
  type SnapshotListing,
  snapshotSummary,
  type SnapshotSummary,
  snapshotVerification,
  type SnapshotVerification,
} from './snapshot-summary.ts';
import { eitherSignal, type WorkOptions } from './work.ts';

type Quick = Pick<WorkOptions, 'signal'>;

/** Rules that are not given are those of the settings; 0: a rule that keeps none. */
export interface PruneOptions extends Quick {
  readonly keepLast?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMaxAgeMs?: number | undefined;
  /** Only says what would go. */
  readonly dryRun?: boolean | undefined;
}

export interface SnapshotParts {
  /** Absent without a backup: then every call is `BACKUP_NOT_CONFIGURED`. */
  readonly snapshots: () => DatabaseSnapshots | undefined;
  readonly drills: Drills | undefined;
}

type Retention = Pick<
  BackupSettings,
  'keepLast' | 'keepDaily' | 'keepWeekly' | 'keepMaxAgeMs' | 'snapshotBytesPerSecond'
>;

export class EmbeddedSnapshots {
  readonly #parts: SnapshotParts;
  readonly #settings: Retention;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(parts: SnapshotParts, settings: Retention) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** A snapshot of now. Resolves once it can be restored. */
  create(options: WorkOptions & { readonly full?: boolean } = {}): Promise<SnapshotSummary> {
    const { full = false, onProgress } = options;
    const rate = this.#settings.snapshotBytesPerSecond;
    return this.#run(options, async (snapshots, signal) => {
      const info = await snapshots.create({
        kind: full ? 'full' : 'incremental',
        signal,
        ...(rate === 0 ? {} : { bytesPerSecond: rate }),
        onProgress: ({ bytes, totalBytes }) =>
          onProgress?.({ phase: 'snapshot', done: bytes, total: totalBytes, unit: 'bytes' }),
      });
      return snapshotSummary(info);
    });
  }

  list(options: Quick = {}): Promise<SnapshotListing> {
    return this.#run(options, async (snapshots, signal) =>
      snapshotListing(await snapshots.list({ signal })),
    );
  }

  info(id: string, options: Quick = {}): Promise<SnapshotDetails> {
    return this.#run(options, async (snapshots, signal) =>
      snapshotDetails(await snapshots.get(id, { signal })),
    );
  }

  /** Reads all of it; what is wrong is in what it resolves to. */
  verify(id: string, options: WorkOptions = {}): Promise<SnapshotVerification> {
    const { onProgress } = options;
    return this.#run(options, async (snapshots, signal) => {
      const report = await snapshots.verify(id, {
        signal,
        onProgress: ({ bytes, totalBytes }) =>
          onProgress?.({ phase: 'verify', done: bytes, total: totalBytes, unit: 'bytes' }),
      });
      return snapshotVerification(id, report);
    });
  }

  delete(id: string, options: Quick = {}): Promise<void> {
    return this.#run(options, (snapshots, signal) => snapshots.delete(id, { signal }));
  }

  /** Deletes what the rules do not keep, and what nothing needs any more. */
  prune(options: PruneOptions = {}): Promise<PruneResult> {
    const { dryRun = false } = options;
    const rules = retentionRules({ ...this.#settings, ...given(options) });
    return this.#run(options, async (snapshots, signal) =>
      pruneResult(await snapshots.prune(rules, { signal, dryRun })),
    );
  }

  /** Restores the backup to a scratch directory, opens it, and removes it. */
  async drill(options: WorkOptions = {}): Promise<DrillResult> {
    const { drills } = this.#parts;
    if (drills === undefined) throw noBackup();
    return holding(() => drills.run(options));
  }

  /** I1. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('CLOSED', 'the node is closing'));
    await Promise.allSettled([...this.#running]);
  }

  async #run<Result>(
    { signal }: Quick,
    work: (snapshots: DatabaseSnapshots, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const snapshots = this.#parts.snapshots();
    if (snapshots === undefined) throw noBackup();
    const closing = this.#closing.signal;
    closing.throwIfAborted();
    const running = work(snapshots, eitherSignal(closing, signal));
    this.#running.add(running);
    try {
      return await holding(() => running);
    } finally {
      this.#running.delete(running);
    }
  }
}

function noBackup(): HoldfastError {
  return new HoldfastError('BACKUP_NOT_CONFIGURED', 'this node has no backup');
}

/** All three at 0: no rule, and everything stays. */
export function retentionRules(settings: {
  readonly keepLast: number;
  readonly keepDaily: number;
  readonly keepWeekly: number;
  readonly keepMaxAgeMs: number;
}): RetentionRules {
  const { keepLast, keepDaily, keepWeekly, keepMaxAgeMs } = settings;
  const counted = keepLast + keepDaily + keepWeekly > 0;
  return {
    ...(counted ? { keepLast, keepDaily, keepWeekly } : {}),
    ...(keepMaxAgeMs === 0 ? {} : { maxAgeMs: keepMaxAgeMs }),
  };
}

function given(options: PruneOptions): Partial<Retention> {
  const { keepLast, keepDaily, keepWeekly, keepMaxAgeMs } = options;
  const rules = { keepLast, keepDaily, keepWeekly, keepMaxAgeMs };
  return Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== undefined));
}
