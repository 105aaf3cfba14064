/**
 * The repository of one database in an object store: what is there, by its meaning. It knows names
 * and formats; what may be written when is the business of those who write.
 *
 * Invariants
 * 1. What it gives out was checked: by the block around it and by its own name.
 * 2. Absent is not unavailable: `undefined` only when the store said so.
 *
 * Owner: whoever opened it; the store inside is closed by its own owner.
 */
import { type BlockCodec, hasCode, HoldfastError, LIMITS, type Lsn } from '@holdfast/core';
import type { CallOptions, ObjectStore } from '@holdfast/objects';
import { type DecodedArchivePiece, decodeArchivePiece } from './archive-piece.ts';
import { inParallel } from './in-parallel.ts';
import { type ArchivePieceName, type MarkName, RepositoryNames } from './repository-names.ts';
import { decodeRestorePoint, encodeRestorePoint, type RestorePoint } from './restore-point.ts';
import { damagedObject } from './sealed-object.ts';
import {
  decodeSnapshotManifest,
  encodeSnapshotManifest,
  type SnapshotManifest,
} from './snapshot-manifest.ts';
import { decodeWriterClaim, encodeWriterClaim, type WriterClaim } from './writer-claim.ts';

export interface ListedSnapshot {
  readonly id: string;
  readonly lsn: Lsn;
}

export interface ListedPiece extends ArchivePieceName {
  readonly key: string;
  readonly bytes: number;
}

export interface ListedPart {
  /** SHA-256, hexadecimal. */
  readonly hash: string;
  readonly key: string;
  readonly bytes: number;
}

/** There is one for each start of each writer. */
const CLAIMS_AT_ONCE = 8;

export class Repository {
  readonly store: ObjectStore;
  readonly codec: BlockCodec;
  readonly names: RepositoryNames;

  constructor(store: ObjectStore, codec: BlockCodec, repositoryId: string) {
    this.store = store;
    this.codec = codec;
    this.names = new RepositoryNames(repositoryId);
  }

  /** Rising; those above `after`, if given. */
  async epochs(options: CallOptions & { readonly after?: number } = {}): Promise<number[]> {
    const { after, ...call } = options;
    const from = after === undefined ? call : { ...call, after: this.names.claim(after) };
    const epochs: number[] = [];
    for await (const { key } of this.#list(this.names.claims, from)) {
      const epoch = this.names.epochOfClaim(key);
      if (epoch !== undefined) epochs.push(epoch);
    }
    return epochs;
  }

  async claim(epoch: number, options: CallOptions = {}): Promise<WriterClaim | undefined> {
    const key = this.names.claim(epoch);
    const bytes = await this.read(key, LIMITS.maxSmallObjectBytes, options);
    return bytes === undefined ? undefined : decodeWriterClaim(this.codec, key, epoch, bytes);
  }

  /** All of them, rising; what a lineage is resolved from. */
  async claims(options: CallOptions = {}): Promise<WriterClaim[]> {
    const epochs = await this.epochs(options);
    const claims: WriterClaim[] = [];
    const signal = options.signal ?? new AbortController().signal;
    await inParallel(epochs, CLAIMS_AT_ONCE, signal, async (epoch, call) => {
      const claim = await this.claim(epoch, { signal: call });
      if (claim === undefined) throw missingObject(this.names.claim(epoch));
      claims.push(claim);
    });
    return claims.sort((one, other) => one.epoch - other.epoch);
  }

  /** `PRECONDITION_FAILED` when somebody has that epoch. */
  async putClaim(claim: WriterClaim, options: CallOptions = {}): Promise<void> {
    const key = this.names.claim(claim.epoch);
    const bytes = encodeWriterClaim(this.codec, key, claim);
    await this.store.put(key, bytes, { ...options, ifAbsent: true });
  }

  /** The same claim under the active key. */
  async renewClaim(claim: WriterClaim, options: CallOptions = {}): Promise<void> {
    const key = this.names.claim(claim.epoch);
    await this.store.put(key, encodeWriterClaim(this.codec, key, claim), options);
  }

  /** In the order of their LSNs. */
  async snapshots(options: CallOptions = {}): Promise<ListedSnapshot[]> {
    const snapshots: ListedSnapshot[] = [];
    for await (const { key } of this.#list(this.names.snapshots, options)) {
      const found = this.names.snapshotOf(key);
      if (found !== undefined) snapshots.push(found);
    }
    return snapshots;
  }

