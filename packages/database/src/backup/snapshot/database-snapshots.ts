/**
 * The snapshots of one database: made, listed, verified, deleted, and what they no longer need
 * swept. One thing that changes the repository at a time, by its lease.
 *
 * Invariants
 * 1. After `close` resolved nothing runs here, and nothing is pinned.
 * 2. What is under way ends with its caller's signal, with `close`, or with the lease: as `ABORTED`,
 *    `CLOSED`, `FENCED`. What failed by itself says so.
 * 3. Until a snapshot is in the repository, `keyUse` says which keys it will need.
 *
 * Owner: the `DatabaseBackup`, or whoever keeps a repository without a database.
 */
import {
  type Clock,
  cut,
  type Effect,
  hasCode,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Lsn,
  type Random,
} from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import { type Lease, type LeasePurpose, RepositoryLeases } from './lease.ts';
import { resolveLineage } from '../repository/lineage.ts';
import type { Repository } from '../repository/repository.ts';
import { RecentlySwept } from './recently-swept.ts';
import { coverRecords } from '../restore/restore-coverage.ts';
import { chooseKept, type RetentionRules } from './retention.ts';
import {
  infoOf,
  SnapshotCatalog,
  type SnapshotInfo,
  type SnapshotList,
} from './snapshot-catalog.ts';
import type { SnapshotSource } from './snapshot-cut.ts';
import type { SnapshotKind, SnapshotManifest } from '../repository/snapshot-manifest.ts';
import {
  type SnapshotVerifyReport,
  verifySnapshot,
  type VerifySnapshotOptions,
} from './snapshot-verify.ts';
import { type SnapshotProgress, SnapshotWriter, type WriterStanding } from './snapshot-writer.ts';
import { Sweep, type SweepReport } from './sweep.ts';

export interface ChangeOptions extends CallOptions {
  /** How long to wait for who works on the snapshots now. Default: not at all: `REPOSITORY_BUSY`. */
  readonly waitMs?: number | undefined;
}

export interface CreateSnapshotOptions extends ChangeOptions {
  /** Default: incremental, which puts only what is not there; `full` puts everything anew. */
  readonly kind?: SnapshotKind | undefined;
  readonly onProgress?: ((progress: SnapshotProgress) => void) | undefined;
  /** Read from the disk, at most; a file of more than one part is read twice. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
}

export interface SweepOptions extends ChangeOptions {
  /** What was put less than this ago stays. Default: `sweepGraceMs`. */
  readonly graceMs?: number | undefined;
  /** Says what would go; nothing does. */
  readonly dryRun?: boolean | undefined;
}

export interface PruneReport {
  /** Ids of snapshots. */
  readonly deleted: readonly string[];
  readonly kept: readonly string[];
  readonly sweep: SweepReport;
}

export interface SnapshotFailure {
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
}

export interface SnapshotStats {
  /** What changes the repository now, with how far it is; `undefined`: nothing. */
  readonly underWay:
    { readonly purpose: LeasePurpose; readonly progress?: SnapshotProgress } | undefined;
  /** The newest one that is known here: made by this process, or listed. */
  readonly lastSnapshotId: string | undefined;
  readonly lastSnapshotAtMs: number | undefined;
  readonly lastSnapshotLsn: Lsn | undefined;
  /** Made by this process. */
  readonly created: number;
  /** Attempts to make one that failed; what was aborted is none. */
  readonly failed: number;
  /** Of the last attempt to make one; `undefined` after a success. */
  readonly lastError: SnapshotFailure | undefined;
}

export interface DatabaseSnapshotsParts {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly writer: WriterStanding;
  /** Absent: snapshots are kept here, not made. */
  readonly source?: SnapshotSource | undefined;
  /** Before a manifest is put: what a restore needs besides is there. */
  readonly prepare?: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Default: `snapshotPartBytes`. */
  readonly partBytes?: number | undefined;
}

interface Work {
  readonly lease: Lease;
  readonly signal: AbortSignal;
}

export class DatabaseSnapshots {
  readonly #parts: DatabaseSnapshotsParts;
  readonly #catalog: SnapshotCatalog;
  readonly #leases: RepositoryLeases;
  readonly #recentlySwept: RecentlySwept;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #underWay: { readonly purpose: LeasePurpose; progress?: SnapshotProgress } | undefined;
  #keyUse: ReadonlyMap<number, number> = new Map();
  #newest: SnapshotInfo | undefined;
  #created = 0;
  #failed = 0;
  #lastError: SnapshotFailure | undefined;

  constructor(parts: DatabaseSnapshotsParts) {
    this.#parts = parts;
    this.#catalog = new SnapshotCatalog(parts.repository);
    this.#leases = new RepositoryLeases(parts);
    this.#recentlySwept = new RecentlySwept(parts.clock);
  }

