/**
 * Makes snapshots: one cut of the running database, its files in parts, and last the manifest that
 * names them.
 *
 * Invariants
 * 1. The manifest is put when every part it names was seen in the repository after the last one was
 *    put, and every file had the digest of the database's manifest; so what is listed is whole.
 * 2. It is put only by the writer of the repository, who also holds its lease: both are asked right
 *    before. Should the lease end in that very moment, the parts are looked at again, and a manifest
 *    that lost some is taken back.
 * 3. A part that is not sent anew was named by an earlier snapshot and was seen in the repository.
 * 4. What a failure leaves are parts that nobody names: a sweep takes them.
 *
 * Owner: `DatabaseSnapshots`, which makes one snapshot at a time.
 */
import { cut, HoldfastError, LIMITS, type Random } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import { paceByRate, paceByTurn } from '@holdfast/tables';
import { inParallel } from '../repository/in-parallel.ts';
import type { Lease } from './lease.ts';
import { isPartThere, PartUpload, type SourceFile } from './part-upload.ts';
import type { RecentlySwept } from './recently-swept.ts';
import type { Repository } from '../repository/repository.ts';
import { compareSnapshots, isDamage, type SnapshotCatalog } from './snapshot-catalog.ts';
import { type SnapshotCut, type SnapshotSource, takeCut } from './snapshot-cut.ts';
import type {
  SnapshotFile,
  SnapshotKind,
  SnapshotManifest,
  SnapshotPart,
} from '../repository/snapshot-manifest.ts';

/** Who may write the repository: a `WriterFence`, or who stands in for one. */
export interface WriterStanding {
  /** Resolves to our epoch; rejects with `WRITER_FENCED`, or when that cannot be told. */
  check(options?: CallOptions): Promise<number>;
}

export interface SnapshotProgress {
  /** Of the snapshot, so far: put or found there. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly parts: number;
  readonly totalParts: number;
}

export interface WriteSnapshotOptions {
  readonly kind: SnapshotKind;
  readonly lease: Lease;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SnapshotProgress) => void;
  /** Bytes by key id, once it is known what the files are under. */
  readonly onKeys: (use: ReadonlyMap<number, number>) => void;
  /** Read from the disk, at most; a file of more than one part is read twice. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
}

export interface SnapshotWriterParts {
  readonly repository: Repository;
  readonly catalog: SnapshotCatalog;
  readonly source: SnapshotSource;
  readonly random: Random;
  readonly writer: WriterStanding;
  /** Before a manifest is put: what a restore needs besides is there. */
  readonly prepare?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly recentlySwept: RecentlySwept;
  /** Default: `snapshotPartBytes`. */
  readonly partBytes?: number | undefined;
}

const ID_BYTES = 8;

export class SnapshotWriter {
  readonly #parts: SnapshotWriterParts;

  constructor(parts: SnapshotWriterParts) {
    this.#parts = parts;
  }

  /** Whatever it rejects with, no half snapshot is listed. */
  async write(options: WriteSnapshotOptions): Promise<SnapshotManifest> {
    const { source, writer } = this.#parts;
    const { signal } = options;
    const epoch = await writer.check({ signal });
    const known = await this.#known(options);
    const moment = await takeCut(source);
    try {
      await cut('backup.filesPinned');
      signal.throwIfAborted();
      const run = new Run(this.#parts, moment, options);
      const files = await run.upload(known.parts);
      await cut('backup.partsPut');
      const { kind } = options;
      const { previousId } = known;
      const { uploadedBytes } = run;
      const manifest = this.#manifest(moment, { epoch, kind, previousId, files, uploadedBytes });
      await this.#publish(manifest, options);
      return manifest;
    } finally {
      await moment.pin.release();
    }
  }

  /** Parts by the digest of the file they make. */
  async #known({ kind, signal }: WriteSnapshotOptions): Promise<{
    readonly parts: ReadonlyMap<string, readonly SnapshotPart[]>;
    readonly previousId: string | undefined;
  }> {
    const { catalog, source } = this.#parts;
    const { snapshots } = await catalog.list({ signal });
    const newest = [...snapshots].sort(compareSnapshots).slice(0, LIMITS.snapshotsReused);
    const parts = new Map<string, readonly SnapshotPart[]>();
    for (const { snapshotId } of kind === 'full' ? [] : newest) {
      try {
        const { files } = await catalog.get(snapshotId, { signal });
        for (const file of files) parts.set(file.digest, file.parts);
      } catch (error) {
        if (!isDamage(error)) throw error; // it only costs what could have been reused
        source.logger.warn('backup.snapshotUnreadable', { id: snapshotId, code: error.code });
      }
    }
    return { parts, previousId: newest[0]?.snapshotId };
  }