  async snapshot(id: string, options: CallOptions = {}): Promise<SnapshotManifest | undefined> {
    const key = this.names.snapshot(id);
    const named = this.names.snapshotOf(key);
    if (named === undefined) return undefined;
    const bytes = await this.read(key, LIMITS.maxSnapshotManifestBytes, options);
    return bytes === undefined ? undefined : decodeSnapshotManifest(this.codec, key, named, bytes);
  }

  /**
   * `PRECONDITION_FAILED` when there is one of this id.
   *
   * @returns attempts: of more than one, an earlier one may still land.
   */
  async putSnapshot(manifest: SnapshotManifest, options: CallOptions = {}): Promise<number> {
    const key = this.names.snapshot(manifest.snapshotId);
    const bytes = encodeSnapshotManifest(this.codec, key, manifest);
    let attempts = 0;
    const body = (): AsyncIterable<Uint8Array> => {
      attempts++;
      return once(bytes);
    };
    await this.store.put(key, body, { ...options, ifAbsent: true, contentLength: bytes.length });
    return attempts;
  }

  /** Those of one epoch, or of all; each epoch in the order of LSNs. */
  async *pieces(
    options: CallOptions & { readonly epoch?: number; readonly after?: string } = {},
  ): AsyncGenerator<ListedPiece, void, void> {
    const { epoch, ...call } = options;
    for await (const { key, size } of this.#list(this.names.pieces(epoch), call)) {
      const name = this.names.pieceOf(key);
      if (name !== undefined) yield { ...name, key, bytes: size };
    }
  }

  /** The records of one piece, checked. `FILE_MISSING` when it is gone. */
  async readPiece(piece: ListedPiece, options: CallOptions = {}): Promise<DecodedArchivePiece> {
    const bytes = await this.read(piece.key, LIMITS.maxArchivePieceBytes, options);
    if (bytes === undefined) throw missingObject(piece.key);
    return decodeArchivePiece(this.codec, piece.key, piece, bytes);
  }

  async *parts(options: CallOptions = {}): AsyncGenerator<ListedPart, void, void> {
    for await (const { key, size } of this.#list(this.names.parts, options)) {
      const hash = this.names.hashOfPart(key);
      if (hash !== undefined) yield { hash, key, bytes: size };
    }
  }

  /** In the order of their LSNs; those that `wanted` says, by their names. */
  async restorePoints(
    options: CallOptions = {},
    wanted: (mark: MarkName) => boolean = () => true,
  ): Promise<RestorePoint[]> {
    const points: RestorePoint[] = [];
    for await (const mark of this.marks(options)) {
      const point = wanted(mark) ? await this.restorePoint(mark, options) : undefined;
      if (point !== undefined) points.push(point);
    }
    return points;
  }

  /** The names of restore points, in the order of their LSNs. */
  async *marks(options: CallOptions = {}): AsyncGenerator<MarkName, void, void> {
    for await (const { key } of this.#list(this.names.marks, options)) {
      const mark = this.names.markOf(key);
      if (mark !== undefined) yield mark;
    }
  }

  async restorePoint(mark: MarkName, options: CallOptions = {}): Promise<RestorePoint | undefined> {
    const key = this.names.mark(mark);
    const bytes = await this.read(key, LIMITS.maxSmallObjectBytes, options);
    return bytes === undefined ? undefined : decodeRestorePoint(this.codec, key, mark, bytes);
  }

  async putRestorePoint(point: RestorePoint, options: CallOptions = {}): Promise<void> {
    const key = this.names.mark(point);
    await this.store.put(key, encodeRestorePoint(this.codec, key, point), options);
  }

  /** A whole object; `undefined` when there is none, damage when it is larger than it may be. */
  async read(
    key: string,
    maxBytes: number,
    options: CallOptions = {},
  ): Promise<Buffer | undefined> {
    try {
      const content = await this.store.get(key, options);
      if (content.size > maxBytes) {
        await content.close();
        throw damagedObject(key, 'it is too large');
      }
      const pieces: Buffer[] = [];
      for await (const piece of content.body) pieces.push(piece);
      return Buffer.concat(pieces);
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async *#list(
    prefix: string,
    options: CallOptions & { readonly after?: string },
  ): AsyncGenerator<{ readonly key: string; readonly size: number }, void, void> {
    let after = options.after;
    do {
      const { signal } = options;
      const page = await this.store.list({ prefix, after, signal });
      yield* page.objects;
      if (page.after !== undefined && page.after === after) throw stuck(prefix);
      after = page.after;
    } while (after !== undefined);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}

/** It is named by another one, or was listed. */
export function missingObject(key: string): HoldfastError {
  return new HoldfastError('FILE_MISSING', `object of the repository is missing key=${key}`, {
    details: { path: key },
  });
}

function stuck(prefix: string): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', `a listing does not go on prefix=${prefix}`);
}
