import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK_HEADER_BYTES, BLOCK_TYPES, BlockCodec } from './block.ts';
import { crc32c } from './crc32c.ts';

const DATABASE = Buffer.from('0123456789abcdef');
const HERE = { type: BLOCK_TYPES.batch, fileId: 7, position: 4096 } as const;
const codec = new BlockCodec(DATABASE);

describe('sealed block', () => {
  it('gives back any payload in its own place', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ size: 'max', maxLength: 5000 }),
        fc.constantFrom(...Object.values(BLOCK_TYPES)),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        (payload, type, fileId, position) => {
          const here = { type, fileId, position };
          const block = codec.encodeNew(payload, here);
          expect(block.length).toBe(BLOCK_HEADER_BYTES + payload.length);
          expect(codec.open(block, 0, here)?.equals(payload)).toBe(true);
          expect(codec.peekHeader(block, 0)).toMatchObject({
            ...here,
            payloadLength: payload.length,
            keyId: 0,
          });
        },
      ),
    );
  });

  it('is rejected after any single flipped bit', () => {
    const block = codec.encodeNew(Buffer.from('a small payload'), HERE);
    for (let bit = 0; bit < block.length * 8; bit++) {
      const damaged = Buffer.from(block);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(codec.open(damaged, 0, HERE), `bit ${bit}`).toBeUndefined();
    }
  });

  it('is rejected after any burst of damage', () => {
    const block = codec.encodeNew(Buffer.alloc(600, 'x'), HERE);
    fc.assert(
      fc.property(
        fc.nat(block.length - 1),
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        (at, garbage) => {
          const damaged = Buffer.from(block);
          damaged.set(garbage.subarray(0, block.length - at), at);
          fc.pre(!damaged.equals(block));
          expect(codec.open(damaged, 0, HERE)).toBeUndefined();
        },
      ),
    );
  });

  it('is rejected when torn at any byte, the rest missing or zero', () => {
    const block = codec.encodeNew(Buffer.alloc(300, 'x'), HERE);
    for (let length = 0; length < block.length; length++) {
      expect(codec.open(block.subarray(0, length), 0, HERE)).toBeUndefined();
      const zeroed = Buffer.alloc(block.length);
      block.copy(zeroed, 0, 0, length);
      expect(codec.open(zeroed, 0, HERE)).toBeUndefined();
    }
  });

  it('does not decode where it was not written', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    expect(codec.open(block, 0, { ...HERE, position: 8192 })).toBeUndefined();
    expect(codec.open(block, 0, { ...HERE, fileId: 8 })).toBeUndefined();
    expect(codec.open(block, 0, { ...HERE, type: BLOCK_TYPES.extentData })).toBeUndefined();
  });

  it('does not decode in another database', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    for (let i = 0; i < 16; i++) {
      const other = Buffer.from(DATABASE);
      other[i] = (other[i] as number) ^ 1;
      expect(new BlockCodec(other).peekHeader(block, 0)).toBeUndefined();
      expect(new BlockCodec(other).open(block, 0, HERE)).toBeUndefined();
    }
  });

  it('never comes out of zeros, of any length', () => {
    for (const length of [0, 1, 63, 64, 65, 512, 4096]) {
      const zeros = Buffer.alloc(length);
      expect(codec.peekHeader(zeros, 0)).toBeUndefined();
      expect(codec.open(zeros, 0, { ...HERE, fileId: 0, position: 0 })).toBeUndefined();
    }
  });

  it('cannot be posed as by a payload: users do not know the identity', () => {
    const forged = new BlockCodec(Buffer.alloc(16)).encodeNew(Buffer.from('forged'), HERE);
    const block = codec.encodeNew(forged, HERE);
    expect(codec.open(block, BLOCK_HEADER_BYTES, HERE)).toBeUndefined();
  });

  it('a length beyond the buffer is not followed', () => {
    const block = codec.encodeNew(Buffer.alloc(1000, 'x'), HERE);
    expect(codec.open(block.subarray(0, 999), 0, HERE)).toBeUndefined();
    expect(codec.open(block, 1, HERE)).toBeUndefined();
  });

  it('completes in place, beside other bytes, with the tag as a view', () => {
    const target = Buffer.alloc(300, 0xee);
    target.write('payload', 100 + BLOCK_HEADER_BYTES);
    const tag = codec.encode(target, 100, { ...HERE, payloadLength: 7 });
    expect(codec.open(target, 100, HERE)?.toString()).toBe('payload');
    expect(codec.peekHeader(target, 100)?.tag.equals(tag)).toBe(true);
    expect(target.subarray(0, 100).every((byte) => byte === 0xee)).toBe(true);
    expect(target.subarray(100 + BLOCK_HEADER_BYTES + 7).every((byte) => byte === 0xee)).toBe(true);
  });

  it('is laid out as FORMAT.md says', () => {
    const block = codec.encodeNew(Buffer.from('ab'), HERE);
    expect(block.toString('latin1', 0, 4)).toBe('HFBK');
    expect([...block.subarray(4, 8)]).toEqual([1, BLOCK_TYPES.batch, 0, 0]);
    expect(block.readUInt32LE(8)).toBe(2);
    expect(block.readUInt32LE(12)).toBe(0);
    expect(block.readBigUInt64LE(16)).toBe(7n);
    expect(block.readBigUInt64LE(24)).toBe(4096n);
    const identity = crc32c(DATABASE);
    const tag = crc32c(Buffer.from('ab'), crc32c(block.subarray(0, 32), identity));
    expect(block.readUInt32LE(32)).toBe(tag);
    expect(block.subarray(36, 60).every((byte) => byte === 0)).toBe(true);
    expect(block.readUInt32LE(60)).toBe(crc32c(block.subarray(0, 60), identity));
  });

  it('decode names the file and the position of the damage', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    expect(codec.decode(block, 0, { ...HERE, path: 'log/1' }).toString()).toBe('payload');
    block[70] = 0;
    expect(() => codec.decode(block, 0, { ...HERE, path: 'log/1' })).toThrow(
      expect.objectContaining({
        code: 'CHECKSUM_MISMATCH',
        kind: 'corrupt',
        details: { path: 'log/1', position: 4096 },
      }),
    );
  });

  it('an intact block of another format version asks for an upgrade', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    block[4] = 2;
    expect(codec.peekHeader(block, 0)).toBeUndefined(); // damage until its checksum says otherwise
    sealHeader(block);
    expect(() => codec.peekHeader(block, 0)).toThrow(
      expect.objectContaining({ code: 'FORMAT_UNSUPPORTED' }),
    );
  });

  it('the identity is 16 bytes', () => {
    expect(() => new BlockCodec(Buffer.alloc(15))).toThrow(TypeError);
  });
});

/** Makes the header's own checksum hold again. */
function sealHeader(block: Buffer): void {
  block.writeUInt32LE(crc32c(block.subarray(0, 60), crc32c(DATABASE)), 60);
}