  #manifest(
    { manifest, lsn, committedAtMs }: SnapshotCut,
    made: Pick<SnapshotManifest, 'epoch' | 'kind' | 'previousId' | 'files' | 'uploadedBytes'>,
  ): SnapshotManifest {
    const { repository, source, random } = this.#parts;
    return {
      snapshotId: repository.names.snapshotId(lsn, random.bytes(ID_BYTES)),
      lsn,
      committedAtMs,
      createdAtMs: source.clock.now(),
      generation: manifest.generation,
      shardCount: manifest.shards.length,
      totalBytes: made.files.reduce((sum, { bytes }) => sum + bytes, 0),
      ...made,
    };
  }

  /** I2 */
  async #publish(manifest: SnapshotManifest, options: WriteSnapshotOptions): Promise<void> {
    const { repository, writer } = this.#parts;
    const { lease, signal } = options;
    await this.#parts.prepare?.(signal);
    const missing = await this.#missing(manifest, signal); // I1
    if (missing > 0) throw swept(missing);
    await lease.assertHeld({ signal });
    const epoch = await writer.check({ signal });
    if (epoch !== manifest.epoch) throw claimedAnew();
    try {
      const attempts = await lease.change(() => repository.putSnapshot(manifest, { signal }));
      if (attempts > 1) lease.leaveToEnd(); // deleted before the first one lands, it would be back
    } finally {
      // Also when the answer was lost: what was put may be there.
      if (lease.signal.aborted) await this.#takeBackUnlessWhole(manifest);
    }
    await cut('backup.snapshotPut');
  }

  async #takeBackUnlessWhole(manifest: SnapshotManifest): Promise<void> {
    const { repository } = this.#parts;
    const missing = await this.#missing(manifest, new AbortController().signal);
    if (missing === 0) return;
    await repository.store.delete(repository.names.snapshot(manifest.snapshotId));
    throw swept(missing);
  }

  /** Parts of it that are not in the repository. */
  async #missing({ files }: SnapshotManifest, signal: AbortSignal): Promise<number> {
    const { repository } = this.#parts;
    const parts = new Map(files.flatMap((file) => file.parts).map((part) => [part.hash, part]));
    let missing = 0;
    await inParallel(parts.values(), LIMITS.snapshotParallelism, signal, async (part, call) => {
      if (!(await isPartThere(repository, part, call))) missing++;
    });
    return missing;
  }
}

/** Its history is that of a writer who stands no more: what it would be listed under. */
function claimedAnew(): HoldfastError {
  return new HoldfastError(
    'REPOSITORY_BUSY',
    'the repository was claimed anew while the snapshot was made, make it again',
  );
}

function swept(missing: number): HoldfastError {
  return new HoldfastError(
    'FENCED',
    `somebody else swept parts of the snapshot while it was made missing=${missing}`,
  );
}

/** A part that has to be sent. */
interface PartJob {
  readonly file: SourceFile;
  readonly offset: number;
  readonly part: SnapshotPart;
}

/** The files of one cut on their way. */
class Run {
  uploadedBytes = 0;
  readonly #moment: SnapshotCut;
  readonly #options: WriteSnapshotOptions;
  readonly #source: SnapshotSource;
  readonly #repository: Repository;
  readonly #recentlySwept: RecentlySwept;
  readonly #upload: PartUpload;
  readonly #partBytes: number;
  readonly #divided = new Map<SourceFile, readonly SnapshotPart[]>();
  readonly #keyIds = new Map<SourceFile, number>();
  #bytes = 0;
  #partsDone = 0;

