/**
 * What a restore will do, worked out before it does anything: which snapshot, which archive pieces
 * behind it, what is fetched; and the proof, from names alone, that no record is missing.
 *
 * Invariants
 * 1. Snapshot and pieces are of one history: the lineage of the newest claim, or of the epoch that
 *    was asked for. A piece counts only for the LSNs that are its epoch's there.
 * 2. A plan leaves no gap: every LSN from behind the snapshot to the target is in a piece.
 * 3. The target is exact. What cannot be reached is refused, never replaced by what is near.
 */
import { closestName, HoldfastError, type Lsn } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import { type Lineage, resolveLineage } from '../repository/lineage.ts';
import { missingObject, type Repository } from '../repository/repository.ts';
import { type Coverage, coverRecords, type PlannedPiece } from './restore-coverage.ts';
import { damagedObject } from '../repository/sealed-object.ts';
import type { SnapshotManifest } from '../repository/snapshot-manifest.ts';
import type { WriterClaim } from '../repository/writer-claim.ts';

/** `timeMs`: the last record whose batch was committed then or before, ms since 1970. */
export type RestoreTarget =
  'latest' | { readonly lsn: Lsn } | { readonly timeMs: number } | { readonly name: string };

export interface RestoreRequest {
  readonly target: RestoreTarget;
  /** Begin with this one; default: the newest at or before the target. */
  readonly snapshotId?: string | undefined;
  /** The history as this writer knew it; default: the newest. */
  readonly epoch?: number | undefined;
}

export interface RestorePlan {
  readonly repositoryId: string;
  /** The writer at the end of the history that is restored. */
  readonly epoch: number;
  readonly newestEpoch: number;
  /** Without one everything is replayed, from the first record on. */
  readonly snapshot: SnapshotManifest | undefined;
  readonly shardCount: number;
  /** Ids of the keys that what is restored is encrypted with now; the log gets the active one. */
  readonly keyIds: readonly number[];
  /** The last record of the restored database. */
  readonly lsn: Lsn;
  /** Wall clock of its batch, ms since 1970. */
  readonly committedAtMs: number;
  /** What `latest` would be; beyond a gap, if there is one behind the target. */
  readonly latestLsn: Lsn;
  /** Behind the snapshot, without a gap. */
  readonly pieces: readonly PlannedPiece[];
  /** To be replayed. */
  readonly records: number;
  /** To be fetched. */
  readonly objects: number;
  readonly bytes: number;
}

/**
 * Rejects with `RESTORE_TARGET_UNREACHABLE`, `RESTORE_POINT_NOT_FOUND`, `RESTORE_GAP`, or with what
 * is wrong with an object: `FILE_MISSING`, `CHECKSUM_MISMATCH`, `FORMAT_INVALID`, `KEY_MISSING`.
 */
export async function planRestore(
  repository: Repository,
  request: RestoreRequest,
  options: CallOptions = {},
): Promise<RestorePlan> {
  for (;;) {
    const claims = await repository.claims(options);
    if (request.epoch !== undefined && !claims.some(({ epoch }) => epoch === request.epoch)) {
      throw unreachable(`there is no writer of this epoch epoch=${request.epoch}`);
    }
    const lineage = resolveLineage(claims, request.epoch);
    if (lineage === undefined) throw unreachable('nothing is backed up here');
    const isNewest = request.epoch !== undefined || (await isLast(repository, lineage, options));
    if (isNewest) return new Planning(repository, request, claims, lineage, options).run();
  }
}

class Planning {
  readonly #repository: Repository;
  readonly #request: RestoreRequest;
  readonly #claims: ReadonlyMap<number, WriterClaim>;
  readonly #lineage: Lineage;
  readonly #options: CallOptions;

  constructor(
    repository: Repository,
    request: RestoreRequest,
    claims: readonly WriterClaim[],
    lineage: Lineage,
    options: CallOptions,
  ) {
    this.#repository = repository;
    this.#request = request;
    this.#claims = new Map(claims.map((claim) => [claim.epoch, claim]));
    this.#lineage = lineage;
    this.#options = options;
  }

