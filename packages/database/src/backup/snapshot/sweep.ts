/**
 * Removes from a repository what no snapshot that stays and no history needs: parts that no manifest
 * names, archive pieces and restore points behind the oldest snapshot, what interrupted puts left.
 *
 * Invariants
 * 1. Nothing is deleted before every listed manifest and claim was read. One that cannot be read
 *    ends the sweep: it may name anything.
 * 2. A listing is not believed alone. Snapshots are listed again before the first delete, and those
 *    that others name as their predecessor are looked for; a contradiction ends the sweep. Each
 *    object is looked at before it is deleted.
 * 3. What was put less than the grace ago stays, by the clock of the store on both sides: it may be
 *    of a snapshot on its way.
 * 4. The lease is held, and the writer's fence asked, before the first delete and every few more.
 * 5. Claims stay for ever: they say whose history each LSN is.
 * 6. So does the last piece of the newest writers: by it a directory knows its repository again.
 */
import { cut, hasCode, HoldfastError, type Logger } from '@holdfast/core';
import type { Lease } from './lease.ts';
import type { RecentlySwept } from './recently-swept.ts';
import { reachableFrom } from '../repository/reachable.ts';
import type { ListedSnapshot, Repository } from '../repository/repository.ts';
import type { SnapshotManifest } from '../repository/snapshot-manifest.ts';
import type { WriterStanding } from './snapshot-writer.ts';

export interface SweepReport {
  readonly parts: number;
  readonly pieces: number;
  readonly restorePoints: number;
  /** Of interrupted puts. */
  readonly leftovers: number;
  /** Of what is counted here, leftovers aside. */
  readonly bytes: number;
  /** Not needed either, and too young to go. */
  readonly tooYoung: number;
  /** Nothing was deleted. */
  readonly dryRun: boolean;
}

export interface SweepParts {
  readonly repository: Repository;
  readonly logger: Logger;
  readonly writer: WriterStanding;
  /** `undefined` for a dry run. */
  readonly lease: Lease | undefined;
  readonly recentlySwept: RecentlySwept;
}

export interface SweepSettings {
  readonly graceMs: number;
  readonly signal: AbortSignal;
  /** Ids of snapshots that are taken for deleted, in a dry run. */
  readonly without?: ReadonlySet<string> | undefined;
}

type Counted = 'parts' | 'pieces' | 'restorePoints';

type ReadSnapshot = Pick<SnapshotManifest, 'epoch' | 'lsn' | 'previousId'>;

interface Candidate {
  readonly key: string;
  readonly kind: Counted;
}

/** Deletes between two questions whether it is still ours to delete. */
const DELETES_PER_CHECK = 32;
/** A writer that has just claimed has no piece yet; the one before it has. */
const EPOCHS_WITH_AN_END = 2;

export class Sweep {
  readonly #parts: SweepParts;
  readonly #settings: SweepSettings;
  readonly #counts = { parts: 0, pieces: 0, restorePoints: 0, bytes: 0, tooYoung: 0 };
  readonly #referenced = new Set<string>();
  readonly #read = new Map<string, ReadSnapshot>();