  constructor(parts: SnapshotWriterParts, moment: SnapshotCut, options: WriteSnapshotOptions) {
    const { source, partBytes = LIMITS.snapshotPartBytes, repository } = parts;
    const { bytesPerSecond, signal } = options;
    this.#moment = moment;
    this.#options = options;
    this.#source = source;
    this.#repository = repository;
    this.#recentlySwept = parts.recentlySwept;
    this.#partBytes = partBytes;
    const pace =
      bytesPerSecond === undefined
        ? paceByTurn(source.clock)
        : paceByRate(source.clock, bytesPerSecond, signal);
    this.#upload = new PartUpload(repository, { partBytes, pace, onDamage: source.onDamage });
  }

  async upload(known: ReadonlyMap<string, readonly SnapshotPart[]>): Promise<SnapshotFile[]> {
    const { signal } = this.#options;
    this.#tell();
    const missing = await this.#reuse(known);
    this.#options.onKeys(this.#keyUse());
    const jobs = this.#jobs(missing);
    await inParallel(jobs, LIMITS.snapshotParallelism, signal, (job, call) => this.#put(job, call));
    return this.#moment.files.map((file) => ({
      name: file.name,
      bytes: file.bytes,
      digest: file.digest,
      keyId: this.#keyIds.get(file) as number,
      parts: this.#divided.get(file) as readonly SnapshotPart[],
    }));
  }

  /** I3. The parts that are not in the repository, for files that were in a snapshot before. */
  async #reuse(
    known: ReadonlyMap<string, readonly SnapshotPart[]>,
  ): Promise<ReadonlyMap<SourceFile, ReadonlySet<SnapshotPart>>> {
    const missing = new Map<SourceFile, Set<SnapshotPart>>();
    const { signal } = this.#options;
    const { files } = this.#moment;
    await inParallel(files, LIMITS.snapshotParallelism, signal, async (file, call) => {
      this.#keyIds.set(file, await this.#upload.keyIdOf(file));
      const parts = known.get(file.digest);
      if (parts === undefined) return;
      const absent = new Set<SnapshotPart>();
      for (const part of parts) {
        if (await isPartThere(this.#repository, part, call)) this.#done(part);
        else absent.add(part);
      }
      if (absent.size > 0) {
        this.#source.logger.warn('backup.partsMissing', { file: file.name, parts: absent.size });
      }
      this.#divided.set(file, parts);
      missing.set(file, absent);
    });
    return missing;
  }

  async *#jobs(
    missing: ReadonlyMap<SourceFile, ReadonlySet<SnapshotPart>>,
  ): AsyncGenerator<PartJob, void, void> {
    for (const file of this.#moment.files) {
      let parts = this.#divided.get(file);
      if (parts === undefined) {
        parts = await this.#upload.divide(file, this.#options.signal);
        this.#divided.set(file, parts);
      }
      const absent = missing.get(file);
      let offset = 0;
      for (const part of parts) {
        if (absent === undefined || absent.has(part)) yield { file, offset, part };
        offset += part.bytes;
      }
    }
  }

  async #put({ file, offset, part }: PartJob, signal: AbortSignal): Promise<void> {
    let sent = 0;
    await this.#recentlySwept.settled(part.hash, signal);
    await this.#upload.put(file, offset, part, signal, (bytes) => {
      sent += bytes;
      this.#bytes += bytes;
      this.#tell();
    });
    this.#bytes -= sent;
    this.uploadedBytes += part.bytes;
    this.#done(part);
  }

  #done(part: SnapshotPart): void {
    this.#bytes += part.bytes;
    this.#partsDone++;
    this.#tell();
  }

  #keyUse(): ReadonlyMap<number, number> {
    const use = new Map<number, number>();
    for (const [{ bytes }, keyId] of this.#keyIds) use.set(keyId, (use.get(keyId) ?? 0) + bytes);
    return use;
  }

  #tell(): void {
    const { files } = this.#moment;
    this.#options.onProgress({
      bytes: this.#bytes,
      totalBytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      parts: this.#partsDone,
      totalParts: files.reduce((sum, { bytes }) => sum + Math.ceil(bytes / this.#partBytes), 0),
    });
  }
}
