/**
 * The database: engines over one log. It owns the commit path, the checkpoints and what
 * follows a failure; what it is made of is put together by `openDatabase`.
 *
 * Invariants
 * 1. State moves `open` -> `failed` or `closed`, never back. `full` is the log's, and passes.
 * 2. A failure that space cannot mend stops every commit at once (fail-stop); reads of what is
 *    durable go on until close.
 * 3. Checkpoints with the truncation after them run one at a time; merging runs beside them.
 */
import type { KeyObject } from 'node:crypto';
import {
  assert,
  type Clock,
  cut,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Lsn,
  type ShardId,
  type Timer,
} from '@holdfast/core';
import { CORE_RECORDS, type Log, type LogStats, type RecoveryReport } from '@holdfast/log';
import type { Archive } from './backup/archive/archive.ts';
import type { DatabaseBackup } from './backup/database-backup.ts';
import type { DatabaseSnapshots } from './backup/snapshot/database-snapshots.ts';
import { encodeRestorePointName } from './backup/repository/restore-point.ts';
import type { ScheduleStats } from './backup/snapshot/snapshot-schedule.ts';
import type { CheckpointOptions, Checkpointer } from './checkpointer.ts';
import { CommitPath, nodeFailed } from './commit-path.ts';
import type { Damage, DamageList, IntegrityStats } from './damage-list.ts';
import type { DatabaseShard } from './database-shard.ts';
import type { CommitOptions, EngineHost, Operation, OperationSink, Shard } from './engine.ts';
import type { EngineRegistry } from './engine-registry.ts';
import type { KeyCare, KeyHolder, KeyStatus } from './key-care.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import type { Scrubber, ScrubReport } from './scrubber.ts';
import { placeInShard } from './shard-placement.ts';
import { isSpaceError } from './storage-errors.ts';
import type { StateProblem } from './state-verify.ts';
import type { TableMerger } from './table-merger.ts';

export type DatabaseState = 'open' | 'full' | 'failed' | 'closed';

export interface DatabaseStats {
  readonly state: DatabaseState;
  readonly appliedLsn: Lsn;
  readonly checkpointLsn: Lsn;
  readonly checkpoints: number;
  readonly tables: number;
  readonly extentFiles: number;
  readonly logBytes: number;
  readonly log: LogStats;
  readonly integrity: IntegrityStats;
}

/** Everything a database is made of; ownership passes to it. */
export interface DatabaseParts {
  readonly dir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: Log;
  readonly registry: EngineRegistry;
  readonly shards: readonly DatabaseShard[];
  readonly manifest: ManifestKeeper;
  readonly cleanStart: boolean;
  readonly copyId: string | undefined;
  readonly checkpointLogBytes: number;
  readonly verifyState: () => Promise<StateProblem[]>;
  readonly damages: DamageList;
  /** Without an object store there is none. */
  readonly backup: DatabaseBackup | undefined;
  /** Gives up a merge under way. */
  readonly stopMerging: () => Promise<void>;
  /** Closes files and gives the directory back. */
  readonly release: () => Promise<void>;
}

/** Built once the database can be referred to. */
export interface Maintenance {
  readonly checkpointer: Checkpointer;
  readonly merger: TableMerger;
  readonly scrubber: Scrubber;
  readonly keyCare: KeyCare;
}

export class Database implements EngineHost, AsyncDisposable {
  readonly cleanStart: boolean;
  readonly shardCount: number;
  readonly #parts: DatabaseParts;
  readonly #path: CommitPath;
  #maintenance: Maintenance | undefined;
  #failure: HoldfastError | undefined;
  #closing: Promise<void> | undefined;
  #onFailed: ((error: HoldfastError) => void)[] = [];
  #round: Promise<void> | undefined;
  #merging: Promise<HoldfastError | undefined> | undefined;
  #retry: Timer | undefined;
  #bytesAtCut: number;
  #checkpoints = 0;

