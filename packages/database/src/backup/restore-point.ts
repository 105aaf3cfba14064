/** A name for one LSN: a record in the log, and an object in the repository once it is archived. */
import { type BlockCodec, BLOCK_TYPES, HoldfastError, type Lsn } from '@holdfast/core';
import { openObject, type ObjectPlace, sealObject } from './sealed-object.ts';

export interface RestorePoint {
  readonly name: string;
  readonly lsn: Lsn;
  /** The epoch of the writer that archived it. */
  readonly epoch: number;
  /** Wall clock of its batch, ms since 1970. */
  readonly committedAtMs: number;
}

export function encodeRestorePoint(codec: BlockCodec, key: string, point: RestorePoint): Buffer {
  return sealObject(codec, placeOf(key, point.lsn), point);
}

/** @param lsn as the name of the object says. */
export function decodeRestorePoint(
  codec: BlockCodec,
  key: string,
  lsn: Lsn,
  bytes: Buffer,
): RestorePoint {
  const { name, epoch, committedAtMs } = openObject(codec, placeOf(key, lsn), bytes);
  if (
    typeof name !== 'string' ||
    !Number.isSafeInteger(epoch) ||
    !Number.isSafeInteger(committedAtMs)
  ) {
    throw new HoldfastError('FORMAT_INVALID', `restore point makes no sense key=${key}`);
  }
  return { name, lsn, epoch: epoch as number, committedAtMs: committedAtMs as number };
}

function placeOf(key: string, lsn: Lsn): ObjectPlace {
  return { key, type: BLOCK_TYPES.restorePoint, fileId: lsn, position: 0 };
}
