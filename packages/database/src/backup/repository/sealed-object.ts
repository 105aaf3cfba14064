/**
 * A small object of a repository: one sealed block around a JSON value, so encrypted where the
 * database is. It says its own name: an object that was put in the place of another is found out,
 * also where no key protects it.
 */
import {
  BLOCK_HEADER_BYTES,
  type BlockCodec,
  type BlockType,
  HoldfastError,
  isHoldfastError,
} from '@holdfast/core';

/** What a block is bound to besides its database: two numbers of the object it is. */
export interface ObjectPlace {
  readonly key: string;
  readonly type: BlockType;
  readonly fileId: number;
  readonly position: number;
}

export function sealObject(codec: BlockCodec, place: ObjectPlace, value: object): Buffer {
  const payload = Buffer.from(JSON.stringify({ key: place.key, ...value }), 'utf8');
  return codec.encodeNew(payload, place);
}

/**
 * @returns the value; who asked checks its fields.
 * @throws `CHECKSUM_MISMATCH` when it is damaged or another object, `KEY_MISSING`.
 */
export function openObject(
  codec: BlockCodec,
  place: ObjectPlace,
  bytes: Buffer,
): Readonly<Record<string, unknown>> {
  const payload = codec.decode(bytes, 0, { ...place, path: place.key });
  if (bytes.length !== BLOCK_HEADER_BYTES + payload.length) {
    throw damagedObject(place.key, 'its length is wrong');
  }
  const value = parse(payload, place.key);
  if (value['key'] !== place.key) throw damagedObject(place.key, 'it is another object');
  return value;
}

function parse(payload: Buffer, key: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    if (isHoldfastError(error)) throw error;
  }
  throw damagedObject(key, 'it is not JSON');
}

/** A number as sealed objects hold them: whole, not below 0, exact. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function damagedObject(key: string, reason = 'its checksum is wrong'): HoldfastError {
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `object of the repository is damaged key=${key} reason=${reason}`,
    { details: { path: key, position: 0 } },
  );
}