  constructor(parts: DatabaseParts, appliedLsn: Lsn) {
    this.#parts = parts;
    this.cleanStart = parts.cleanStart;
    this.shardCount = parts.shards.length;
    this.#bytesAtCut = parts.log.writtenBytes;
    this.#path = new CommitPath(parts.log, parts.registry, appliedLsn, {
      applied: (operation) => this.#touched(operation.shard),
      settled: (lsn) => this.#settled(lsn),
      failed: (error) => this.#failed(error),
    });
  }

  get state(): DatabaseState {
    if (this.#closing !== undefined) return 'closed';
    if (this.#failure !== undefined) return 'failed';
    return this.#parts.log.state === 'full' ? 'full' : 'open';
  }

  /** Without an object store there is none. */
  get archive(): Archive | undefined {
    return this.#parts.backup?.archive;
  }

  /** What its part of the object store is called; `undefined` without one. */
  get repositoryId(): string | undefined {
    return this.#parts.backup?.repository.names.id;
  }

  /** Of a directory that a restore made, and no other; `undefined`: it is the original. */
  get copyId(): string | undefined {
    return this.#parts.copyId;
  }

  /** Without an object store there are none. */
  get snapshots(): DatabaseSnapshots | undefined {
    return this.#parts.backup?.snapshots;
  }

  /** `undefined` when no snapshots are made by themselves. */
  get snapshotSchedule(): ScheduleStats | undefined {
    return this.#parts.backup?.schedule?.stats();
  }

  get appliedLsn(): Lsn {
    return this.#path.appliedLsn;
  }

  /** The same for a cut that goes to disk; throws once there was a failure. I2. */
  lsnOfCut(): Lsn {
    if (this.#failure !== undefined) throw nodeFailed(this.#failure);
    return this.#path.appliedLsn;
  }

  /** What opening found in the log. */
  get recovery(): RecoveryReport {
    return this.#parts.log.recovery;
  }

  shardOf(identity: string): ShardId {
    return placeInShard(identity, this.shardCount);
  }

  shard(id: ShardId): Shard {
    const shard = this.#parts.shards[id];
    assert(shard !== undefined, `no such shard id=${id}`);
    return shard;
  }

  commit(operations: readonly Operation[], sink: OperationSink, options?: CommitOptions): void {
    if (this.#closing !== undefined) throw new HoldfastError('CLOSED', 'database is closed');
    if (this.#uncheckpointedBytes() > LIMITS.maxUncheckpointedBytes) {
      this.#scheduleMaintenance();
      throw new HoldfastError('COMMIT_QUEUE_FULL', 'checkpoints are behind, try again');
    }
    try {
      this.#path.commit(operations, sink, options);
    } catch (error) {
      if (isHoldfastError(error) && error.code === 'DISK_FULL') this.#makeRoom();
      throw error;
    }
  }

  /** Gives this moment a name that can be restored to. Resolves with its LSN once it is durable. */
  async mark(name: string): Promise<Lsn> {
    const parts = [encodeRestorePointName(name)];
    if (this.#closing !== undefined) throw new HoldfastError('CLOSED', 'database is closed');
    const record = { type: CORE_RECORDS.restorePoint, shard: 0, tenant: 0, parts };
    return new Promise((resolve, reject) => {
      this.#path.note(record, { durable: resolve, failed: reject });
    });
  }

  /** Stops every commit from now on: somebody found out that they must not go on. I2. */
  fail(error: HoldfastError): void {
    this.#path.fail(error);
  }

  /** Up to `lsn` the archive has the log: where only it was missing, segments go now. */
  archived(lsn: Lsn): void {
    const oldest = this.#parts.log.segments()[0];
    if (oldest === undefined || oldest.state === 'active' || oldest.lastLsn > lsn) return;
    if (this.#closing !== undefined || this.#failure !== undefined) return;
    if (this.#round === undefined) this.#truncate().catch(() => undefined); // it has told
  }

  /** Called once, with the first failure that stops the database; at once if there was one. */
  onFailed(listener: (error: HoldfastError) => void): void {
    if (this.#failure !== undefined) listener(this.#failure);
    else this.#onFailed.push(listener);
  }

  /** Applies one record of the log while opening. */
  replay(operations: readonly Operation[], lsn: Lsn): void {
    for (const operation of operations) {
      const applied = this.#parts.manifest.current.shards[operation.shard]?.appliedLsn;
      assert(applied !== undefined, `record names no shard shard=${operation.shard}`);
      if (lsn > applied) this.#path.apply(operation, lsn);
    }
    this.#path.passed(lsn);
  }

  /** The database can be written from now on. */
  start(maintenance: Maintenance): void {
    this.#maintenance = maintenance;
    const { backup } = this.#parts;
    if (backup !== undefined) {
      this.addKeyHolder('backup', () => backup.keyUse());
      backup.start(this);
    }
    if (this.#parts.log.totalBytes() > this.#parts.checkpointLogBytes) this.#scheduleMaintenance();
  }

  /** Writes a checkpoint and lets the log go where it may. Merging follows by itself. */
  async checkpoint(): Promise<void> {
    this.#assertUsable();
    await this.#maintain();
  }

  /**
   * Resolves once no tables are due to be merged. Rejects with the damage it met, after merging
   * around it; the damaged tables stay as they are.
   */
  async compact(): Promise<void> {
    this.#assertUsable();
    const damage = await this.#merge();
    if (damage !== undefined) throw damage;
  }

  /** Re-reads every byte of log and state. Empty when everything is whole. */
  async verify(): Promise<StateProblem[]> {
    const log = await this.#parts.log.verify();
    return [...log.problems, ...(await this.#parts.verifyState())];
  }

  /** One pass of the scrub over everything, now: mends what can be mended. */
  async scrub(): Promise<ScrubReport> {
    this.#assertUsable();
    const maintenance = this.#maintenance;
    assert(maintenance !== undefined, 'scrub before the database was opened');
    return maintenance.scrubber.scrub();
  }

  /**
   * What is new is under the first of `keys` from now on, which hold all keys in use; the others are
   * left by and by, by the scrub. Cut short, it may be asked for again.
   */
  async rotateKeys(keys: readonly KeyObject[]): Promise<void> {
    this.#assertUsable();
    await this.#care.rotate(keys);
    this.#maintenance?.scrubber.reencrypt();
  }

  /** How much is under which key. */
  keyStatus(): Promise<KeyStatus> {
    this.#assertUsable();
    return this.#care.status();
  }

  /** Forgets a key that nothing is under any more; `KEY_IN_USE` otherwise. */
  retireKey(keyId: number): Promise<void> {
    this.#assertUsable();
    return this.#care.retire(keyId);
  }

  /** Somebody else keeps bytes under keys of this database: they count as in use. */
  addKeyHolder(name: string, holder: KeyHolder): void {
    this.#care.addHolder(name, holder);
  }

  /** Resolves once no merge is under way. */
  async merged(): Promise<void> {
    await this.#maintenance?.merger.idle();
  }

  /** Writes one table anew, under the active key. Rejects with the damage it met. */
  async rewriteTable(fileId: number): Promise<void> {
    this.#assertUsable();
    const damage = await this.#merged((merger) => merger.rewrite(fileId));
    if (damage !== undefined) throw damage;
  }

  /** What was found damaged since the start, and what became of it; the newest last. */
  damages(): Damage[] {
    return this.#parts.damages.all();
  }

  /**
   * A checkpoint of its own, after any under way: of every shard, or with the extents moved that
   * `rewrite` copied.
   */
  async checkpointWith(options: Pick<CheckpointOptions, 'all' | 'rewrite'> = {}): Promise<void> {
    while (this.#round !== undefined) await this.#round.catch(() => undefined);
    this.#assertUsable();
    await this.#maintain(options);
  }

  stats(): DatabaseStats {
    const manifest = this.#parts.manifest.current;
    return {
      state: this.state,
      appliedLsn: this.#path.appliedLsn,
      checkpointLsn: manifest.shards.reduce(
        (least, shard) => (shard.appliedLsn < least ? shard.appliedLsn : least),
        this.#path.appliedLsn,
      ),
      checkpoints: this.#checkpoints,
      tables: manifest.shards.reduce((sum, shard) => sum + shard.tables.length, 0),
      extentFiles: manifest.extentFiles.length,
      logBytes: this.#parts.log.totalBytes(),
      log: this.#parts.log.stats(),
      integrity: this.#parts.damages.stats(),
    };
  }

  /** Makes everything durable, writes a last checkpoint, gives the directory back. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#retry?.cancel();
    await this.#parts.backup?.stopSnapshots();
    await this.#maintenance?.keyCare.idle(); // its next step that needs the database ends it
    const scrubbed = this.#maintenance?.scrubber.close(); // it may wait for a merge of its own
    await this.#round?.catch(() => undefined);
    await this.#parts.stopMerging();
    await scrubbed;
    await this.#round?.catch(() => undefined);
    await this.#merging?.catch(() => undefined);
    try {
      await this.#closeBackup();
      if (this.#failure === undefined && this.#maintenance !== undefined) {
        await this.#lastCheckpoint(this.#maintenance);
        await this.#maintenance.scrubber.finish();
      }
      await this.#parts.log.close();
    } finally {
      await this.#parts.release();
    }
  }

  /** Before the last checkpoint: what it archives need not stay in the log. */
  async #closeBackup(): Promise<void> {
    const { backup, log } = this.#parts;
    const archive = this.#failure === undefined;
    if (backup === undefined) return;
    if (archive) await log.sync();
    await backup.close({ archive });
  }

  /** Without space for it the log still has everything: closing must not fail over it. */
  async #lastCheckpoint(maintenance: Maintenance): Promise<void> {
    try {
      await this.#parts.log.sync();
      await maintenance.checkpointer.run({ all: true, clean: true });
      await cut('database.lastCheckpoint');
      await this.#parts.log.truncateBefore();
    } catch (error) {
      if (!isSpaceError(error)) throw error;
      this.#parts.logger.warn('database.lastCheckpointSkipped', {});
    }
  }

  get #care(): KeyCare {
    assert(this.#maintenance !== undefined, 'keys before the database was opened');
    return this.#maintenance.keyCare;
  }

  #touched(id: ShardId): void {
    const shard = this.#parts.shards[id];
    assert(shard !== undefined, `no such shard id=${id}`);
    shard.dirty = true;
  }

  async #truncate(): Promise<void> {
    try {
      await this.#parts.log.truncateBefore();
    } catch (error) {
      if (this.#closing === undefined && !isSpaceError(error)) this.#path.fail(asFailure(error));
    }
  }

  #settled(lsn: Lsn): void {
    this.#parts.backup?.settled(lsn);
    for (const engine of this.#parts.registry.engines) engine.settled();
    if (this.#uncheckpointedBytes() >= this.#parts.checkpointLogBytes) this.#scheduleMaintenance();
  }

  #uncheckpointedBytes(): number {
    return this.#parts.log.writtenBytes - this.#bytesAtCut;
  }

  #scheduleMaintenance(): void {
    if (this.#round !== undefined || this.#retry !== undefined) return;
    if (this.#maintenance === undefined || this.#closing !== undefined) return;
    if (this.#failure !== undefined) return; // what a failed checkpoint left is not written again
    this.#maintain().catch(() => undefined); // #maintain has told whom it concerns
  }

  /** Deletes may have freed log and extents that only a checkpoint gives back to the disk. */
  #makeRoom(): void {
    if (this.#round === undefined) this.#maintainLater();
  }

  #maintainLater(): void {
    if (this.#closing !== undefined || this.#failure !== undefined) return;
    this.#retry ??= this.#parts.clock.after(LIMITS.checkpointRetryMs, () => {
      this.#retry = undefined;
      this.#scheduleMaintenance();
    });
  }

  #maintain(options: CheckpointOptions = {}): Promise<void> {
    this.#round ??= this.#runRound(options).finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async #runRound(options: CheckpointOptions): Promise<void> {
    const maintenance = this.#maintenance;
    assert(maintenance !== undefined, 'maintenance before the database was opened');
    try {
      await this.#nextTurn();
      const bytes = this.#parts.log.writtenBytes;
      await maintenance.checkpointer.run(options);
      this.#bytesAtCut = bytes;
      this.#checkpoints++;
      await this.#parts.log.truncateBefore();
    } catch (error) {
      if (isSpaceError(error)) {
        this.#parts.logger.warn('database.checkpointPostponed', { reason: String(error) });
        this.#maintainLater();
      } else {
        this.#path.fail(asFailure(error));
      }
      throw error;
    }
    maintenance.scrubber.attend();
    this.#merge().catch(() => undefined); // #merge has told whom it concerns
  }

  #merge(): Promise<HoldfastError | undefined> {
    this.#merging ??= this.#runMerge().finally(() => {
      this.#merging = undefined;
    });
    return this.#merging;
  }

  async #runMerge(): Promise<HoldfastError | undefined> {
    const damage = await this.#merged((merger) => merger.run());
    this.#maintenance?.scrubber.attend();
    return damage;
  }

  async #merged(
    merge: (merger: TableMerger) => Promise<HoldfastError | undefined>,
  ): Promise<HoldfastError | undefined> {
    assert(this.#maintenance !== undefined, 'merging before the database was opened');
    try {
      return await merge(this.#maintenance.merger);
    } catch (error) {
      if (this.#closing === undefined) this.#path.fail(asFailure(error));
      throw error;
    }
  }

  /** A round starts between batches, never within one. */
  #nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.immediate(resolve));
  }

  #failed(error: HoldfastError): void {
    this.#failure = error;
    this.#parts.logger.error('database.failed', { code: error.code, message: error.message });
    const listeners = this.#onFailed;
    this.#onFailed = [];
    for (const listener of listeners) listener(error);
  }

  #assertUsable(): void {
    if (this.#closing !== undefined) throw new HoldfastError('CLOSED', 'database is closed');
    if (this.#failure !== undefined) throw nodeFailed(this.#failure);
  }
}

function asFailure(error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error;
  return new HoldfastError('STORAGE_UNAVAILABLE', 'a checkpoint could not be written', {
    effect: 'unknown',
    cause: error,
  });
}
