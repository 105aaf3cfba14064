/**
 * The snapshots of a repository, and what is known of each. A manifest never changes, so what was
 * read once is kept.
 */
import { HoldfastError, isHoldfastError, LIMITS, type Lsn } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import { inParallel } from '../repository/in-parallel.ts';
import type { ListedSnapshot, Repository } from '../repository/repository.ts';
import type { SnapshotManifest } from '../repository/snapshot-manifest.ts';

/** A manifest without the list of its files. */
export interface SnapshotInfo extends Omit<SnapshotManifest, 'files'> {
  readonly fileCount: number;
  readonly partCount: number;
}

/** One that is listed and cannot be used, and why. */
export interface UnreadableSnapshot {
  readonly snapshotId: string;
  readonly lsn: Lsn;
  readonly problem: HoldfastError;
}

export interface SnapshotList {
  /** The newest first; see `compareSnapshots`. */
  readonly snapshots: readonly SnapshotInfo[];
  readonly unreadable: readonly UnreadableSnapshot[];
}

interface Age {
  readonly epoch: number;
  readonly lsn: Lsn;
  readonly createdAtMs: number;
  readonly snapshotId: string;
}

/** Negative when `one` is newer: by its writer, then by what it holds; clocks come last. */
export function compareSnapshots(one: Age, other: Age): number {
  return (
    other.epoch - one.epoch ||
    other.lsn - one.lsn ||
    other.createdAtMs - one.createdAtMs ||
    (one.snapshotId < other.snapshotId ? 1 : -1)
  );
}

export class SnapshotCatalog {
  readonly #repository: Repository;
  readonly #known = new Map<string, SnapshotInfo>();

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  async list(options: CallOptions = {}): Promise<SnapshotList> {
    const listed = await this.#repository.snapshots(options);
    const snapshots: SnapshotInfo[] = [];
    const unreadable: UnreadableSnapshot[] = [];
    const signal = options.signal ?? new AbortController().signal;
    await inParallel(listed, LIMITS.snapshotParallelism, signal, async ({ id, lsn }, call) => {
      try {
        const info = await this.#info(id, { signal: call });
        if (info !== undefined) snapshots.push(info);
      } catch (error) {
        if (!isDamage(error)) throw error;
        unreadable.push({ snapshotId: id, lsn, problem: error });
      }
    });
    this.#forgetAllBut(listed);
    snapshots.sort(compareSnapshots);
    return { snapshots, unreadable };
  }

  /** @throws `SNAPSHOT_NOT_FOUND`, or what is wrong with it. */
  async get(id: string, options: CallOptions = {}): Promise<SnapshotManifest> {
    const manifest = await this.#repository.snapshot(id, options);
    if (manifest !== undefined) return manifest;
    throw new HoldfastError('SNAPSHOT_NOT_FOUND', `there is no such snapshot id=${id}`, {
      details: { id },
    });
  }

  async #info(id: string, options: CallOptions): Promise<SnapshotInfo | undefined> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const manifest = await this.#repository.snapshot(id, options);
    if (manifest === undefined) return undefined; // deleted this moment
    const info = infoOf(manifest);
    this.#known.set(id, info);
    return info;
  }

  #forgetAllBut(listed: readonly ListedSnapshot[]): void {
    const ids = new Set(listed.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }
}

export function infoOf({ files, ...manifest }: SnapshotManifest): SnapshotInfo {
  const partCount = files.reduce((sum, { parts }) => sum + parts.length, 0);
  return { ...manifest, fileCount: files.length, partCount };
}

/** It is there, and what is there cannot be used. */
export function isDamage(error: unknown): error is HoldfastError {
  return isHoldfastError(error) && (error.kind === 'corrupt' || error.code === 'KEY_MISSING');
}
