/**
 * Byte codecs: little-endian fixed integers, LEB128 varints, length-prefixed bytes.
 *
 * Invariants
 * 1. A reader never reads past its end and never trusts a length before checking it:
 *    damage gives `FORMAT_INVALID`, not a huge allocation.
 * 2. Integers are safe integers; a u64 above 2^53 - 1 is `FORMAT_INVALID`.
 */
import { HoldfastError } from './errors.ts';

const TWO_32 = 0x1_0000_0000;

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialCapacity = 256) {
    this.#buffer = Buffer.allocUnsafe(initialCapacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#claim(1);
    this.#buffer[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#claim(2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#claim(4);
    this.#buffer.writeUInt32LE(value, at);
    return this;
  }

  u64(value: number): this {
    const at = this.#claim(8);
    writeU64(this.#buffer, at, value);
    return this;
  }

  /** Unsigned LEB128, 1 to 8 bytes. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`not a varint: ${value}`);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    // What is left fits into the integers of the processor.
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.u8(rest);
  }

  /** Raw bytes, no length. */
  raw(bytes: Uint8Array): this {
    const at = this.#claim(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  /** Bytes after their varint length. */
  bytes(value: Uint8Array): this {
    return this.varint(value.length).raw(value);
  }

  /** UTF-8 after its varint length. */
  string(value: string): this {
    const length = Buffer.byteLength(value);
    this.varint(length);
    const at = this.#claim(length);
    this.#buffer.write(value, at, 'utf8');
    return this;
  }

  /** What was written; shares memory with the writer, which must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** May replace `#buffer`: its result must be at hand before `#buffer` is named. */
  #claim(size: number): number {
    const at = this.#length;
    const needed = at + size;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    this.#length = needed;
    return at;
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#buffer.length - this.#at;
  }

  u8(): number {
    return this.#buffer[this.#take(1)] as number;
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4));
  }

  u64(): number {
    const value = readU64(this.#buffer, this.#take(8));
    if (!Number.isSafeInteger(value)) throw damaged('integer above 2^53 - 1');
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw damaged('varint above 2^53 - 1');
        return value;
      }
      scale *= 0x80;
    }
    throw damaged('varint longer than 8 bytes');
  }

  /** A view of `length` bytes; shares memory with the source. */
  raw(length: number): Buffer {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  bytes(): Buffer {
    return this.raw(this.varint());
  }

  string(): string {
    return this.bytes().toString('utf8');
  }

  /** Asserts that nothing is left over. */
  end(): void {
    if (this.remaining !== 0) throw damaged(`trailing bytes count=${this.remaining}`);
  }

  #take(size: number): number {
    const at = this.#at;
    if (size > this.#buffer.length - at) {
      throw damaged(`short input wanted=${size} remaining=${this.#buffer.length - at}`);
    }
    this.#at = at + size;
    return at;
  }
}

export function writeU64(buffer: Buffer, at: number, value: number): void {
  buffer.writeUInt32LE(value % TWO_32, at);
  buffer.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
}

/** May exceed 2^53 - 1 on damaged input; the caller checks. */
export function readU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * TWO_32;
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `bytes cannot be decoded: ${what}`);
}