  async run(): Promise<RestorePlan> {
    const { target } = this.#request;
    const wanted = await this.#wantedLsn();
    const timeMs = typeof target === 'object' && 'timeMs' in target ? target.timeMs : undefined;
    const snapshot = await this.#snapshot(wanted ?? Infinity, timeMs ?? Infinity);
    const base = (snapshot?.lsn ?? 0) as Lsn;
    const coverage = await coverRecords(this.#repository, this.#lineage, base, this.#options);
    const lsn =
      timeMs === undefined
        ? (wanted ?? coverage.newest)
        : await this.#lsnAt(timeMs, base, coverage);
    await this.#assertReached(lsn, snapshot, coverage);
    const pieces = coverage.pieces
      .filter(({ from }) => from <= lsn)
      .map((planned) => (planned.to > lsn ? { ...planned, to: lsn } : planned));
    const parts = new Map(
      snapshot?.files.flatMap((file) => file.parts).map(({ hash, bytes }) => [hash, bytes]),
    );
    await this.#assertParts(parts);
    const sizes = [...parts.values(), ...pieces.map(({ piece }) => piece.bytes)];
    return {
      repositoryId: this.#repository.names.id,
      epoch: this.#lineage.epoch,
      newestEpoch: Math.max(...this.#claims.keys()),
      snapshot,
      shardCount: snapshot?.shardCount ?? this.#shardCountAt(1 as Lsn),
      keyIds: this.#keyIds(snapshot, pieces),
      lsn,
      committedAtMs: await this.#timeOf(lsn, snapshot, pieces),
      latestLsn: coverage.newest,
      pieces,
      records: lsn - base,
      objects: sizes.length,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
    };
  }

  /** `undefined`: not known yet. */
  async #wantedLsn(): Promise<Lsn | undefined> {
    const { target } = this.#request;
    if (target === 'latest' || 'timeMs' in target) return undefined;
    if ('name' in target) return this.#lsnOfPoint(target.name);
    if (!Number.isSafeInteger(target.lsn) || target.lsn < 1) {
      throw unreachable(`the first record has LSN 1 lsn=${target.lsn}`);
    }
    return target.lsn;
  }

  async #lsnOfPoint(name: string): Promise<Lsn> {
    const points = await this.#repository.restorePoints(
      this.#options,
      ({ epoch, lsn }) => this.#lineage.epochAt(lsn) === epoch,
    );
    const found = points.findLast((point) => point.name === name);
    if (found !== undefined) return found.lsn;
    const near = closestName(name, [...new Set(points.map((point) => point.name))]);
    const hint = near === undefined ? '' : `, did you mean ${JSON.stringify(near)}`;
    throw new HoldfastError(
      'RESTORE_POINT_NOT_FOUND',
      `there is no restore point of this name${hint} name=${JSON.stringify(name)} points=${points.length}`,
    );
  }

  /** The newest of this history at or before both. */
  async #snapshot(lsn: number, timeMs: number): Promise<SnapshotManifest | undefined> {
    const { snapshotId } = this.#request;
    const listed = await this.#repository.snapshots(this.#options);
    const wanted = listed.filter(({ id }) => snapshotId === undefined || id === snapshotId);
    if (snapshotId !== undefined && wanted.length === 0) {
      throw unreachable(`there is no such snapshot snapshotId=${snapshotId}`);
    }
    for (const { id } of wanted.filter((snapshot) => snapshot.lsn <= lsn).reverse()) {
      const manifest = await this.#repository.snapshot(id, this.#options);
      if (manifest === undefined) continue; // deleted since it was listed
      this.#assertClaimed(manifest);
      const isOurs = this.#lineage.holds(manifest.epoch, manifest.lsn);
      if (isOurs && manifest.committedAtMs <= timeMs) return manifest;
    }
    if (snapshotId !== undefined) {
      throw unreachable(
        `the snapshot lies behind the target, or is of another history snapshotId=${snapshotId}`,
      );
    }
    return undefined;
  }

  /** A snapshot whose writer has no claim: the claim is lost. */
  #assertClaimed({ epoch }: SnapshotManifest): void {
    if (!this.#claims.has(epoch)) throw missingObject(this.#repository.names.claim(epoch));
  }

  /** The last record at or before `timeMs`; looks into one piece at most. */
  async #lsnAt(timeMs: number, base: Lsn, coverage: Coverage): Promise<Lsn> {
    let lsn = base;
    for (const { piece, from, to } of coverage.pieces) {
      if (piece.toMs <= timeMs) {
        lsn = to;
        continue;
      }
      if (piece.fromMs > timeMs) return lsn;
      const { records } = await this.#repository.readPiece(piece, this.#options);
      const found = records.findLast((record) => record.committedAtMs <= timeMs);
      if (found === undefined || found.lsn < from) return lsn;
      return Math.min(found.lsn, to) as Lsn;
    }
    return coverage.goesOnAt === undefined ? lsn : coverage.newest; // the target may lie in the gap
  }

  async #assertReached(
    lsn: Lsn,
    snapshot: SnapshotManifest | undefined,
    { reached, newest, goesOnAt }: Coverage,
  ): Promise<void> {
    if (lsn <= reached && (lsn >= 1 || snapshot !== undefined)) return; // 0: nothing happened yet
    const isBehindAll = lsn > newest;
    if (!isBehindAll && lsn >= 1 && (snapshot !== undefined || reached > 0)) {
      const lastMissing = Math.min(lsn, (goesOnAt ?? newest + 1) - 1);
      throw new HoldfastError(
        'RESTORE_GAP',
        `the archive lacks records, the last LSN before them is ${reached} firstLsn=${reached + 1} lastLsn=${lastMissing}`,
        { details: { firstLsn: reached + 1, lastLsn: lastMissing } },
      );
    }
    const fromTheFirst = snapshot === undefined && reached > 0;
    const earliest = fromTheFirst ? 1 : await this.#earliest();
    const where = isBehindAll ? 'behind what is archived' : 'before what is kept';
    throw unreachable(
      `the target lies ${where} earliestLsn=${earliest ?? 'none'} latestLsn=${newest}`,
      { ...(earliest === undefined ? {} : { earliestLsn: earliest }), latestLsn: newest },
    );
  }

  async #earliest(): Promise<number | undefined> {
    for (const { id, lsn } of await this.#repository.snapshots(this.#options)) {
      const manifest = await this.#repository.snapshot(id, this.#options);
      if (manifest !== undefined && this.#lineage.holds(manifest.epoch, lsn)) return lsn;
    }
    return undefined;
  }

  #shardCountAt(lsn: Lsn): number {
    const epoch = this.#lineage.epochAt(lsn) ?? this.#lineage.epoch;
    return this.#claims.get(epoch)?.shardCount ?? 0;
  }

  /** Those of the files. Throws `KEY_MISSING` when one of them, or of a piece, was not given. */
  #keyIds(
    snapshot: SnapshotManifest | undefined,
    pieces: readonly PlannedPiece[],
  ): readonly number[] {
    const { codec, names } = this.#repository;
    const assertOpens = (keyId: number, key: string): void => {
      if (!codec.accepts(keyId))
        throw damagedObject(key, 'what it names is not encrypted as it is');
    };
    for (const { piece } of pieces) assertOpens(piece.keyId, piece.key);
    if (snapshot === undefined) return [];
    const ofFiles = [...new Set(snapshot.files.map(({ keyId }) => keyId))];
    for (const keyId of ofFiles) assertOpens(keyId, names.snapshot(snapshot.snapshotId));
    return ofFiles.filter((keyId) => keyId !== 0);
  }

  /** Better found out now than after hours. */
  async #assertParts(wanted: ReadonlyMap<string, number>): Promise<void> {
    if (wanted.size === 0) return;
    const missing = new Map(wanted);
    for await (const { hash, bytes, key } of this.#repository.parts(this.#options)) {
      if (missing.has(hash) && missing.get(hash) !== bytes) {
        throw new HoldfastError(
          'CHECKSUM_MISMATCH',
          `object of the repository is damaged key=${key} reason=its length is wrong`,
          { details: { path: key, position: bytes } },
        );
      }
      missing.delete(hash);
    }
    for (const hash of missing.keys()) throw missingObject(this.#repository.names.part(hash));
  }

  async #timeOf(
    lsn: Lsn,
    snapshot: SnapshotManifest | undefined,
    pieces: readonly PlannedPiece[],
  ): Promise<number> {
    const last = pieces.at(-1);
    if (last === undefined) return snapshot?.committedAtMs ?? 0;
    if (last.piece.lastLsn === lsn) return last.piece.toMs;
    const { records } = await this.#repository.readPiece(last.piece, this.#options);
    return records[lsn - last.piece.firstLsn]?.committedAtMs ?? last.piece.toMs;
  }
}

/** False when a writer began meanwhile; one that has pieces and no claim has lost its claim. */
async function isLast(
  repository: Repository,
  { epoch }: Lineage,
  options: CallOptions,
): Promise<boolean> {
  const after = repository.names.pieces(epoch + 1).slice(0, -1);
  for await (const piece of repository.pieces({ ...options, after })) {
    const claim = await repository.claim(piece.epoch, options);
    if (claim === undefined) throw missingObject(repository.names.claim(piece.epoch));
    return false;
  }
  return true;
}

function unreachable(
  message: string,
  details: Readonly<Record<string, number>> = {},
): HoldfastError {
  return new HoldfastError('RESTORE_TARGET_UNREACHABLE', message, { details });
}
