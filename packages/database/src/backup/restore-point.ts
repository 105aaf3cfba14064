/**
 * A name for one LSN: a record in the log, and an object in the repository once it is archived.
 *
 * The payload of the record is a version byte, 1, and the name in UTF-8. Two may have one name.
 */
import { type BlockCodec, BLOCK_TYPES, HoldfastError, LIMITS, type Lsn } from '@holdfast/core';
import { openObject, type ObjectPlace, sealObject } from './sealed-object.ts';

const RECORD_VERSION = 1;

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

/** The payload of its record. Throws `INVALID_RESTORE_POINT`. */
export function encodeRestorePointName(name: string): Buffer {
  const payload = Buffer.concat([Uint8Array.of(RECORD_VERSION), Buffer.from(name, 'utf8')]);
  const reason = problemOf(name, payload.length - 1);
  if (reason === undefined) return payload;
  throw new HoldfastError('INVALID_RESTORE_POINT', `name of a restore point ${reason}`);
}

/** `undefined` for a version this release does not know: the record may be skipped. */
export function decodeRestorePointName(payload: Buffer): string | undefined {
  return payload[0] === RECORD_VERSION ? payload.toString('utf8', 1) : undefined;
}

function problemOf(name: string, bytes: number): string | undefined {
  if (name.trim() === '') return 'is empty';
  if (bytes > LIMITS.maxRestorePointNameBytes) {
    return `is too long bytes=${bytes} limit=${LIMITS.maxRestorePointNameBytes}`;
  }
  if (/\p{Cc}|\p{Cs}/u.test(name)) return 'holds a control character or half of one';
  return undefined;
}

function placeOf(key: string, lsn: Lsn): ObjectPlace {
  return { key, type: BLOCK_TYPES.restorePoint, fileId: lsn, position: 0 };
}