  constructor(parts: SweepParts, settings: SweepSettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  async run(): Promise<SweepReport> {
    const { repository, lease } = this.#parts;
    const { graceMs, signal } = this.#settings;
    await this.#assertOurs();
    await this.#readSnapshots(await this.#listed());
    const candidates = await this.#candidates();
    await cut('backup.sweepListed');
    await this.#lookAgain();
    const nowMs = await this.#storeTimeMs();
    let unchecked = DELETES_PER_CHECK;
    for (const candidate of candidates) {
      signal.throwIfAborted();
      if (unchecked === DELETES_PER_CHECK) {
        await this.#assertOurs(); // I4
        unchecked = 0;
      }
      if (await this.#sweepOne(candidate, nowMs)) unchecked++;
    }
    const leftovers =
      lease === undefined
        ? 0
        : await repository.store.removeLeftovers({ olderThanMs: graceMs, signal });
    const report = { ...this.#counts, leftovers, dryRun: lease === undefined };
    this.#parts.logger.info('backup.swept', { ...report });
    return report;
  }

  async #listed(): Promise<ListedSnapshot[]> {
    const { signal, without } = this.#settings;
    const listed = await this.#parts.repository.snapshots({ signal });
    return listed.filter(({ id }) => without?.has(id) !== true);
  }

  /** I1 */
  async #readSnapshots(listed: readonly ListedSnapshot[]): Promise<void> {
    const { repository } = this.#parts;
    const { signal } = this.#settings;
    for (const { id } of listed) {
      if (this.#read.has(id)) continue;
      const manifest = await repository.snapshot(id, { signal });
      if (manifest === undefined) continue; // its listing is compared with another one
      const { epoch, lsn, previousId } = manifest;
      this.#read.set(id, { epoch, lsn, previousId });
      for (const { parts } of manifest.files)
        for (const { hash } of parts) this.#referenced.add(hash);
    }
  }

  async #candidates(): Promise<Candidate[]> {
    const { repository } = this.#parts;
    const { signal } = this.#settings;
    const candidates: Candidate[] = [];
    for await (const { hash, key } of repository.parts({ signal })) {
      if (!this.#referenced.has(hash)) candidates.push({ key, kind: 'parts' });
    }
    const snapshots = [...this.#read.values()];
    const keptFrom = reachableFrom(await repository.claims({ signal }), snapshots);
    const ends = new Map<number, string>();
    const pieces: string[] = [];
    for await (const { key, epoch, lastLsn } of repository.pieces({ signal })) {
      ends.set(epoch, key);
      if (lastLsn <= keptFrom(epoch)) pieces.push(key);
    }
    const stay = new Set([...ends].slice(-EPOCHS_WITH_AN_END).map(([, key]) => key)); // I6
    for (const key of pieces) if (!stay.has(key)) candidates.push({ key, kind: 'pieces' });
    for await (const mark of repository.marks({ signal })) {
      if (mark.lsn >= keptFrom(mark.epoch)) continue;
      candidates.push({ key: repository.names.mark(mark), kind: 'restorePoints' });
    }
    return candidates;
  }

  /** I2. What is new is needed too. */
  async #lookAgain(): Promise<void> {
    const { repository } = this.#parts;
    const { without } = this.#settings;
    const again = await this.#listed();
    const ids = new Set(again.map(({ id }) => id));
    for (const id of this.#read.keys()) {
      if (!ids.has(id)) throw contradiction(repository.names.snapshot(id));
    }
    await this.#readSnapshots(again);
    for (const { id } of again) {
      if (!this.#read.has(id)) throw contradiction(repository.names.snapshot(id));
    }
    for (const { previousId } of this.#read.values()) {
      if (previousId === undefined || ids.has(previousId)) continue;
      if (without?.has(previousId) === true) continue;
      const key = repository.names.snapshot(previousId);
      if ((await this.#head(key)) !== undefined) throw contradiction(key);
    }
  }

  /** True when it was deleted, or would have been. */
  async #sweepOne({ key, kind }: Candidate, nowMs: number): Promise<boolean> {
    const { repository, lease } = this.#parts;
    const { graceMs, signal } = this.#settings;
    const hash = repository.names.hashOfPart(key);
    if (hash !== undefined && this.#referenced.has(hash)) return false; // since it was listed
    const found = await this.#head(key);
    if (found === undefined) return false;
    if (nowMs - found.modifiedMs < graceMs) {
      this.#counts.tooYoung++;
      return false;
    }
    if (lease !== undefined) {
      if (hash !== undefined) this.#parts.recentlySwept.add(hash);
      await lease.change(() => repository.store.delete(key, { signal }));
      await cut('backup.sweptObject');
    }
    this.#counts[kind]++;
    this.#counts.bytes += found.size;
    return true;
  }

  /** I3. When the lease was renewed last: a little before now. A dry run has to do without. */
  async #storeTimeMs(): Promise<number> {
    const { repository, lease } = this.#parts;
    if (lease === undefined) return Infinity;
    const found = await this.#head(repository.names.lease);
    if (found === undefined) throw contradiction(repository.names.lease);
    return found.modifiedMs;
  }

  /** I4 */
  async #assertOurs(): Promise<void> {
    const { lease, writer } = this.#parts;
    const { signal } = this.#settings;
    if (lease === undefined) return;
    await lease.assertHeld({ signal });
    await writer.check({ signal });
  }

  async #head(key: string): Promise<{ size: number; modifiedMs: number } | undefined> {
    try {
      return await this.#parts.repository.store.head(key, { signal: this.#settings.signal });
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined;
      throw error;
    }
  }
}

function contradiction(key: string): HoldfastError {
  return new HoldfastError(
    'STORAGE_UNAVAILABLE',
    `the store does not say the same twice, nothing more is swept key=${key}`,
    { details: { path: key } },
  );
}
