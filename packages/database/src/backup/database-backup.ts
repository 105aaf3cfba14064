/**
 * The backup of an open database: its repository, its place in it as the one writer, the archive,
 * and the snapshots.
 *
 * Invariants
 * 1. An open waits for the object store only so long; a store that is away does not stop it. What
 *    only an operator can decide does (`isArchiveRefusal`).
 * 2. The repository's copy of the layout is no older than any piece or snapshot put after it.
 *
 * Owner: the database. The object store is its caller's.
 */
import {
  type BlockCodec,
  type Clock,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Lsn,
  type Random,
} from '@holdfast/core';
import type { Log } from '@holdfast/log';
import type { ObjectStore } from '@holdfast/objects';
import type { DamageListener } from '@holdfast/tables';
import type { FilePins } from '../file-pins.ts';
import type { ManifestKeeper } from '../manifest-keeper.ts';
import type { Archive } from './archive/archive.ts';
import { Archiver, isArchiveRefusal } from './archive/archiver.ts';
import { ArchiveMemory } from './archive/archive-state.ts';
import { DatabaseSnapshots } from './snapshot/database-snapshots.ts';
import { Repository } from './repository/repository.ts';
import { RepositoryKeys } from './repository/repository-keys.ts';
import { repositoryId } from './repository/repository-names.ts';
import type { RetentionRules } from './snapshot/retention.ts';
import { SnapshotSchedule, type ScheduleStats } from './snapshot/snapshot-schedule.ts';
import { WriterEntry } from './archive/writer-entry.ts';
import { WriterFence } from './archive/writer-fence.ts';

export interface BackupSettings {
  /** What is durable is archived within this time. Smaller: less is lost with a disk, more requests. */
  readonly archiveIntervalMs?: number;
  /** As soon as this much waits it is archived; at most `maxArchivePieceSetting`. */
  readonly archivePieceBytes?: number;
  readonly fenceCheckIntervalMs?: number;
  /** How long an open waits for the object store. */
  readonly openTimeoutMs?: number;
  /** How long a close tries to archive what is left. */
  readonly closeTimeoutMs?: number;
  /** Between two snapshots that are made by themselves; 0, the default: none are. */
  readonly snapshotIntervalMs?: number;
  /** Which snapshots stay when one was made by itself. Default: all. */
  readonly retention?: RetentionRules;
  /** What a snapshot that is made by itself reads. Smaller: it takes longer, and disturbs less. */
  readonly snapshotBytesPerSecond?: number;
  /** Bytes of a snapshot's file in one object. Smaller: more objects, cheaper retries. */
  readonly snapshotPartBytes?: number;
  /** This directory is right, whoever wrote the repository last and whatever else it holds. */
  readonly takeOver?: boolean;
  /** The repository may lack what this directory archived. */
  readonly acceptRollback?: boolean;
}

export interface BackupParts {
  readonly objects: ObjectStore;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly codec: BlockCodec;
  readonly log: Log;
  readonly dir: string;
  readonly databaseId: Uint8Array;
  readonly shardCount: number;
  /** `layout.json` as it is now. */
  readonly layout: () => Buffer;
  readonly manifest: ManifestKeeper;
  readonly pins: FilePins;
  readonly onDamage: DamageListener;
}

/** What of the database the backup acts on. */
export interface BackupHost {
  /** Stops the database. */
  fail(error: HoldfastError): void;
  /** Everything up to `lsn` is archived: the log may be let go further. */
  archived(lsn: Lsn): void;
  /** Effects up to here are visible. */
  readonly appliedLsn: Lsn;
  /** Writes a checkpoint, of every shard when asked for. */
  checkpointWith(options: { readonly all: boolean }): Promise<void>;
}

export class DatabaseBackup {
  readonly repository: Repository;
  readonly fence: WriterFence;
  readonly #parts: BackupParts;
  readonly #settings: BackupSettings;
  readonly #archiver: Archiver;
  #host: BackupHost | undefined;
  #snapshots: DatabaseSnapshots | undefined;
  #schedule: SnapshotSchedule | undefined;
  /** As it was put last. */
  #layout: Buffer | undefined;
  readonly #memory: ArchiveMemory;
  readonly #keys: RepositoryKeys;
  /** The key that everything that stays for ever is under. */
  #renewedUnder: number | undefined;

