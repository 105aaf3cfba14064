import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, readU64, writeU64 } from './bytes.ts';

const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

/** One value of every kind the codec knows. */
const field = fc.oneof(
  fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
  fc.record({ kind: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
  fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
  fc.record({ kind: fc.constant('u64' as const), value: safe }),
  fc.record({ kind: fc.constant('varint' as const), value: safe }),
  fc.record({
    kind: fc.constant('bytes' as const),
    value: fc.uint8Array({ size: 'max', maxLength: 300 }),
  }),
  fc.record({
    kind: fc.constant('string' as const),
    value: fc.string({ unit: 'grapheme', size: 'max', maxLength: 300 }),
  }),
);
type Field = typeof field extends fc.Arbitrary<infer Value> ? Value : never;

function write(fields: readonly Field[], initialCapacity?: number): Buffer {
  const writer = new ByteWriter(initialCapacity);
  for (const { kind, value } of fields) {
    (writer[kind] as (value: unknown) => ByteWriter).call(writer, value);
  }
  return writer.finish();
}

function read(bytes: Uint8Array, kinds: readonly Field['kind'][]): unknown[] {
  const reader = new ByteReader(bytes);
  const values = kinds.map((kind) => reader[kind]());
  reader.end();
  return values.map((value) => (Buffer.isBuffer(value) ? new Uint8Array(value) : value));
}

function kindsOf(fields: readonly Field[]): Field['kind'][] {
  return fields.map(({ kind }) => kind);
}

describe('byte codecs', () => {
  it('read back any sequence of values, whatever capacity the writer began with', () => {
    fc.assert(
      fc.property(
        fc.array(field, { maxLength: 20 }),
        fc.integer({ min: 1, max: 64 }),
        (fields, capacity) => {
          const values = read(write(fields, capacity), kindsOf(fields));
          expect(values).toEqual(fields.map(({ value }) => value));
        },
      ),
    );
  });

  it('reject every truncation of what they wrote', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 6 }), (fields) => {
        const bytes = write(fields);
        for (let length = 0; length < Math.min(bytes.length, 200); length++) {
          expect(() => read(bytes.subarray(0, length), kindsOf(fields))).toThrow(
            expect.objectContaining({ code: 'FORMAT_INVALID' }),
          );
        }
      }),
    );
  });

  it('on arbitrary bytes give a value or FORMAT_INVALID, nothing else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ size: 'max', maxLength: 64 }),
        fc.array(field),
        (bytes, fields) => {
          try {
            read(bytes, kindsOf(fields));
          } catch (error) {
            expect(error).toMatchObject({ code: 'FORMAT_INVALID' });
          }
        },
      ),
    );
  });

  it('trust no length before checking it: a huge one allocates nothing', () => {
    for (const length of [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const bytes = new ByteWriter().varint(length).raw(Buffer.from('short')).finish();
      expect(() => new ByteReader(bytes).bytes()).toThrow(/FORMAT|short input/);
      expect(() => new ByteReader(bytes).string()).toThrow(/short input/);
    }
  });

  it('refuse integers that a number cannot hold', () => {
    const above = Buffer.from('0000000000002000', 'hex'); // 2^53, little-endian
    expect(() => new ByteReader(above).u64()).toThrow(
      expect.objectContaining({ code: 'FORMAT_INVALID' }),
    );
    for (const hex of ['ffffffffffffff7f', 'ffffffffffffffff01', '8080808080808080']) {
      expect(() => new ByteReader(Buffer.from(hex, 'hex')).varint()).toThrow(
        expect.objectContaining({ code: 'FORMAT_INVALID' }),
      );
    }
    for (const value of [-1, 0.5, 2 ** 53, NaN, Infinity]) {
      expect(() => new ByteWriter().varint(value)).toThrow(TypeError);
    }
  });

  it('hold the edges of each width', () => {
    const bytes = new ByteWriter(1)
      .varint(0)
      .varint(127)
      .varint(128)
      .varint(Number.MAX_SAFE_INTEGER)
      .u64(Number.MAX_SAFE_INTEGER)
      .finish();
    expect(bytes.toString('hex')).toBe('007f8001ffffffffffffff0fffffffffffff1f00');
    const reader = new ByteReader(bytes);
    expect([reader.varint(), reader.varint(), reader.varint()]).toEqual([0, 127, 128]);
    expect(reader.varint()).toBe(Number.MAX_SAFE_INTEGER);
    expect(reader.u64()).toBe(Number.MAX_SAFE_INTEGER);
    expect(reader.position).toBe(bytes.length);
    reader.end();
  });

  it('end refuses what is left over', () => {
    const reader = new ByteReader(Buffer.from([1, 2]));
    reader.u8();
    expect(() => reader.end()).toThrow(/trailing/);
    expect(reader.remaining).toBe(1);
  });

  it('read the part of a larger memory they were given', () => {
    const whole = Uint8Array.from([9, 9, 1, 2, 9]);
    const reader = new ByteReader(whole.subarray(2, 4));
    expect(reader.u16()).toBe(0x0201);
    expect(() => reader.u8()).toThrow(/short input/);
  });

  it('u64 at a position agrees with the platform', () => {
    fc.assert(
      fc.property(safe, (value) => {
        const bytes = Buffer.alloc(10);
        writeU64(bytes, 1, value);
        expect(bytes.readBigUInt64LE(1)).toBe(BigInt(value));
        expect(readU64(bytes, 1)).toBe(value);
      }),
    );
  });
});
