/** Places of entries in other orders, as names of objects; and what a deleted entry leaves. */
import { ByteReader, ByteWriter, crc32c } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace } from '../../kv-backend.ts';
import { compareKeys } from '../../kv-key.ts';
import { keyOf, nameOf, numberName, reverseNumberName } from './entry-names.ts';

const TOMBSTONE = 0;
const PLACE = /^[a-z]\/([0-9a-f]{14})\/(.+)$/;

export interface Place {
  readonly number: number;
  readonly key: string;
}

/** By its creation, and by its expiry if it has one. */
export function placesOf(key: string, { seq, expiresAtMs }: EntryFacts): string[] {
  const name = nameOf(key);
  const created = `o/${reverseNumberName(seq)}/${name}`;
  return expiresAtMs === undefined ? [created] : [created, dueName(expiresAtMs, name)];
}

function dueName(expiresAtMs: number, name: string): string {
  return `x/${numberName(expiresAtMs)}/${name}`;
}

/** `undefined`: none of ours. */
export function placeOf(object: string, numberOf: (name: string) => number): Place | undefined {
  const [, number, name] = PLACE.exec(object) ?? [];
  const key = name === undefined ? undefined : keyOf(name);
  if (number === undefined || key === undefined) return undefined;
  return { number: numberOf(number), key };
}

/** Comes after `behind` where the newest goes first; with `reverse` where the oldest does. */
export function isBehind(
  { number, key }: Place,
  behind: CreatedPlace | undefined,
  reverse: boolean,
): boolean {
  if (behind === undefined) return true;
  const order = number === behind.seq ? compareKeys(key, behind.key) : number - behind.seq;
  return reverse ? order > 0 : order < 0;
}

/** @param version no other object of this name has it. */
export function encodeTombstone(version: number): Buffer {
  const body = new ByteWriter(16).u8(TOMBSTONE).varint(version).finish();
  return new ByteWriter(24).raw(body).u32(crc32c(body)).finish();
}

export function isTombstone(bytes: Buffer): boolean {
  if (bytes[0] !== TOMBSTONE || bytes.length <= 4) return false;
  const body = bytes.subarray(0, -4);
  return new ByteReader(bytes.subarray(-4)).u32() === crc32c(body);
}
