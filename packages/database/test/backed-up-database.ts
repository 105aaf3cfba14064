/**
 * A small database with a repository beside it, put there object by object, as a writer would, but
 * at the moments a test chooses: for tests of what reads a repository.
 */
import { createHash, createSecretKey } from 'node:crypto';
import {
  BlockCodec,
  type Clock,
  type FileSystem,
  KeyRing,
  type Lsn,
  MemoryFileSystem,
  NodeRandom,
  type Random,
  type Timer,
  writeFully,
} from '@holdfast/core';
import { openLog, type StoredRecord } from '@holdfast/log';
import { MemoryObjectStore, type ObjectStore } from '@holdfast/objects';
import { decodeManifest, manifestFileName, parseManifestFileName } from '@holdfast/tables';
import { encodeArchivePiece, NO_TAG } from '../src/backup/repository/archive-piece.ts';
import { Repository } from '../src/backup/repository/repository.ts';
import { repositoryId } from '../src/backup/repository/repository-names.ts';
import type { SnapshotFile, SnapshotManifest } from '../src/backup/repository/snapshot-manifest.ts';
import { type Database, openDatabase } from '../src/index.ts';
import { decodeLayout } from '../src/layout.ts';
import { RowEngine } from './row-engine.ts';

/** What a database holds, as text. */
export type Rows = Readonly<Record<string, string>>;

export const SETTINGS = {
  dir: '/data',
  shardCount: 2,
  checkpointLogBytes: 1 << 30,
  segmentTargetBytes: 64 * 1024,
  preallocateBytes: 16 * 1024,
  diskReserveBytes: 0,
  scrubIntervalMs: 0,
} as const;

const PART_BYTES = 1_500;

/** A clock that stands still until it is told, over real turns of the event loop. */
export class StepClock implements Clock {
  nowMs = 1_000_000;

  now(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  immediate(callback: () => void): void {
    setImmediate(callback);
  }
}

export function ringOf(...bytes: readonly number[]): KeyRing {
  const keys = bytes.map((byte) => createSecretKey(Buffer.alloc(32, byte)));
  return new KeyRing(keys, new NodeRandom());
}

export class BackedUpDatabase {
  readonly clock: StepClock = new StepClock();
  readonly random: Random = new NodeRandom();
  readonly store: ObjectStore;
  readonly keys: KeyRing | undefined;
  /** What it held after each LSN, the wall clock of that one, and its record. */
  readonly states = new Map<number, Rows>();
  readonly times = new Map<number, number>();
  readonly records: StoredRecord[] = [];
  /** Of the writer. */
  epoch = 0;
  #fileSystem: FileSystem;
  #dir: string = SETTINGS.dir;
  #database: Database | undefined;
  #engine = new RowEngine();
  #repository: Repository | undefined;
  #layout: Buffer = Buffer.alloc(0);
  #rows: Record<string, string> = {};
  #tag: Buffer = NO_TAG;
  #archived = 0;
  #lastSnapshot: string | undefined;

  private constructor(keys: KeyRing | undefined, store: ObjectStore | undefined) {
    this.keys = keys;
    this.store = store ?? new MemoryObjectStore({ clock: this.clock });
    this.#fileSystem = new MemoryFileSystem();
  }

