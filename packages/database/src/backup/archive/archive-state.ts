/**
 * What a data directory remembers of its archive: which claim on the repository is its own, and up
 * to where the repository surely has the log. A sealed block that rests twice, like the manifest.
 *
 * Invariants
 * 1. A claim is noted here as pending before it is put: a process that dies in between finds out
 *    whether the claim it meets is its own.
 * 2. `current` is what both copies hold; the log is let go only by what stands there.
 */
import {
  type BlockCodec,
  BLOCK_TYPES,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Lsn,
} from '@holdfast/core';
import { mirrorOf, readEitherCopy, readWholeFile, replaceWholeFile } from '@holdfast/tables';
import { isCount, openObject, type ObjectPlace, sealObject } from '../repository/sealed-object.ts';

export interface OwnClaim {
  readonly epoch: number;
  readonly claimId: string;
}

export interface PendingClaim extends OwnClaim {
  readonly parent: number;
  readonly from: Lsn;
  readonly shardCount: number;
  readonly claimedAtMs: number;
}

export interface ArchiveState {
  /** Whose archive it is; see `repositoryId`. */
  readonly repositoryId: string;
  /** The newest claim that this directory made. */
  readonly claim?: OwnClaim | undefined;
  /** A claim that was about to be put: the repository has it or has not. */
  readonly pending?: PendingClaim | undefined;
  /** Everything before this and from `archivedFrom` on is in the repository for sure. */
  readonly archivedLsn: Lsn;
  /** First LSN of the piece that ends at `archivedLsn`; 0 when this claim has none yet. */
  readonly archivedFrom: Lsn;
  /** This directory is a restored copy: its history is that of `epoch` up to `lsn`. */
  readonly restoredFrom?: { readonly epoch: number; readonly lsn: Lsn } | undefined;
}

const FILE = 'archive-state';
const PLACE: ObjectPlace = { key: FILE, type: BLOCK_TYPES.archiveState, fileId: 0, position: 0 };

export interface ArchiveStatePlace {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly dir: string;
}

export class ArchiveMemory {
  readonly #place: ArchiveStatePlace;
  #current: ArchiveState;
  #keyId: number;

  private constructor(place: ArchiveStatePlace, current: ArchiveState) {
    this.#place = place;
    this.#current = current;
    this.#keyId = place.codec.keyId;
  }

  /**
   * @param forget what both copies lost is taken for never known.
   * @throws `CHECKSUM_MISMATCH` when neither copy is whole.
   */
  static async open(
    place: ArchiveStatePlace,
    repositoryId: string,
    forget: boolean,
  ): Promise<ArchiveMemory> {
    const blank: ArchiveState = { repositoryId, archivedLsn: 0 as Lsn, archivedFrom: 0 as Lsn };
    const found = await readArchiveState(place).catch((error: unknown) => {
      if (forget && error instanceof HoldfastError && error.kind === 'corrupt') return undefined;
      throw error;
    });
    if (found === undefined) return new ArchiveMemory(place, blank);
    if (found.repositoryId !== repositoryId) {
      throw new HoldfastError(
        'FORMAT_INVALID',
        `memory of the archive is of another repository path=${place.dir}/${FILE} repository=${found.repositoryId}`,
      );
    }
    await writeArchiveState(place, found); // both copies again
    return new ArchiveMemory(place, found);
  }

  get current(): ArchiveState {
    return this.#current;
  }

  /** The key that both copies are under. */
  get keyId(): number {
    return this.#keyId;
  }

  async save(state: ArchiveState): Promise<void> {
    const { keyId } = this.#place.codec;
    await writeArchiveState(this.#place, state);
    this.#keyId = keyId;
    this.#current = state; // I2
  }
}

/**
 * The memory of an archive that is not open, in a database that runs without its repository: it
 * takes part in a change of keys, so that the archive can be opened again.
 */
export class IdleArchiveMemory {
  readonly #place: ArchiveStatePlace;

  constructor(place: ArchiveStatePlace) {
    this.#place = place;
  }