  private constructor(parts: BackupParts, settings: BackupSettings, memory: ArchiveMemory) {
    this.#parts = parts;
    this.#settings = settings;
    this.#memory = memory;
    const { clock, random, log, logger, shardCount } = parts;
    const repository = new Repository(parts.objects, parts.codec, repositoryId(parts.databaseId));
    this.repository = repository;
    this.#keys = new RepositoryKeys(repository, logger);
    this.fence = new WriterFence(repository, (error) => this.#host?.fail(error));
    const entry = new WriterEntry(
      { repository, memory, log, clock, random, logger, shardCount },
      {
        takeOver: settings.takeOver ?? false,
        acceptRollback: settings.acceptRollback ?? false,
      },
    );
    this.#archiver = new Archiver(
      {
        ...{ repository, memory, log, clock, random, logger, fence: this.fence },
        enter: (signal) => entry.enter({ signal }),
        prepare: (signal) => this.#prepare(signal),
        fail: (error) => this.#host?.fail(error),
        archived: (lsn) => this.#host?.archived(lsn),
      },
      {
        intervalMs: settings.archiveIntervalMs ?? LIMITS.archiveIntervalMs,
        pieceBytes: settings.archivePieceBytes ?? LIMITS.archivePieceBytes,
        fenceCheckIntervalMs: settings.fenceCheckIntervalMs ?? LIMITS.fenceCheckIntervalMs,
      },
    );
  }

  /** From here on the log keeps what is not archived. */
  static async open(parts: BackupParts, settings: BackupSettings): Promise<DatabaseBackup> {
    assertSizes(settings);
    const { fileSystem, codec, dir } = parts;
    const id = repositoryId(parts.databaseId);
    const forget = settings.takeOver ?? false;
    const memory = await ArchiveMemory.open({ fileSystem, codec, dir }, id, forget);
    return new DatabaseBackup(parts, settings, memory);
  }

  /** Becomes the writer of the repository, if that can be now. Rejects with what stops the open. I1. */
  async enter(): Promise<void> {
    const { clock, logger } = this.#parts;
    const timeout = new AbortController();
    const timer = clock.after(this.#settings.openTimeoutMs ?? LIMITS.archiveOpenTimeoutMs, () =>
      timeout.abort(inTime()),
    );
    try {
      await this.#archiver.enter(timeout.signal);
      await this.putLayout(timeout.signal);
    } catch (error) {
      if (!isAway(error)) throw error;
      logger.warn('archive.storeAway', { code: error.code, message: error.message });
    } finally {
      timer.cancel();
    }
  }

  get archive(): Archive {
    return this.#archiver;
  }

