/**
 * Reads a whole snapshot and says what is wrong with it: every part against its name, every file
 * against its digest, and the manifest of the database in it against the list of files. Changes
 * nothing.
 */
import { createHash } from 'node:crypto';
import { hasCode, HoldfastError, LIMITS } from '@holdfast/core';
import {
  decodeManifest,
  extentFileName,
  type Manifest,
  manifestFileName,
  tableFileName,
} from '@holdfast/tables';
import { inParallel } from '../repository/in-parallel.ts';
import type { Repository } from '../repository/repository.ts';
import { isDamage } from './snapshot-catalog.ts';
import type {
  SnapshotFile,
  SnapshotManifest,
  SnapshotPart,
} from '../repository/snapshot-manifest.ts';

/** `size`: it is there with another number of bytes. `contents`: parts are whole, the sum is not. */
export type SnapshotProblemKind = 'missing' | 'size' | 'damaged' | 'contents';

export interface SnapshotProblem {
  readonly kind: SnapshotProblemKind;
  /** Of the object, when it is one. */
  readonly key?: string;
  /** Of the database whose part it is. */
  readonly file: string;
  readonly message: string;
}

export interface SnapshotVerifyReport {
  /** Empty when a restore from it would succeed. */
  readonly problems: readonly SnapshotProblem[];
  readonly files: number;
  readonly parts: number;
  /** Read. */
  readonly bytes: number;
}

export interface VerifyProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface VerifySnapshotOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** Rejects when it cannot tell: the store does not answer, a key is missing. */
export async function verifySnapshot(
  repository: Repository,
  manifest: SnapshotManifest,
  options: VerifySnapshotOptions = {},
): Promise<SnapshotVerifyReport> {
  const run = new Verification(repository, manifest, options);
  const signal = options.signal ?? new AbortController().signal;
  await inParallel(manifest.files, LIMITS.snapshotParallelism, signal, (file, call) =>
    run.file(file, call),
  );
  run.database();
  const { problems, bytes, parts } = run;
  return { problems, files: manifest.files.length, parts, bytes };
}

class Verification {
  readonly problems: SnapshotProblem[] = [];
  bytes = 0;
  parts = 0;
  readonly #repository: Repository;
  readonly #manifest: SnapshotManifest;
  readonly #options: VerifySnapshotOptions;
  /** The file of the database's manifest, when it came whole. */
  #databaseManifest: Buffer | undefined;

  constructor(repository: Repository, manifest: SnapshotManifest, options: VerifySnapshotOptions) {
    this.#repository = repository;
    this.#manifest = manifest;
    this.#options = options;
  }

  async file(file: SnapshotFile, signal: AbortSignal): Promise<void> {
    const isManifest = file.name === manifestFileName(this.#manifest.generation);
    const kept: Buffer[] = [];
    const keep = isManifest && file.bytes <= LIMITS.maxSnapshotManifestBytes * 2;
    const whole = createHash('sha256');
    let isWhole = true;
    for (const part of file.parts) {
      const problem = await this.#part(part, signal, (piece) => {
        whole.update(piece);
        if (keep) kept.push(piece);
      });
      this.parts++;
      if (problem === undefined) continue;
      isWhole = false;
      this.problems.push({ ...problem, key: this.#key(part), file: file.name });
    }
    if (!isWhole) return;
    if (whole.digest('hex') === file.digest) {
      if (keep) this.#databaseManifest = Buffer.concat(kept);
      return;
    }
    const message = `parts are whole and do not make the file name=${file.name}`;
    this.problems.push({ kind: 'contents', file: file.name, message });
  }

  /** After all files: what the manifest names is there, and nothing else is. */
  database(): void {
    const { generation } = this.#manifest;
    const file = manifestFileName(generation);
    if (!this.#manifest.files.some(({ name }) => name === file)) {
      const message = `the manifest of the database is not among the files name=${file}`;
      this.problems.push({ kind: 'missing', file, message });
      return;
    }
    if (this.#databaseManifest === undefined) return; // named already
    const { codec } = this.#repository;
    try {
      const decoded = decodeManifest(this.#databaseManifest, codec, { generation, path: file });
      for (const message of contradictions(this.#manifest, decoded)) {
        this.problems.push({ kind: 'contents', file, message });
      }
    } catch (error) {
      if (!isDamage(error) || error.code === 'KEY_MISSING') throw error;
      this.problems.push({ kind: 'damaged', file, message: error.message });
    }
  }

  async #part(
    part: SnapshotPart,
    signal: AbortSignal,
    take: (piece: Buffer) => void,
  ): Promise<Omit<SnapshotProblem, 'file'> | undefined> {
    const key = this.#key(part);
    const hash = createHash('sha256');
    try {
      const content = await this.#repository.store.get(key, { signal });
      if (content.size !== part.bytes) {
        await content.close();
        const message = `part has another size key=${key} bytes=${content.size} expected=${part.bytes}`;
        return { kind: 'size', message };
      }
      for await (const piece of content.body) {
        hash.update(piece);
        take(piece);
        this.bytes += piece.length;
        const { totalBytes } = this.#manifest;
        this.#options.onProgress?.({ bytes: this.bytes, totalBytes });
      }
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) {
        return { kind: 'missing', message: `part is not there key=${key}` };
      }
      if (error instanceof HoldfastError && error.kind === 'corrupt') {
        return { kind: 'damaged', message: error.message }; // the store found out itself
      }
      throw error;
    }
    if (hash.digest('hex') === part.hash) return undefined;
    return { kind: 'damaged', message: `part is damaged: its hash differs key=${key}` };
  }

  #key(part: SnapshotPart): string {
    return this.#repository.names.part(part.hash);
  }
}

/** Between the list of a snapshot and the manifest of the database in it. */
function* contradictions(snapshot: SnapshotManifest, manifest: Manifest): Generator<string> {
  if (manifest.shards.length !== snapshot.shardCount) {
    yield `shard counts differ snapshot=${snapshot.shardCount} manifest=${manifest.shards.length}`;
  }
  const elsewhere = manifest.shards.find(({ appliedLsn }) => appliedLsn !== snapshot.lsn);
  if (elsewhere !== undefined) {
    yield `a shard stands elsewhere snapshotLsn=${snapshot.lsn} shardLsn=${elsewhere.appliedLsn}`;
  }
  const tables = manifest.shards.flatMap((shard) => shard.tables);
  const named = new Map<string, { readonly bytes: number; readonly digest: Buffer }>([
    ...tables.map((table) => [tableFileName(table.fileId), table] as const),
    ...manifest.extentFiles.map((file) => [extentFileName(file.fileId), file] as const),
  ]);
  for (const { name, bytes, digest } of snapshot.files) {
    if (name === manifestFileName(snapshot.generation)) continue;
    const info = named.get(name);
    named.delete(name);
    if (info === undefined) yield `the manifest does not name this file name=${name}`;
    else if (info.bytes !== bytes || info.digest.toString('hex') !== digest) {
      yield `the manifest names another file of this name name=${name}`;
    }
  }
  for (const name of named.keys()) yield `the manifest names a file that is not there name=${name}`;
}