  /** A database without a record, whose first claim is put. */
  static async create(
    options: { readonly keys?: KeyRing | undefined; readonly store?: ObjectStore } = {},
  ): Promise<BackedUpDatabase> {
    const made = new BackedUpDatabase(options.keys, options.store);
    await made.#open();
    made.#layout = await readFile(made.#fileSystem, `${SETTINGS.dir}/layout.json`);
    const { databaseId } = decodeLayout('layout.json', made.#layout);
    const codec = new BlockCodec(databaseId, made.keys);
    made.#repository = new Repository(made.store, codec, repositoryId(databaseId));
    await made.store.put(made.repository.names.layout, made.#layout);
    await made.claim(0, 1);
    return made;
  }

  get repository(): Repository {
    return this.#repository as Repository;
  }

  get lastLsn(): number {
    return this.states.size;
  }

  get keyed(): { readonly keys?: KeyRing } {
    return this.keys === undefined ? {} : { keys: this.keys };
  }

  /** One commit, `stepMs` after the one before. `undefined` deletes. */
  async write(changes: Readonly<Record<string, string | undefined>>, stepMs = 10): Promise<number> {
    this.clock.nowMs += stepMs;
    const entries = Object.entries(changes).map(
      ([key, value]) => [key, value === undefined ? undefined : Buffer.from(value)] as const,
    );
    const lsn = await this.#engine.write(new Map(entries));
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) delete this.#rows[key];
      else this.#rows[key] = value;
    }
    this.states.set(lsn, { ...this.#rows });
    this.times.set(lsn, this.clock.nowMs);
    return lsn;
  }

  async claim(parent: number, from: number): Promise<void> {
    this.epoch = ((await this.repository.epochs()).at(-1) ?? 0) + 1;
    this.#tag = NO_TAG;
    this.#archived = from - 1;
    await this.repository.putClaim({
      epoch: this.epoch,
      claimId: this.random.bytes(16).toString('hex'),
      parent,
      from: from as Lsn,
      shardCount: SETTINGS.shardCount,
      claimedAtMs: this.clock.nowMs,
    });
  }

  /** Puts pieces of `perPiece` records up to `to`. */
  async archive(perPiece = 7, to: number = this.lastLsn): Promise<void> {
    await this.#readLog();
    while (this.#archived < to) {
      const from = this.#archived;
      await this.putPiece(from + 1, Math.min(to, from + perPiece));
    }
  }

  async putPiece(first: number, last: number, epoch: number = this.epoch): Promise<void> {
    await this.#readLog();
    const records = this.records.slice(first - 1, last);
    const { codec, names } = this.repository;
    const piece = encodeArchivePiece(codec, names, { epoch, previousTag: this.#tag, records });
    await this.store.put(piece.key, piece.bytes);
    this.#tag = piece.tag;
    this.#archived = Math.max(this.#archived, last);
  }

  async mark(name: string, lsn: number): Promise<void> {
    const { epoch } = this;
    const committedAtMs = this.times.get(lsn) ?? 0;
    await this.repository.putRestorePoint({ name, lsn: lsn as Lsn, epoch, committedAtMs });
  }

  /** A snapshot of now; the database is closed and opened again for it. */
  async snapshot(): Promise<SnapshotManifest> {
    await this.#readLog();
    await this.close();
    const files: SnapshotFile[] = [];
    const names = await this.#fileSystem.list(this.#dir);
    const generation = Math.max(...names.map((name) => parseManifestFileName(name) ?? 0));
    const path = `${this.#dir}/${manifestFileName(generation)}`;
    const file = await readFile(this.#fileSystem, path);
    const manifest = decodeManifest(file, this.repository.codec, { generation, path });
    for (const name of names) {
      const isCurrent = name === manifestFileName(generation);
      if (isCurrent || /\.hf[tx]$/.test(name)) files.push(await this.#upload(name));
    }
    const lsn = this.lastLsn as Lsn;
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    const snapshot: SnapshotManifest = {
      snapshotId: this.repository.names.snapshotId(lsn, this.random.bytes(8)),
      kind: 'full',
      epoch: this.epoch,
      lsn,
      committedAtMs: this.times.get(lsn) ?? this.clock.nowMs,
      createdAtMs: this.clock.nowMs,
      previousId: this.#lastSnapshot,
      generation,
      shardCount: manifest.shards.length,
      files,
      totalBytes,
      uploadedBytes: totalBytes,
    };
    await this.repository.putSnapshot(snapshot);
    this.#lastSnapshot = snapshot.snapshotId;
    await this.#open();
    return snapshot;
  }

  /** From now on the database is the one in `dir`, which holds everything up to `lsn`. */
  async goOnWith(fileSystem: FileSystem, dir: string, lsn: number): Promise<void> {
    await this.close();
    this.#fileSystem = fileSystem;
    this.#dir = dir;
    this.#rows = { ...this.states.get(lsn) };
    for (const later of [...this.states.keys()].filter((key) => key > lsn)) {
      this.states.delete(later);
      this.times.delete(later);
    }
    this.records.length = lsn;
    await this.#open();
  }

  async close(): Promise<void> {
    await this.#database?.close();
    this.#database = undefined;
  }

  async #open(): Promise<void> {
    this.#engine = new RowEngine();
    this.#database = await openDatabase(
      { fileSystem: this.#fileSystem, clock: this.clock, random: this.random, ...this.keyed },
      { ...SETTINGS, dir: this.#dir },
      [this.#engine],
    );
  }

  /** The records that were added: a close lets the log go. */
  async #readLog(): Promise<void> {
    if (this.#database === undefined || this.records.length === this.lastLsn) return;
    const copy = new MemoryFileSystem();
    await copyFolder(this.#fileSystem, `${this.#dir}/log`, copy, '/log');
    const { databaseId } = decodeLayout('layout.json', this.#layout);
    const log = await openLog(
      { fileSystem: copy, clock: this.clock, random: this.random, ...this.keyed },
      { dir: '/log', databaseId, diskReserveBytes: 0 },
    );
    const from = (this.records.length + 1) as Lsn;
    for await (const record of log.replay({ from })) this.records.push(record);
    await log.close();
  }

  async #upload(name: string): Promise<SnapshotFile> {
    const bytes = await readFile(this.#fileSystem, `${this.#dir}/${name}`);
    const parts: { hash: string; bytes: number }[] = [];
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const part = bytes.subarray(at, at + PART_BYTES);
      const hash = sha256(part);
      await this.store.put(this.repository.names.part(hash), part);
      parts.push({ hash, bytes: part.length });
    }
    const keyId = this.repository.codec.peekHeader(bytes, 0)?.keyId ?? 0;
    return { name, bytes: bytes.length, digest: sha256(bytes), keyId, parts };
  }
}

/** What a data directory holds, opened as any other; closed again. */
export async function rowsIn(
  fileSystem: FileSystem,
  dir: string,
  keys?: KeyRing,
): Promise<{ readonly rows: Rows; readonly lsn: number }> {
  const engine = new RowEngine();
  const components = { fileSystem, clock: new StepClock(), random: new NodeRandom() };
  const database = await openDatabase(
    { ...components, ...(keys === undefined ? {} : { keys }) },
    { ...SETTINGS, dir },
    [engine],
  );
  const rows: Record<string, string> = {};
  for (const key of engine.keys()) rows[key] = (await engine.get(key))?.toString() ?? '';
  const lsn = database.appliedLsn;
  const problems = await database.verify();
  await database.close();
  if (problems.length > 0) throw new Error(`verify: ${JSON.stringify(problems)}`);
  return { rows, lsn };
}

export async function readFile(fileSystem: FileSystem, path: string): Promise<Buffer> {
  const file = await fileSystem.open(path, 'read');
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

async function copyFolder(
  from: FileSystem,
  source: string,
  to: FileSystem,
  target: string,
): Promise<void> {
  await to.makeDirectory(target);
  for (const name of await from.list(source)) {
    const file = await to.open(`${target}/${name}`, 'create');
    await writeFully(file, await readFile(from, `${source}/${name}`), 0);
    await file.close();
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
