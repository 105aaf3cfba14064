/**
 * What an operator does with a running node: its backup, its snapshots, its marks and its keys. One
 * face for those who embed a node, and for the routes of administration.
 *
 * Invariants
 * 1. Closing ends what is under way, and waits for its end, before the database is closed.
 *
 * Owner: the node.
 */
import { type Clock, HoldfastError, type KeyRing, type Logger } from '@holdfast/core';
import type { Archive, ArchiveStats, DatabaseSnapshots, ScheduleStats } from '@holdfast/database';
import {
  backupHealth,
  type BackupHealth,
  backupStatus,
  type BackupStatus,
} from './backup/backup-status.ts';
import { Drills, type DrillParts } from './backup/drills.ts';
import { EmbeddedKeys, type KeyDatabase } from './backup/embedded-keys.ts';
import { EmbeddedSnapshots } from './backup/embedded-snapshots.ts';
import type { KeySource } from './key-source.ts';
import { holding } from './node-keep-alive.ts';
import type { NodeSettings } from './settings.ts';
import type { EmbeddedTiers } from './tiers/embedded-tiers.ts';

/** The part of the database that is administered. */
export interface AdministeredDatabase extends KeyDatabase {
  readonly archive: Archive | undefined;
  readonly snapshots: DatabaseSnapshots | undefined;
  readonly snapshotSchedule: ScheduleStats | undefined;
  readonly repositoryId: string | undefined;
  mark(name: string): Promise<number>;
}

export interface AdministrationParts {
  readonly database: AdministeredDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly keySource: KeySource | undefined;
  readonly keys: KeyRing | undefined;
  readonly tiers: EmbeddedTiers;
  /** Of the backup; absent without one. */
  readonly backup:
    | { readonly place: string; readonly drills: Pick<DrillParts, 'restore' | 'scratch' | 'open'> }
    | undefined;
}

/** `node.archive`. */
export interface EmbeddedArchive {
  stats(): ArchiveStats;
  /** Resolves once everything that is durable now is in the backup. */
  flush(): Promise<void>;
}

export class Administration {
  readonly snapshots: EmbeddedSnapshots;
  readonly keys: EmbeddedKeys;
  readonly archive: EmbeddedArchive;
  readonly tiers: EmbeddedTiers;
  readonly #parts: AdministrationParts;
  readonly #drills: Drills | undefined;

  constructor(parts: AdministrationParts, settings: NodeSettings) {
    const { database, clock, logger, backup } = parts;
    this.#parts = parts;
    this.tiers = parts.tiers;
    this.#drills =
      backup === undefined
        ? undefined
        : new Drills(
            {
              ...backup.drills,
              clock,
              logger,
              repositoryId: () => database.repositoryId,
              archivedLsn: () => database.archive?.stats().archivedLsn ?? 0,
            },
            settings.drillIntervalMs,
          );
    this.keys = new EmbeddedKeys({ database, source: parts.keySource, ring: parts.keys });
    this.snapshots = new EmbeddedSnapshots(
      { snapshots: () => database.snapshots, drills: this.#drills },
      settings,
    );
    this.archive = {
      stats: () => this.#archive().stats(),
      flush: () => holding(async () => this.#archive().flush()),
    };
  }

  get hasBackup(): boolean {
    return this.#parts.database.archive !== undefined;
  }

  /** Names this moment; resolves with its LSN once that is durable. */
  mark(name: string): Promise<number> {
    return this.#parts.database.mark(name);
  }

  /** @throws `BACKUP_NOT_CONFIGURED` */
  backup(): BackupStatus {
    const { database, backup, clock } = this.#parts;
    const archive = this.#archive().stats();
    return backupStatus({
      place: backup?.place ?? '',
      repository: database.repositoryId,
      archive,
      snapshots: database.snapshots?.stats(),
      schedule: database.snapshotSchedule,
      drills: this.#drills?.stats(),
      nowMs: clock.now(),
    });
  }

  /** What `/readyz` shows to anybody: no names and no messages. */
  health(): BackupHealth | undefined {
    return this.hasBackup ? backupHealth(this.backup()) : undefined;
  }

  start(): void {
    this.#drills?.start();
  }

  /** I1. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#drills?.close(), this.snapshots.close(), this.tiers.close()]);
  }

  #archive(): Archive {
    const { archive } = this.#parts.database;
    if (archive !== undefined) return archive;
    throw new HoldfastError('BACKUP_NOT_CONFIGURED', 'this node has no backup');
  }
}