  /** Bytes by key id. */
  async keyUse(): Promise<ReadonlyMap<number, number>> {
    const { fileSystem, codec, dir } = this.#place;
    const use = new Map<number, number>();
    for (const path of [`${dir}/${FILE}`, mirrorOf(`${dir}/${FILE}`)]) {
      if ((await fileSystem.stat(path)) === undefined) continue;
      const bytes = await readWholeFile(fileSystem, path, LIMITS.maxSmallObjectBytes);
      const keyId = codec.peekHeader(bytes, 0)?.keyId;
      if (keyId !== undefined) use.set(keyId, (use.get(keyId) ?? 0) + bytes.length);
    }
    return use;
  }

  /** Writes it anew, under the active key, where it is under another one. */
  async renew(): Promise<void> {
    const { keyId: active } = this.#place.codec;
    if ([...(await this.keyUse()).keys()].every((keyId) => keyId === active)) return;
    const found = await readArchiveState(this.#place);
    if (found !== undefined) await writeArchiveState(this.#place, found);
  }
}

/** `undefined` when there is none. Throws when neither copy is whole. */
async function readArchiveState(place: ArchiveStatePlace): Promise<ArchiveState | undefined> {
  const { fileSystem, dir } = place;
  const path = `${dir}/${FILE}`;
  const there = await Promise.all([path, mirrorOf(path)].map((copy) => fileSystem.stat(copy)));
  if (there.every((stat) => stat === undefined)) return undefined;
  const { value } = await readEitherCopy(
    fileSystem,
    path,
    LIMITS.maxSmallObjectBytes,
    (bytes, copy) => decodeArchiveState(place.codec, bytes, copy),
  );
  return value;
}

/** What is wrong with the copies that are there. */
export async function checkArchiveState(place: ArchiveStatePlace): Promise<HoldfastError[]> {
  const { fileSystem, codec, dir } = place;
  const problems: HoldfastError[] = [];
  for (const path of [`${dir}/${FILE}`, mirrorOf(`${dir}/${FILE}`)]) {
    if ((await fileSystem.stat(path)) === undefined) continue;
    try {
      const bytes = await readWholeFile(fileSystem, path, LIMITS.maxSmallObjectBytes);
      decodeArchiveState(codec, bytes, path);
    } catch (error) {
      if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
      const details = { ...error.details, path };
      problems.push(new HoldfastError(error.code, error.message, { cause: error, details }));
    }
  }
  return problems;
}

/** Durable in both copies when it resolves. */
export async function writeArchiveState(
  place: ArchiveStatePlace,
  state: ArchiveState,
): Promise<void> {
  const { fileSystem, codec, dir } = place;
  const path = `${dir}/${FILE}`;
  const bytes = sealObject(codec, PLACE, state);
  for (const copy of [path, mirrorOf(path)]) await replaceWholeFile(fileSystem, dir, copy, bytes);
}

function decodeArchiveState(codec: BlockCodec, bytes: Buffer, path: string): ArchiveState {
  const value = openObject(codec, { ...PLACE }, bytes);
  const { repositoryId, claim, pending, archivedLsn, archivedFrom, restoredFrom } =
    value as unknown as ArchiveState;
  const isWhole =
    typeof repositoryId === 'string' &&
    isCount(archivedLsn) &&
    isCount(archivedFrom) &&
    (claim === undefined || isClaim(claim)) &&
    (pending === undefined ||
      (isClaim(pending) &&
        [pending.parent, pending.from, pending.shardCount, pending.claimedAtMs].every(isCount))) &&
    (restoredFrom === undefined || (isCount(restoredFrom.epoch) && isCount(restoredFrom.lsn)));
  if (!isWhole) {
    throw new HoldfastError('FORMAT_INVALID', `memory of the archive makes no sense path=${path}`);
  }
  return { repositoryId, claim, pending, archivedLsn, archivedFrom, restoredFrom };
}

function isClaim(claim: OwnClaim): boolean {
  return isCount(claim.epoch) && /^[0-9a-f]{32}$/.test(claim.claimId);
}
