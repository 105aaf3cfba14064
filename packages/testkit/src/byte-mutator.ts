/**
 * Damages valid bytes in the ways that break parsers: bits, lengths, counts, cuts, repeats, and
 * pieces of another valid input. What it does is decided by its random source alone.
 */
import type { SeededRandom } from './seeded-random.ts';

/** Where arithmetic goes wrong: signs, widths, and the end of the safe integers. */
const NUMBERS: readonly number[] = [
  0,
  1,
  2,
  7,
  8,
  127,
  128,
  255,
  256,
  511,
  512,
  4_095,
  4_096,
  32_767,
  32_768,
  65_535,
  65_536,
  0x7f_ff_ff,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fffe,
  0xffff_ffff,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  2 ** 64 - 2 ** 11,
];
const BYTES: readonly number[] = [0, 1, 0x20, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
const MAX_STACKED = 4;
const MAX_INSERTED = 64;

export interface MutatorOptions {
  /** Valid inputs: pieces of them are spliced in. At least one. */
  readonly corpus: readonly Buffer[];
  /** Words of the language that is parsed, put in where they do not belong. */
  readonly tokens?: readonly (string | Buffer)[];
  /** Mutants never grow beyond this. Default 1 MiB. */
  readonly maxBytes?: number;
}

type Change = (bytes: Buffer, random: SeededRandom) => Buffer;

export class ByteMutator {
  readonly #corpus: readonly Buffer[];
  readonly #maxBytes: number;
  readonly #changes: readonly Change[];

  constructor(options: MutatorOptions) {
    if (options.corpus.length === 0) throw new TypeError('a corpus has at least one input');
    this.#corpus = options.corpus;
    this.#maxBytes = options.maxBytes ?? 1024 * 1024;
    const tokens = (options.tokens ?? []).map((token) => Buffer.from(token as string));
    const put: Change = (bytes, random) => insertAt(bytes, random, random.pick(tokens));
    const over: Change = (bytes, random) => overwriteAt(bytes, random, random.pick(tokens));
    this.#changes = [
      ...CHANGES,
      (bytes, random) => splice(bytes, random, random.pick(this.#corpus)),
      ...(tokens.length === 0 ? [] : [put, put, over, over]),
    ];
  }

  /** An input of the corpus with up to four changes; rarely none. */
  mutant(random: SeededRandom): Buffer {
    let bytes: Buffer = Buffer.from(random.pick(this.#corpus));
    if (random.chance(0.02)) return bytes;
    for (let left = random.between(1, MAX_STACKED); left > 0; left--) {
      bytes = random.pick(this.#changes)(bytes, random);
      if (bytes.length > this.#maxBytes) bytes = bytes.subarray(0, this.#maxBytes);
    }
    return bytes;
  }
}

const CHANGES: readonly Change[] = [
  flipBit,
  flipBit,
  setByte,
  setByte,
  writeNumber,
  writeNumber,
  writeVarint,
  truncate,
  extend,
  (bytes, random) => insertAt(bytes, random, random.bytes(random.between(1, MAX_INSERTED))),
  remove,
  repeat,
  swap,
  zero,
];

/** A place in `bytes`, or its end. Often near the edges, where headers and footers are. */
function placeIn(bytes: Buffer, random: SeededRandom): number {
  const near = Math.min(bytes.length, 128);
  const side = random.integer(4);
  if (side === 0) return random.between(0, near);
  if (side === 1) return bytes.length - random.between(0, near);
  return random.between(0, bytes.length);
}

function flipBit(bytes: Buffer, random: SeededRandom): Buffer {
  const at = placeIn(bytes, random);
  if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.integer(8));
  return bytes;
}

function setByte(bytes: Buffer, random: SeededRandom): Buffer {
  const at = placeIn(bytes, random);
  const value = random.chance(0.5) ? random.pick(BYTES) : random.integer(256);
  if (at < bytes.length) bytes[at] = value;
  return bytes;
}

/** A number with a name among programmers, in one of the widths and orders in use. */
function writeNumber(bytes: Buffer, random: SeededRandom): Buffer {
  const value = BigInt(random.pick(NUMBERS));
  const width = random.pick([2, 4, 8] as const);
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64LE(value & 0xffff_ffff_ffff_ffffn);
  const number = encoded.subarray(0, width);
  if (random.chance(0.25)) number.reverse();
  const at = placeIn(bytes, random);
  number.copy(bytes, random.chance(0.5) ? at - (at % width) : at);
  return bytes;
}

function writeVarint(bytes: Buffer, random: SeededRandom): Buffer {
  const encoded: number[] = [];
  let value = BigInt(random.pick(NUMBERS));
  for (; value >= 0x80n; value >>= 7n) encoded.push(Number(value & 0x7fn) | 0x80);
  encoded.push(Number(value));
  const at = placeIn(bytes, random);
  if (random.chance(0.5)) return insert(bytes, at, Buffer.from(encoded));
  Buffer.from(encoded).copy(bytes, at);
  return bytes;
}

function truncate(bytes: Buffer, random: SeededRandom): Buffer {
  return bytes.subarray(0, placeIn(bytes, random));
}

function extend(bytes: Buffer, random: SeededRandom): Buffer {
  const length = random.between(1, MAX_INSERTED);
  return Buffer.concat([bytes, random.chance(0.5) ? Buffer.alloc(length) : random.bytes(length)]);
}

function remove(bytes: Buffer, random: SeededRandom): Buffer {
  const { from, to } = range(bytes, random);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
}

function repeat(bytes: Buffer, random: SeededRandom): Buffer {
  const { from, to } = range(bytes, random);
  const times = random.chance(0.1) ? random.between(2, 200) : random.between(1, 3);
  const piece = bytes.subarray(from, to);
  return insert(bytes, placeIn(bytes, random), Buffer.concat(Array(times).fill(piece)));
}

function swap(bytes: Buffer, random: SeededRandom): Buffer {
  const first = range(bytes, random);
  const rest = bytes.subarray(first.to);
  const second = range(rest, random);
  return Buffer.concat([
    bytes.subarray(0, first.from),
    rest.subarray(second.from, second.to),
    rest.subarray(0, second.from),
    bytes.subarray(first.from, first.to),
    rest.subarray(second.to),
  ]);
}

function zero(bytes: Buffer, random: SeededRandom): Buffer {
  const { from, to } = range(bytes, random);
  return bytes.fill(random.chance(0.5) ? 0 : 0xff, from, to);
}

function splice(bytes: Buffer, random: SeededRandom, other: Buffer): Buffer {
  const at = placeIn(bytes, random);
  const from = random.chance(0.5) ? Math.min(at, other.length) : placeIn(other, random);
  return Buffer.concat([bytes.subarray(0, at), other.subarray(from)]);
}

function insertAt(bytes: Buffer, random: SeededRandom, piece: Buffer): Buffer {
  return insert(bytes, placeIn(bytes, random), piece);
}

function overwriteAt(bytes: Buffer, random: SeededRandom, piece: Buffer): Buffer {
  piece.copy(bytes, placeIn(bytes, random));
  return bytes;
}

function insert(bytes: Buffer, at: number, piece: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
}

function range(bytes: Buffer, random: SeededRandom): { from: number; to: number } {
  const from = placeIn(bytes, random);
  const length = random.chance(0.8) ? random.between(1, 16) : random.between(1, 512);
  return { from, to: Math.min(bytes.length, from + length) };
}
