/**
 * A name for one LSN: a record in the log, and an object in the repository once it is archived.
 *
 * The payload of the record is a version byte, 1, and the name in UTF-8. Two may have one name.
 */
import { type BlockCodec, BLOCK_TYPES, HoldfastError, LIMITS } from '@holdfast/core';
import type { MarkName } from './repository-names.ts';
import { openObject, type ObjectPlace, sealObject } from './sealed-object.ts';

const RECORD_VERSION = 1;

export interface RestorePoint extends MarkName {
  readonly name: string;
  /** Wall clock of its batch, ms since 1970. */
  readonly committedAtMs: number;
}

export function encodeRestorePoint(codec: BlockCodec, key: string, point: RestorePoint): Buffer {
  return sealObject(codec, placeOf(key, point), point);
}

/** @param expected as the name of the object says. */
export function decodeRestorePoint(
  codec: BlockCodec,
  key: string,
  expected: MarkName,
  bytes: Buffer,
): RestorePoint {
  const { name, lsn, epoch, committedAtMs } = openObject(codec, placeOf(key, expected), bytes);
  const isNamed = lsn === expected.lsn && epoch === expected.epoch;
  if (typeof name !== 'string' || !isNamed || !Number.isSafeInteger(committedAtMs)) {
    throw new HoldfastError('FORMAT_INVALID', `restore point makes no sense key=${key}`);
  }
  return { ...expected, name, committedAtMs: committedAtMs as number };
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

function placeOf(key: string, { lsn, epoch }: MarkName): ObjectPlace {
  return { key, type: BLOCK_TYPES.restorePoint, fileId: lsn, position: epoch };
}
