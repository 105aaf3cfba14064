import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SparseBytes, isZero } from './sparse-bytes.ts';

const PAGE = 64;

/** The same operations on one plain array. */
class PlainBytes {
  #bytes = Buffer.alloc(0);

  get bytes(): Buffer {
    return this.#bytes;
  }
  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    this.truncate(Math.max(this.#bytes.length, position + bytes.length));
    this.#bytes.set(bytes, position);
  }
  truncate(size: number): void {
    const next = Buffer.alloc(size);
    this.#bytes.copy(next, 0, 0, size);
    this.#bytes = next;
  }
}

const content = fc.oneof(
  fc.uint8Array({ size: 'max', maxLength: 200 }),
  fc.nat(200).map((length) => new Uint8Array(length)),
);
const step = fc.oneof(
  fc.record({ write: content, position: fc.nat(400) }),
  fc.record({ truncate: fc.nat(500) }),
);

describe('SparseBytes', () => {
  it('behaves as one plain array, whatever is written and cut', () => {
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 40 }), (steps) => {
        const sparse = new SparseBytes(PAGE);
        const plain = new PlainBytes();
        for (const action of steps) {
          if ('write' in action) {
            sparse.write(action.write, action.position);
            plain.write(action.write, action.position);
          } else {
            sparse.truncate(action.truncate);
            plain.truncate(action.truncate);
          }
          const all = Buffer.alloc(sparse.size + 10, 0xee);
          expect(sparse.size).toBe(plain.bytes.length);
          expect(sparse.read(all, 0)).toBe(sparse.size);
          expect(all.subarray(0, sparse.size).equals(plain.bytes)).toBe(true);
          expect(all.subarray(sparse.size).every((byte) => byte === 0xee)).toBe(true);
        }
      }),
    );
  });

  it('zeros cost no memory: a preallocated gigabyte is free', () => {
    const sparse = new SparseBytes();
    const zeros = Buffer.alloc(4 * 1024 * 1024);
    for (let i = 0; i < 256; i++) sparse.write(zeros, i * zeros.length);
    expect(sparse.size).toBe(1024 ** 3);
    expect(sparse.residentBytes).toBe(0);
    sparse.write(Buffer.from('x'), 512 * 1024 * 1024);
    expect(sparse.residentBytes).toBe(16 * 1024);
    sparse.write(zeros, 512 * 1024 * 1024);
    expect(sparse.residentBytes).toBe(0);
  });

  it('a clone goes its own way', () => {
    const one = new SparseBytes(PAGE);
    one.write(Buffer.from('same'), 0);
    const other = one.clone();
    one.write(Buffer.from('X'), 0);
    other.truncate(2);
    const target = Buffer.alloc(4);
    one.read(target, 0);
    expect(target.toString()).toBe('Xame');
    expect(other.size).toBe(2);
  });
});

describe('isZero', () => {
  it('finds one set bit anywhere', () => {
    expect(isZero(Buffer.alloc(0))).toBe(true);
    expect(isZero(Buffer.alloc(100_000))).toBe(true);
    for (const at of [0, 1, 16_383, 16_384, 99_999]) {
      const bytes = Buffer.alloc(100_000);
      bytes[at] = 1;
      expect(isZero(bytes)).toBe(false);
    }
  });
});
