/**
 * Where records and peers lie: 32 bytes each, and the distance of two of them is their exclusive or,
 * read as one big-endian number. A record lies at its id, a peer at the hash of its own.
 */
import { createHash } from 'node:crypto';
import { RECORD_LIMITS } from '@holdfast/core';
import type { RecordId } from './record-key.ts';

declare const brand: unique symbol;
/** 32 bytes; never changed. */
export type Coordinate = Buffer & { readonly [brand]: 'Coordinate' };

/** Canonical text of a peer's identity, as its network gives it: the same peer, the same text. */
export type PeerId = string & { readonly [brand]: 'PeerId' };

export const COORDINATE_BYTES = 32;
const DOMAIN = Buffer.from('holdfast/record-peer/1\0');

export function recordCoordinate(id: RecordId): Coordinate {
  return Buffer.from(id, 'hex') as Coordinate;
}

/** Of peers that were looked at lately, oldest first: each answer names twenty, mostly the same. */
const recent = new Map<PeerId, Coordinate>();

export function peerCoordinate(id: PeerId): Coordinate {
  const known = recent.get(id);
  if (known !== undefined) return known;
  const made = createHash('sha256').update(DOMAIN).update(id, 'utf8').digest() as Coordinate;
  if (recent.size >= RECORD_LIMITS.placedPeers) {
    for (const oldest of recent.keys()) {
      recent.delete(oldest);
      break;
    }
  }
  recent.set(id, made);
  return made;
}

export function coordinateFromBytes(bytes: Uint8Array): Coordinate {
  if (bytes.length !== COORDINATE_BYTES) throw new TypeError('a coordinate has 32 bytes');
  return Buffer.from(bytes) as Coordinate;
}

/** Below 0 where `a` is nearer to `target` than `b`, 0 where they are the same place. */
export function compareDistances(target: Coordinate, a: Coordinate, b: Coordinate): number {
  for (let i = 0; i < COORDINATE_BYTES; i++) {
    const at = target[i] as number;
    const difference = (at ^ (a[i] as number)) - (at ^ (b[i] as number));
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Leading bits that are the same; 256 for the same place. */
export function sharedPrefixBits(a: Coordinate, b: Coordinate): number {
  for (let i = 0; i < COORDINATE_BYTES; i++) {
    const difference = (a[i] as number) ^ (b[i] as number);
    if (difference !== 0) return i * 8 + Math.clz32(difference) - 24;
  }
  return COORDINATE_BYTES * 8;
}
