/**
 * The records of planned archive pieces, in the order of their LSNs: each piece fetched, opened
 * and checked against its name and against the piece before it.
 *
 * Invariants
 * 1. What comes out is consecutive and whole, or the iteration rejects naming the object.
 * 2. Two pieces are held in memory: the one that is given out and the one that is fetched.
 */
import { assert, HoldfastError, type Lsn } from '@holdfast/core';
import type { StoredRecord } from '@holdfast/log';
import type { CallOptions } from '@holdfast/objects';
import type { DecodedArchivePiece } from '../repository/archive-piece.ts';
import type { ListedPiece, Repository } from '../repository/repository.ts';
import type { PlannedPiece } from './restore-coverage.ts';

/** @param shardCount of the state that the records are applied to. */
export async function* recordsOf(
  repository: Repository,
  pieces: readonly PlannedPiece[],
  shardCount: number,
  options: CallOptions & { readonly onRecord?: (record: StoredRecord) => void } = {},
): AsyncGenerator<StoredRecord, void, void> {
  const { signal } = options;
  let before: { readonly planned: PlannedPiece; readonly tag: Buffer } | undefined;
  let fetching = fetch(repository, pieces[0], { signal });
  for (const [index, planned] of pieces.entries()) {
    const decoded = await fetching;
    assert(decoded !== undefined, 'every planned piece is fetched');
    fetching = fetch(repository, pieces[index + 1], { signal });
    fetching.catch(() => undefined); // heard when its turn comes, or not at all
    assertChain(planned.piece, decoded, before);
    for (const record of decoded.records) {
      if (record.lsn < planned.from || record.lsn > planned.to) continue;
      if (record.shard >= shardCount) throw foreignShard(planned.piece.key, record, shardCount);
      options.onRecord?.(record);
      yield record;
    }
    before = { planned, tag: decoded.tag };
  }
}

async function fetch(
  repository: Repository,
  planned: PlannedPiece | undefined,
  options: CallOptions,
): Promise<DecodedArchivePiece | undefined> {
  return planned === undefined ? undefined : repository.readPiece(planned.piece, options);
}

/** Where one piece follows another of its epoch, it names it. */
function assertChain(
  piece: ListedPiece,
  decoded: DecodedArchivePiece,
  before: { readonly planned: PlannedPiece; readonly tag: Buffer } | undefined,
): void {
  if (before === undefined) return;
  const last = before.planned.piece;
  if (last.epoch !== piece.epoch || last.lastLsn + 1 !== piece.firstLsn) return;
  if (decoded.previousTag.equals(before.tag)) return;
  throw new HoldfastError(
    'LSN_GAP',
    `archive piece does not go on from the one before it key=${piece.key} before=${last.key}`,
    { details: { path: piece.key, firstLsn: piece.firstLsn } },
  );
}

function foreignShard(key: string, record: StoredRecord, shardCount: number): HoldfastError {
  const lsn: Lsn = record.lsn;
  return new HoldfastError(
    'FORMAT_INVALID',
    `archived record is of a shard that the snapshot does not have, restore from a later snapshot key=${key} lsn=${lsn} shard=${record.shard} shardCount=${shardCount}`,
    { details: { path: key, firstLsn: lsn } },
  );
}