  /**
   * One snapshot of this moment. What it holds is restorable once this resolved.
   *
   * @throws `CHECKSUM_MISMATCH` or `FILE_MISSING` naming a damaged file: nothing is published then;
   * `REPOSITORY_BUSY`, `WRITER_FENCED`, `FENCED`, `ABORTED`, `CLOSED`.
   */
  async create(options: CreateSnapshotOptions = {}): Promise<SnapshotInfo> {
    const { source } = this.#parts;
    if (source === undefined) throw new TypeError('snapshots are made of an open database');
    const { kind = 'incremental', onProgress, bytesPerSecond } = options;
    try {
      const manifest = await this.#change('create', options, ({ lease, signal }) => {
        this.#keyUse = this.#anyKey();
        return new SnapshotWriter({
          ...this.#parts,
          source,
          catalog: this.#catalog,
          recentlySwept: this.#recentlySwept,
        }).write({
          kind,
          lease,
          signal,
          bytesPerSecond,
          onProgress: (progress) => {
            if (this.#underWay?.purpose === 'create') this.#underWay.progress = progress;
            onProgress?.(progress);
          },
          onKeys: (use) => {
            this.#keyUse = use;
          },
        });
      });
      this.#made(infoOf(manifest));
      return infoOf(manifest);
    } catch (error) {
      this.#failedToMake(error);
      throw error;
    }
  }

  /** The newest first, and apart those that cannot be read. */
  async list(options: CallOptions = {}): Promise<SnapshotList> {
    return this.#read(options, async (signal) => {
      const list = await this.#catalog.list({ signal });
      this.#newest = list.snapshots[0];
      return list;
    });
  }

  /** The newest one that the newest writer's history can be restored from, up to its end. */
  newest(options: CallOptions = {}): Promise<SnapshotInfo | undefined> {
    return this.#read(options, async (signal) => {
      const { repository } = this.#parts;
      const { snapshots } = await this.#catalog.list({ signal });
      this.#newest = snapshots[0];
      const lineage = resolveLineage(await repository.claims({ signal }));
      const found = snapshots.find(({ epoch, lsn }) => lineage?.holds(epoch, lsn) === true);
      if (lineage === undefined || found === undefined) return undefined;
      // A log that was let go before it was archived leaves a gap, which only a snapshot bridges.
      const { goesOnAt } = await coverRecords(repository, lineage, found.lsn, { signal });
      return goesOnAt === undefined ? found : undefined;
    });
  }

  /** @throws `SNAPSHOT_NOT_FOUND`, or what is wrong with it. */
  get(snapshotId: string, options: CallOptions = {}): Promise<SnapshotManifest> {
    return this.#read(options, (signal) => this.#catalog.get(snapshotId, { signal }));
  }

  /** Reads every byte of it. What is wrong is in the report; it rejects when it cannot tell. */
  verify(snapshotId: string, options: VerifySnapshotOptions = {}): Promise<SnapshotVerifyReport> {
    return this.#read(options, async (signal) => {
      const manifest = await this.#catalog.get(snapshotId, { signal });
      const { onProgress } = options;
      return verifySnapshot(this.#parts.repository, manifest, { signal, onProgress });
    });
  }

  /** From now on it is not there; `sweep` gives back what only it needed. */
  async delete(snapshotId: string, options: ChangeOptions = {}): Promise<void> {
    await this.#change('delete', options, async (work) => {
      const { names, store } = this.#parts.repository;
      if (names.snapshotOf(names.snapshot(snapshotId)) === undefined) throw notFound(snapshotId);
      await this.#parts.writer.check({ signal: work.signal });
      try {
        await store.head(names.snapshot(snapshotId), { signal: work.signal });
      } catch (error) {
        throw hasCode(error, 'OBJECT_NOT_FOUND') ? notFound(snapshotId) : error;
      }
      await this.#delete(snapshotId, work);
    });
  }

  /** Removes what nothing needs any more. `dryRun` needs neither the lease nor the writer. */
  async sweep(options: SweepOptions = {}): Promise<SweepReport> {
    if (options.dryRun === true) {
      return this.#read(options, (signal) => this.#sweep({ signal }, options));
    }
    return this.#change('sweep', options, (work) => this.#sweep(work, options));
  }

  /**
   * Deletes the snapshots that the rules do not keep, then sweeps. One it cannot read ends it.
   * `dryRun` needs neither the lease nor the writer.
   */
  async prune(rules: RetentionRules, options: SweepOptions = {}): Promise<PruneReport> {
    if (options.dryRun === true) {
      return this.#read(options, async (signal) => {
        const chosen = await this.#choose(rules, signal);
        const without = new Set(chosen.deleted);
        return { ...chosen, sweep: await this.#sweep({ signal, without }, options) };
      });
    }
    return this.#change('prune', options, async (work) => {
      const { signal } = work;
      await this.#parts.writer.check({ signal });
      const chosen = await this.#choose(rules, signal);
      for (const snapshotId of chosen.deleted) await this.#delete(snapshotId, work);
      return { ...chosen, sweep: await this.#sweep(work, options) };
    });
  }

  stats(): SnapshotStats {
    const { snapshotId, createdAtMs, lsn } = this.#newest ?? {};
    return {
      underWay: this.#underWay,
      lastSnapshotId: snapshotId,
      lastSnapshotAtMs: createdAtMs,
      lastSnapshotLsn: lsn,
      created: this.#created,
      failed: this.#failed,
      lastError: this.#lastError,
    };
  }

  /** I3. Bytes by key id; of every key there is, until the files of the snapshot are known. */
  get keyUse(): ReadonlyMap<number, number> {
    return this.#keyUse;
  }

  /** I1. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('CLOSED', 'the database is closing'));
    await Promise.allSettled([...this.#running]);
  }

  async #delete(snapshotId: string, { lease, signal }: Work): Promise<void> {
    const { names, store } = this.#parts.repository;
    await lease.assertHeld({ signal });
    await lease.change(() => store.delete(names.snapshot(snapshotId), { signal }));
    if (this.#newest?.snapshotId === snapshotId) this.#newest = undefined;
    await cut('backup.snapshotDeleted');
  }

  #anyKey(): ReadonlyMap<number, number> {
    const ids = this.#parts.repository.codec.keys?.ids ?? [];
    return new Map(ids.map((id) => [id, LIMITS.blockBytes]));
  }

  /** The newest snapshot that the history of the newest writer begins with stays in any case. */
  async #choose(rules: RetentionRules, signal: AbortSignal): Promise<Omit<PruneReport, 'sweep'>> {
    const { repository, clock } = this.#parts;
    const { snapshots, unreadable } = await this.#catalog.list({ signal });
    const [first] = unreadable;
    if (first !== undefined) throw first.problem;
    const lineage = resolveLineage(await repository.claims({ signal }));
    const leads = ({ epoch, lsn }: SnapshotInfo): boolean => lineage?.holds(epoch, lsn) === true;
    const kept = chooseKept(snapshots, rules, clock.now(), leads);
    const deleted = snapshots.map(({ snapshotId }) => snapshotId).filter((id) => !kept.has(id));
    return { deleted, kept: [...kept] };
  }

  /** Without a lease it deletes nothing. */
  #sweep(
    work: {
      readonly signal: AbortSignal;
      readonly lease?: Lease;
      readonly without?: ReadonlySet<string>;
    },
    { graceMs = LIMITS.sweepGraceMs }: SweepOptions,
  ): Promise<SweepReport> {
    const { signal, lease, without } = work;
    const parts = { ...this.#parts, lease, recentlySwept: this.#recentlySwept };
    return new Sweep(parts, { graceMs, signal, without }).run();
  }

  #read<Result>(
    options: CallOptions,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    return this.#track(options, work);
  }

  #change<Result>(
    purpose: LeasePurpose,
    options: ChangeOptions,
    work: (work: Work) => Promise<Result>,
  ): Promise<Result> {
    return this.#track(options, async (signal) => {
      const lease = await this.#leases.take(purpose, { signal, waitMs: options.waitMs });
      this.#underWay = { purpose };
      try {
        await cut('backup.leaseTaken');
        return await work({ lease, signal: AbortSignal.any([signal, lease.signal]) });
      } catch (error) {
        throw lease.signal.aborted ? endedBy(lease.signal, error) : error;
      } finally {
        this.#underWay = undefined;
        this.#keyUse = new Map();
        await lease.release();
      }
    });
  }

  /** I2 */
  async #track<Result>(
    options: CallOptions,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { signal: users } = options;
    const closing = this.#closing.signal;
    closing.throwIfAborted();
    const signal = users === undefined ? closing : AbortSignal.any([closing, users]);
    const running = (async () => work(signal))();
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      if (closing.aborted) throw endedBy(closing, error);
      if (users?.aborted === true) throw endedBy(users, error);
      throw error;
    } finally {
      this.#running.delete(running);
    }
  }

  #made(info: SnapshotInfo): void {
    this.#newest = info;
    this.#created++;
    this.#lastError = undefined;
    const { snapshotId, lsn, totalBytes, uploadedBytes } = info;
    this.#parts.logger.info('backup.snapshotMade', {
      id: snapshotId,
      lsn,
      totalBytes,
      uploadedBytes,
    });
  }

  #failedToMake(error: unknown): void {
    if (isHoldfastError(error) && error.kind === 'closed') return;
    const code = isHoldfastError(error) ? error.code : 'INTERNAL_ERROR';
    const message = error instanceof Error ? error.message : String(error);
    this.#failed++;
    this.#lastError = { code, message, atMs: this.#parts.clock.now() };
    this.#parts.logger.warn('backup.snapshotFailed', { code, message });
  }
}

/** What failed by itself keeps its error; what only ended gets the reason of the signal. I2. */
function endedBy(signal: AbortSignal, error: unknown): unknown {
  const reason: unknown = signal.reason;
  if (error !== reason && !(isHoldfastError(error) && error.kind === 'closed')) return error;
  const effect: Effect = isHoldfastError(error) ? error.effect : 'none';
  if (isHoldfastError(reason)) return new HoldfastError(reason.code, reason.message, { effect });
  return new HoldfastError('ABORTED', 'the call was ended by its signal', {
    effect,
    cause: reason,
  });
}

function notFound(snapshotId: string): HoldfastError {
  return new HoldfastError('SNAPSHOT_NOT_FOUND', `there is no such snapshot id=${snapshotId}`, {
    details: { id: snapshotId },
  });
}
