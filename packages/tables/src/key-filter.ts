/**
 * A Bloom filter over keys: "certainly not here" or "perhaps". FORMAT.md, "Table".
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | probes per key, u32 |
 * | 4 | 4 | number of bits, u32, a multiple of 8 |
 * | 8 | bits / 8 | the bits, lowest bit of each byte first |
 *
 * Probe i of a key looks at bit (h + i * d) mod bits, in 32-bit unsigned arithmetic, where h
 * is MurmurHash3 x86 32-bit of the key with seed 0 and d is h rotated left by 15 bits, made odd.
 */
import { HoldfastError } from '@holdfast/core';

const BITS_PER_KEY = 10;
/** ln 2 * bits per key: about 0.8 % false answers. */
const PROBES = 7;
const MAX_PROBES = 30;
const HEADER_BYTES = 8;

export function encodeKeyFilter(hashes: readonly number[]): Buffer {
  const bytes = Math.max(8, Math.ceil((hashes.length * BITS_PER_KEY) / 8));
  const bits = bytes * 8;
  const filter = Buffer.alloc(HEADER_BYTES + bytes);
  filter.writeUInt32LE(PROBES, 0);
  filter.writeUInt32LE(bits, 4);
  for (const hash of hashes) {
    const step = stepOf(hash);
    let probe = hash;
    for (let i = 0; i < PROBES; i++) {
      const bit = probe % bits;
      const at = HEADER_BYTES + (bit >>> 3);
      filter[at] = (filter[at] as number) | (1 << (bit & 7));
      probe = (probe + step) >>> 0;
    }
  }
  return filter;
}

export function filterMayHold(filter: Buffer, hash: number): boolean {
  const probes = filter.length < HEADER_BYTES ? 0 : filter.readUInt32LE(0);
  const bits = probes === 0 ? 0 : filter.readUInt32LE(4);
  if (bits === 0 || probes > MAX_PROBES || bits !== (filter.length - HEADER_BYTES) * 8) {
    throw new HoldfastError('FORMAT_INVALID', 'filter block cannot be decoded');
  }
  const step = stepOf(hash);
  let probe = hash;
  for (let i = 0; i < probes; i++) {
    const bit = probe % bits;
    if (((filter[HEADER_BYTES + (bit >>> 3)] as number) & (1 << (bit & 7))) === 0) return false;
    probe = (probe + step) >>> 0;
  }
  return true;
}

/** MurmurHash3 x86 32-bit with seed 0. Check value: hashKey("hello") = 0x248bfa47. */
export function hashKey(key: Buffer): number {
  const whole = key.length & ~3;
  let hash = 0;
  for (let at = 0; at < whole; at += 4) {
    hash ^= scramble(
      (key[at] as number) |
        ((key[at + 1] as number) << 8) |
        ((key[at + 2] as number) << 16) |
        ((key[at + 3] as number) << 24),
    );
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = key.length - 1; at >= whole; at--) rest = (rest << 8) | (key[at] as number);
  hash ^= scramble(rest);
  hash ^= key.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}

function stepOf(hash: number): number {
  return ((hash << 15) | (hash >>> 17) | 1) >>> 0;
}
