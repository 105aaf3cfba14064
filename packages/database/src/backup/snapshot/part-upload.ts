/**
 * The bytes of a database's files on their way into the repository, in parts named by their hash.
 *
 * Invariants
 * 1. A part gets into the repository only when its bytes had the hash of its name while they were
 *    sent: a body whose hash differs fails, and what fails is not put.
 * 2. The parts of a file count only when the whole file has the digest its manifest says.
 * 3. Damage of one copy is told, and the other copy read; it is the end only without a whole copy.
 * 4. Memory: one piece of a file for each part on its way, whatever the store keeps besides.
 */
import { createHash, type Hash } from 'node:crypto';
import {
  BLOCK_HEADER_BYTES,
  cut,
  type FileSystem,
  hasCode,
  HoldfastError,
  LIMITS,
  systemErrorCode,
} from '@holdfast/core';
import type { DamageListener, Pace } from '@holdfast/tables';
import { isUnreadable } from '../../storage-errors.ts';
import type { Repository } from '../repository/repository.ts';
import type { SnapshotPart } from '../repository/snapshot-manifest.ts';

/** One copy of a file: on disk, or held in memory. */
export interface FileCopySource {
  readonly path: string;
  /** Consecutive pieces, each in memory of its own. May be asked for again. */
  pieces(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** A file of the database as its manifest names it. */
export interface SourceFile {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of all of it, hexadecimal. */
  readonly digest: string;
  /** The first one first. */
  readonly copies: readonly FileCopySource[];
}

export interface PartUploadOptions {
  readonly partBytes: number;
  readonly pace: Pace;
  readonly onDamage: DamageListener;
}

export class PartUpload {
  readonly #repository: Repository;
  readonly #options: PartUploadOptions;

  constructor(repository: Repository, options: PartUploadOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  /** The key that the file is encrypted with; 0 for none. */
  keyIdOf(file: SourceFile): Promise<number> {
    return this.#ofAnyCopy(file, async (copy) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of copy.pieces(0, BLOCK_HEADER_BYTES)) pieces.push(piece);
      const header = this.#repository.codec.peekHeader(Buffer.concat(pieces), 0);
      if (header === undefined) throw damaged(copy.path, 0, 'it does not begin with a block');
      return header.keyId;
    });
  }

  /** How the file is divided; what has more than one part is read for it. I2. */
  async divide(file: SourceFile, signal: AbortSignal): Promise<SnapshotPart[]> {
    const { partBytes } = this.#options;
    if (file.bytes <= partBytes) return [{ hash: file.digest, bytes: file.bytes }];
    return this.#ofAnyCopy(file, async (copy) => {
      const whole = createHash('sha256');
      const parts: SnapshotPart[] = [];
      for (let at = 0; at < file.bytes; at += partBytes) {
        const bytes = Math.min(partBytes, file.bytes - at);
        const hash = createHash('sha256');
        for await (const piece of this.#paced(copy, at, bytes, signal)) {
          whole.update(piece);
          hash.update(piece);
        }
        parts.push({ hash: hash.digest('hex'), bytes });
      }
      if (whole.digest('hex') !== file.digest) throw damaged(copy.path, 0, 'its digest differs');
      return parts;
    });
  }

  /**
   * Puts one part, also where there is one already: it is young again then, and whole.
   *
   * @param onSent bytes that went on their way, negative when they have to go again.
   */
  put(
    file: SourceFile,
    offset: number,
    part: SnapshotPart,
    signal: AbortSignal,
    onSent: (bytes: number) => void,
  ): Promise<void> {
    return this.#ofAnyCopy(file, async (copy) => {
      const sending = new Sending(part, onSent);
      const { store, names } = this.#repository;
      const body = (): AsyncIterable<Uint8Array> =>
        sending.pieces(copy.path, offset, this.#paced(copy, offset, part.bytes, signal));
      try {
        await store.put(names.part(part.hash), body, { contentLength: part.bytes, signal });
      } catch (error) {
        sending.again();
        throw sending.failure ?? error;
      }
      await cut('backup.partPut');
    });
  }

  async *#paced(
    copy: FileCopySource,
    offset: number,
    length: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, void> {
    for await (const piece of copy.pieces(offset, length)) {
      signal.throwIfAborted();
      await this.#options.pace(piece.length);
      yield piece;
    }
  }

  /** I3 */
  async #ofAnyCopy<Result>(
    file: SourceFile,
    act: (copy: FileCopySource) => Promise<Result>,
  ): Promise<Result> {
    let first: HoldfastError | undefined;
    for (const copy of file.copies) {
      try {
        return await act(copy);
      } catch (error) {
        // What is wrong with the store, or with our time, says nothing about the file.
        if (!isUnreadable(error) || error.details['path'] !== copy.path) throw error;
        if (first === undefined || error.code !== 'FILE_MISSING') this.#options.onDamage(error);
        first ??= error;
      }
    }
    throw first as HoldfastError;
  }
}