  start(host: BackupHost): void {
    this.#host = host;
    this.#archiver.start();
    this.#snapshots = this.#makeSnapshots(host);
    const { snapshotIntervalMs: everyMs = 0, retention } = this.#settings;
    if (everyMs === 0) return;
    this.#schedule = new SnapshotSchedule(
      { clock: this.#parts.clock, logger: this.#parts.logger, snapshots: this.#snapshots },
      { everyMs, retention, bytesPerSecond: this.#settings.snapshotBytesPerSecond },
    );
    this.#schedule.start();
  }

  /** `undefined` before the start. */
  get snapshots(): DatabaseSnapshots | undefined {
    return this.#snapshots;
  }

  /** `undefined` when no snapshots are made by themselves. */
  get schedule(): { stats(): ScheduleStats } | undefined {
    return this.#schedule;
  }

  /** Ends what is under way; the files it read are let go. The database still runs. */
  async stopSnapshots(): Promise<void> {
    const stopped = this.#schedule?.close();
    await this.#snapshots?.close();
    await stopped;
  }

  /** A batch is durable and applied up to `lsn`. */
  settled(lsn: Lsn): void {
    this.#archiver.settled(lsn);
  }

  /** Bytes by key id: in the repository, on the way to it, and what this directory remembers of it. */
  async keyUse(): Promise<ReadonlyMap<number, number>> {
    const onTheWay = this.#snapshots?.keyUse ?? []; // first: it may arrive while we look
    const use = await this.#keys.use();
    for (const [keyId, bytes] of [...onTheWay, [this.#memory.keyId, LIMITS.blockBytes] as const]) {
      use.set(keyId, (use.get(keyId) ?? 0) + bytes);
    }
    return use;
  }

  /** What has to be so before the archive goes on. I2. After a rotation, what stays is renewed. */
  async #prepare(signal: AbortSignal): Promise<void> {
    await this.putLayout(signal);
    const { keyId, keys } = this.#parts.codec;
    if (keys === undefined || keyId === this.#renewedUnder) return;
    if (keys.ids.length > 1) {
      if (this.#memory.keyId !== keyId) await this.#memory.save(this.#memory.current);
      const renewed = await this.#keys.renew({ signal });
      if (renewed > 0) this.#parts.logger.info('archive.renewed', { objects: renewed });
    }
    this.#renewedUnder = keyId;
  }

  /** Puts the layout where the repository has another one. I2. */
  async putLayout(signal: AbortSignal): Promise<void> {
    const layout = this.#parts.layout();
    if (this.#layout?.equals(layout) === true) return;
    const { layout: key } = this.repository.names;
    const there = await this.repository.read(key, LIMITS.maxSmallObjectBytes, { signal });
    if (there?.equals(layout) !== true) await this.repository.store.put(key, layout, { signal });
    this.#layout = layout;
  }

  /** @param archive what is left, for a bounded time. */
  async close({ archive }: { readonly archive: boolean }): Promise<void> {
    if (archive) await this.#archiveTheRest();
    await this.#archiver.close();
  }

  #makeSnapshots(host: BackupHost): DatabaseSnapshots {
    const { clock, random, logger, log, dir, fileSystem, manifest, pins, onDamage } = this.#parts;
    return new DatabaseSnapshots({
      ...{ repository: this.repository, clock, random, logger, writer: this.fence },
      partBytes: this.#settings.snapshotPartBytes,
      prepare: (signal) => this.putLayout(signal),
      source: {
        ...{ dir, fileSystem, clock, logger, log, manifest, pins, onDamage },
        checkpoint: () => host.checkpointWith({ all: true }),
        appliedLsn: () => host.appliedLsn,
      },
    });
  }

  async #archiveTheRest(): Promise<void> {
    const { clock, logger } = this.#parts;
    const { promise: late, cancel } = alarm(
      clock,
      this.#settings.closeTimeoutMs ?? LIMITS.archiveCloseTimeoutMs,
    );
    try {
      await Promise.race([this.#archiver.flush(), late]);
    } catch (error) {
      const { archivedLsn, lagRecords } = this.#archiver.stats();
      const reason = isHoldfastError(error) ? error.code : String(error);
      logger.warn('archive.incomplete', { archivedLsn, lagRecords, reason });
    } finally {
      cancel();
    }
  }
}

/** A piece that is too large could not be read again. */
function assertSizes({
  archivePieceBytes: piece = 1,
  snapshotPartBytes: part = 1,
}: BackupSettings): void {
  const most = LIMITS.maxArchivePieceSetting;
  const isWhole = (bytes: number): boolean => Number.isSafeInteger(bytes) && bytes >= 1;
  if (isWhole(piece) && piece <= most && isWhole(part)) return;
  throw new HoldfastError(
    'INVALID_SETTINGS',
    `sizes of a backup make no sense archivePieceBytes=${piece} limit=${most} snapshotPartBytes=${part}`,
  );
}

/** The store may be there later. What is wrong with it or with us is told at once. I1. */
function isAway(error: unknown): error is HoldfastError {
  if (!isHoldfastError(error) || isArchiveRefusal(error)) return false;
  return error.kind === 'unavailable' || error.kind === 'denied' || error.code === 'ABORTED';
}

function alarm(clock: Clock, afterMs: number): { promise: Promise<never>; cancel: () => void } {
  let cancel = (): void => undefined;
  const promise = new Promise<never>((_, reject) => {
    const timer = clock.after(afterMs, () => reject(inTime()));
    cancel = () => timer.cancel();
  });
  return { promise, cancel };
}

function inTime(): HoldfastError {
  return new HoldfastError('ABORTED', 'the object store did not answer in time');
}
