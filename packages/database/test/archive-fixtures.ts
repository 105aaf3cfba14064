/** A database over a simulated disk with an archive, and what a repository says of its history. */
import { createSecretKey } from 'node:crypto';
import {
  BlockCodec,
  type Clock,
  type FileSystem,
  KeyRing,
  type Logger,
  type Lsn,
  type Random,
} from '@holdfast/core';
import type { StoredRecord } from '@holdfast/log';
import type { ObjectStore } from '@holdfast/objects';
import { SeededRandom } from '@holdfast/testkit';
import { decodeArchivePiece } from '../src/backup/repository/archive-piece.ts';
import type { BackupSettings } from '../src/backup/database-backup.ts';
import { type Lineage, resolveLineage } from '../src/backup/repository/lineage.ts';
import { Repository } from '../src/backup/repository/repository.ts';
import { repositoryId } from '../src/backup/repository/repository-names.ts';
import { type Database, openDatabase } from '../src/index.ts';
import { readLayout } from '../src/layout.ts';
import { RowEngine } from './row-engine.ts';

export interface ArchivedPlace {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly objects?: ObjectStore;
  readonly keys?: KeyRing;
  readonly dir?: string;
  readonly logger?: Logger;
}

export interface OpenedDatabase {
  readonly database: Database;
  readonly engine: RowEngine;
}

export async function openArchived(
  { dir = '/data', ...components }: ArchivedPlace,
  backup: BackupSettings = {},
): Promise<OpenedDatabase> {
  const engine = new RowEngine();
  const settings = {
    dir,
    backup,
    shardCount: 2,
    checkpointLogBytes: 24 * 1024,
    segmentTargetBytes: 32 * 1024,
    preallocateBytes: 8 * 1024,
    diskReserveBytes: 0,
    scrubIntervalMs: 0,
  };
  return { database: await openDatabase(components, settings, [engine]), engine };
}

export async function write(engine: RowEngine, number: number, bytes = 20): Promise<Lsn> {
  return engine.write(new Map([[`k${number % 7}`, Buffer.alloc(bytes, `${number}.`)]]));
}

export async function repositoryOf(
  fileSystem: FileSystem,
  objects: ObjectStore,
  keys?: KeyRing,
  dir = '/data',
): Promise<Repository> {
  const layout = await readLayout(fileSystem, dir);
  if (layout === undefined) throw new Error('no layout');
  const codec = new BlockCodec(layout.databaseId, keys);
  return new Repository(objects, codec, repositoryId(layout.databaseId));
}

export interface ArchivedHistory {
  readonly lineage: Lineage;
  /** Of the lineage, consecutive from where it begins. */
  readonly records: readonly StoredRecord[];
}

/** What a restore would read: every piece checked, in its range, each after the one before. */
export async function archivedHistory(
  repository: Repository,
  asOf?: number,
): Promise<ArchivedHistory> {
  const lineage = resolveLineage(await repository.claims(), asOf);
  if (lineage === undefined) throw new Error('nobody claimed the repository');
  const records: StoredRecord[] = [];
  for (const { epoch, from, to } of lineage.ranges) {
    let tag: Buffer = Buffer.alloc(16);
    for await (const piece of repository.pieces({ epoch })) {
      const bytes = await repository.read(piece.key, 1 << 30);
      const found = decodeArchivePiece(repository.codec, piece.key, piece, bytes as Buffer);
      if (!found.previousTag.equals(tag)) throw new Error(`chain is broken key=${piece.key}`);
      tag = found.tag;
      for (const record of found.records) {
        if (record.lsn < from || record.lsn > (to ?? Infinity)) continue;
        const next = (records.at(-1)?.lsn ?? record.lsn - 1) + 1;
        if (record.lsn !== next) throw new Error(`gap wanted=${next} found=${record.lsn}`);
        records.push(record);
      }
    }
  }
  return { lineage, records };
}

export function ringOf(...bytes: number[]): KeyRing {
  const keys = bytes.map((byte) => createSecretKey(Buffer.alloc(32, byte)));
  return new KeyRing(keys, new SeededRandom(bytes[0] ?? 0));
}