/** True when the part is in the repository, by its name and size. */
export async function isPartThere(
  { store, names }: Repository,
  part: SnapshotPart,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await store.head(names.part(part.hash), { signal })).size === part.bytes;
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return false;
    throw error;
  }
}

/** The attempts to send one part. */
class Sending {
  readonly #part: SnapshotPart;
  readonly #onSent: (bytes: number) => void;
  #sent = 0;
  /** Why the source did not give what it should: no fault of the store. */
  failure: unknown;

  constructor(part: SnapshotPart, onSent: (bytes: number) => void) {
    this.#part = part;
    this.#onSent = onSent;
  }

  /** I1 */
  async *pieces(
    path: string,
    offset: number,
    source: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, void> {
    this.again();
    this.failure = undefined;
    const hash: Hash = createHash('sha256');
    try {
      for await (const piece of source) {
        hash.update(piece);
        this.#sent += piece.length;
        this.#onSent(piece.length);
        yield piece;
      }
      if (hash.digest('hex') === this.#part.hash) return;
      throw damaged(path, offset, 'its digest differs');
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  again(): void {
    if (this.#sent > 0) this.#onSent(-this.#sent);
    this.#sent = 0;
  }
}

/** A file on disk; its name must stay for as long as this is used. */
export function copyOnDisk(fileSystem: FileSystem, path: string): FileCopySource {
  return {
    path,
    async *pieces(offset, length) {
      try {
        const handle = await fileSystem.open(path, 'read');
        try {
          for (let done = 0; done < length;) {
            const wanted = Math.min(LIMITS.snapshotReadBytes, length - done);
            const piece = Buffer.allocUnsafeSlow(wanted); // the store keeps it for a while
            const read = await handle.read(piece, offset + done);
            if (read !== wanted) throw damaged(path, offset + done + read, 'it is cut off');
            done += read;
            yield piece;
          }
        } finally {
          await handle.close().catch(() => undefined); // opened to read: nothing can be lost
        }
      } catch (error) {
        throw asFileError(error, path);
      }
    },
  };
}

export function copyInMemory(path: string, bytes: Buffer): FileCopySource {
  return {
    path,
    async *pieces(offset, length) {
      for (let at = offset; at < offset + length; at += LIMITS.snapshotReadBytes) {
        yield bytes.subarray(at, Math.min(at + LIMITS.snapshotReadBytes, offset + length));
      }
    },
  };
}

function asFileError(error: unknown, path: string): unknown {
  const systemCode = systemErrorCode(error);
  if (systemCode === undefined) return error;
  const options = { cause: error, details: { path, systemCode } };
  if (systemCode === 'ENOENT') {
    return new HoldfastError('FILE_MISSING', `file is not there path=${path}`, options);
  }
  return new HoldfastError('STORAGE_UNAVAILABLE', `reading failed path=${path}`, options);
}

function damaged(path: string, position: number, what: string): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `file is damaged: ${what} path=${path} position=${position}`,
    { details: { path, position } },
  );
}
