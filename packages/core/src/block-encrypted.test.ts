import { type KeyObject, createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BATCH_CLEAR_BYTES, BLOCK_HEADER_BYTES, BLOCK_TYPES, BlockCodec } from './block.ts';
import { crc32c } from './crc32c.ts';
import { KeyRing } from './key-ring.ts';
import { NodeRandom } from './node-random.ts';
import type { Random } from './random.ts';

const DATABASE = Buffer.from('0123456789abcdef');
const HERE = { type: BLOCK_TYPES.tableData, fileId: 7, position: 4096 } as const;
const KEY = keyOf('a');
const OLD_KEY = keyOf('b');
const ring = new KeyRing([KEY, OLD_KEY], new NodeRandom());
const codec = new BlockCodec(DATABASE, ring);

describe('encrypted block', () => {
  it('gives back any payload in its own place, in memory of its own', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ size: 'max', maxLength: 5000 }),
        fc.constantFrom(...Object.values(BLOCK_TYPES)),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        (payload, type, fileId, position) => {
          const here = { type, fileId, position };
          const block = codec.encodeNew(payload, here);
          const before = Buffer.from(block);
          const opened = codec.open(block, 0, here) as Buffer;
          expect(opened.equals(payload)).toBe(true);
          opened.fill(0);
          expect(block.equals(before)).toBe(true);
          expect(codec.peekHeader(block, 0)).toMatchObject({
            ...here,
            payloadLength: payload.length,
            keyId: ring.active.id,
          });
        },
      ),
    );
  });

  it('is refused after any change of any byte', () => {
    const block = codec.encodeNew(Buffer.from('a small payload'), HERE);
    for (let at = 0; at < block.length; at++) {
      for (let mask = 1; mask < 256; mask++) {
        expect(codec.open(flipped(block, at, mask), 0, HERE), `byte ${at}`).toBeUndefined();
      }
    }
  });

  it('is refused after any change of any byte, when whoever made it knows the identity', () => {
    for (const type of [BLOCK_TYPES.tableData, BLOCK_TYPES.batch, BLOCK_TYPES.segmentHeader]) {
      const place = { ...HERE, type };
      const block = codec.encodeNew(Buffer.alloc(BATCH_CLEAR_BYTES + 30, 'x'), place);
      for (let at = 0; at < block.length; at++) {
        const forged = flipped(block, at, 0x11);
        resealHeader(forged);
        // The checksum, which is made anew, and what says how the block is read are not secret.
        if (forged.equals(block) || at === 4) continue;
        expect(opens(forged, place), `byte ${at}`).toBe(false);
      }
    }
  });

  it('is refused in another place, file, role or database', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    expect(codec.open(block, 0, { ...HERE, position: 8192 })).toBeUndefined();
    expect(codec.open(block, 0, { ...HERE, fileId: 8 })).toBeUndefined();
    expect(codec.open(block, 0, { ...HERE, type: BLOCK_TYPES.extentData })).toBeUndefined();
    const other = new BlockCodec(Buffer.alloc(16, 1), ring);
    expect(other.open(block, 0, HERE)).toBeUndefined();
    for (const [at, value] of [
      [5, BLOCK_TYPES.tableIndex],
      [16, 8],
      [25, 32],
    ] as const) {
      // Moved by somebody who rewrites the header as well.
      const moved = Buffer.from(block);
      moved[at] = value;
      resealHeader(moved);
      const header = codec.peekHeader(moved, 0);
      expect(header).toBeDefined();
      const { fileId, position } = header as { fileId: number; position: number };
      const place = { type: header?.type as typeof HERE.type, fileId, position };
      expect(codec.open(moved, 0, place)).toBeUndefined();
    }
    const foreign = Buffer.from(block);
    foreign.writeUInt32LE(crc32c(foreign.subarray(0, 60), crc32c(Buffer.alloc(16, 1))), 60);
    expect(other.peekHeader(foreign, 0)).toBeDefined();
    expect(other.open(foreign, 0, HERE)).toBeUndefined();
  });

  it('cannot be spliced: header, clear part and ciphertext of two blocks', () => {
    const place = { ...HERE, type: BLOCK_TYPES.batch };
    const one = codec.encodeNew(Buffer.alloc(300, 1), place);
    const two = codec.encodeNew(Buffer.alloc(300, 2), place);
    const clearEnd = BLOCK_HEADER_BYTES + BATCH_CLEAR_BYTES;
    for (const [from, to] of [
      [0, BLOCK_HEADER_BYTES],
      [BLOCK_HEADER_BYTES, clearEnd],
      [clearEnd, one.length],
      [clearEnd + 100, one.length],
    ] as const) {
      const spliced = Buffer.from(one);
      two.copy(spliced, from, from, to);
      expect(codec.open(spliced, 0, place)).toBeUndefined();
    }
  });

  it('opens under every key of the ring, new ones are under the first', () => {
    const before = new BlockCodec(DATABASE, new KeyRing([OLD_KEY], new NodeRandom()));
    const block = before.encodeNew(Buffer.from('old'), HERE);
    expect(codec.open(block, 0, HERE)?.toString()).toBe('old');
    expect(before.keyId).not.toBe(codec.keyId);
    expect(codec.peekHeader(codec.encodeNew(Buffer.from('new'), HERE), 0)?.keyId).toBe(codec.keyId);
  });

  it('under a key that is not there is not called damaged', () => {
    const other = new BlockCodec(DATABASE, new KeyRing([keyOf('c')], new NodeRandom()));
    const block = other.encodeNew(Buffer.from('payload'), HERE);
    for (const open of [
      () => codec.open(block, 0, HERE),
      () => codec.decode(block, 0, { ...HERE, path: 'x' }),
    ]) {
      expect(open).toThrow(
        expect.objectContaining({ code: 'KEY_MISSING', details: { keyId: other.keyId } }),
      );
    }
    // In a wrong place it is damage whatever its key.
    expect(codec.open(block, 0, { ...HERE, fileId: 8 })).toBeUndefined();
  });

  it('of another key with the same id is refused', () => {
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    const lying = new KeyRing([keyOf('c')], new NodeRandom());
    Object.defineProperties(lying, {
      has: { value: () => true },
      find: { value: (id: number) => ({ id, key: keyOf('c') }) },
    });
    expect(new BlockCodec(DATABASE, lying).open(block, 0, HERE)).toBeUndefined();
  });

  it('is never replaced by a plain one, nor a plain one by it', () => {
    const plain = new BlockCodec(DATABASE);
    expect(codec.open(plain.encodeNew(Buffer.from('payload'), HERE), 0, HERE)).toBeUndefined();
    const block = codec.encodeNew(Buffer.from('payload'), HERE);
    expect(plain.open(block, 0, HERE)).toBeUndefined();
    expect(plain.isEncrypted).toBe(false);
    expect(plain.keyId).toBe(0);
    expect(plain.salted(Buffer.alloc(16))).toBe(plain);
    expect(plain.pinned()).toBe(plain);
  });

  it('a batch shows its header and nothing else, a segment header all of it', () => {
    const secret = 'canary canary canary';
    const clear = Buffer.alloc(BATCH_CLEAR_BYTES, 'h');
    const batch = codec.encodeNew(Buffer.concat([clear, Buffer.from(secret)]), {
      ...HERE,
      type: BLOCK_TYPES.batch,
    });
    expect(batch.subarray(64, 64 + BATCH_CLEAR_BYTES).equals(clear)).toBe(true);
    expect(batch.includes('canary')).toBe(false);
    const header = codec.encodeNew(clear, { ...HERE, type: BLOCK_TYPES.segmentHeader });
    expect(header.subarray(64).equals(clear)).toBe(true);
    for (const type of Object.values(BLOCK_TYPES)) {
      if (type === BLOCK_TYPES.batch || type === BLOCK_TYPES.segmentHeader) continue;
      const block = codec.encodeNew(Buffer.from(secret), { ...HERE, type });
      expect(block.includes('canary'), `type ${type}`).toBe(false);
    }
  });

  it('never ends in a zero byte', () => {
    for (let i = 0; i < 3000; i++) {
      expect(codec.encodeNew(Buffer.of(i), HERE).at(-1)).not.toBe(0);
    }
  });

  it('completes in place, beside other bytes', () => {
    const target = Buffer.alloc(300, 0xee);
    target.write('payload', 100 + BLOCK_HEADER_BYTES);
    const tag = codec.encode(target, 100, { ...HERE, payloadLength: 7 });
    expect(codec.open(target, 100, HERE)?.toString()).toBe('payload');
    expect(codec.peekHeader(target, 100)?.tag.equals(tag)).toBe(true);
    expect(target.subarray(0, 100).every((byte) => byte === 0xee)).toBe(true);
    expect(target.subarray(100 + BLOCK_HEADER_BYTES + 7).every((byte) => byte === 0xee)).toBe(true);
  });

  it('of a salted codec opens with that salt alone', () => {
    const one = codec.salted(Buffer.alloc(16, 1));
    const block = one.encodeNew(Buffer.from('payload'), HERE);
    expect(one.open(block, 0, HERE)?.toString()).toBe('payload');
    expect(codec.salted(Buffer.alloc(16, 2)).open(block, 0, HERE)).toBeUndefined();
    expect(codec.open(block, 0, HERE)).toBeUndefined();
    expect(one.pinned().open(block, 0, HERE)?.toString()).toBe('payload');
    expect(codec.pinned().salted(Buffer.alloc(16, 1)).open(block, 0, HERE)).toBeDefined();
  });

  it('of a pinned codec stays under one key through a rotation, which even drops that key', () => {
    const rotating = new KeyRing([OLD_KEY], new NodeRandom());
    const open = new BlockCodec(DATABASE, rotating);
    const pinned = open.pinned();
    const { keyId } = pinned;
    rotating.replace([KEY, OLD_KEY]);
    expect(open.keyId).toBe(ring.active.id);
    expect(pinned.keyId).toBe(keyId);
    expect(codec.peekHeader(pinned.encodeNew(Buffer.of(1), HERE), 0)?.keyId).toBe(keyId);
    rotating.replace([KEY]);
    const late = pinned.encodeNew(Buffer.from('late'), HERE);
    expect(pinned.open(late, 0, HERE)?.toString()).toBe('late');
    expect(() => open.open(late, 0, HERE)).toThrow(
      expect.objectContaining({ code: 'KEY_MISSING' }),
    );
  });
});

describe('nonces', () => {
  const constant = new BlockCodec(DATABASE, new KeyRing([KEY], constantRandom(0)));

  it('differ for the same block, while chance does its part', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 500; i++) seen.add(nonceOf(codec.encodeNew(Buffer.from('same'), HERE)));
    expect(seen.size).toBe(500);
  });

  it('differ by plaintext and by place even when chance gives the same bytes twice', () => {
    const base = nonceOf(constant.encodeNew(Buffer.from('payload'), HERE));
    expect(nonceOf(constant.encodeNew(Buffer.from('payloae'), HERE))).not.toBe(base);
    expect(nonceOf(constant.encodeNew(Buffer.from('payload'), { ...HERE, position: 0 }))).not.toBe(
      base,
    );
    // The only repetition is the very same block.
    expect(nonceOf(constant.encodeNew(Buffer.from('payload'), HERE))).toBe(base);
  });

  it('differ by the clear part, and for plaintexts that share a checksum', () => {
    const place = { ...HERE, type: BLOCK_TYPES.batch };
    const one = Buffer.alloc(100, 1);
    const two = Buffer.from(one);
    two[3] = 9;
    expect(nonceOf(constant.encodeNew(one, place))).not.toBe(
      nonceOf(constant.encodeNew(two, place)),
    );
    const [left, right] = collidingChecksums();
    expect(crc32c(left)).toBe(crc32c(right));
    expect(nonceOf(constant.encodeNew(left, HERE))).not.toBe(
      nonceOf(constant.encodeNew(right, HERE)),
    );
  });

  it('never meet under one key for different blocks, however chance fails', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            payload: fc.uint8Array({ maxLength: 40 }),
            type: fc.constantFrom(...Object.values(BLOCK_TYPES)),
            fileId: fc.nat(2),
            position: fc.nat(2),
          }),
          { size: 'max', maxLength: 200 },
        ),
        fc.nat(255),
        (blocks, byte) => {
          const failing = new BlockCodec(DATABASE, new KeyRing([KEY], constantRandom(byte)));
          const seen = new Map<string, string>();
          for (const { payload, ...place } of blocks) {
            const block = failing.encodeNew(payload, place);
            const nonce = nonceOf(block);
            const message = `${place.type} ${place.fileId} ${place.position} ${Buffer.from(payload).toString('hex')}`;
            expect(seen.get(nonce) ?? message).toBe(message);
            seen.set(nonce, message);
          }
        },
      ),
    );
  });
});

function keyOf(fill: string): KeyObject {
  return createSecretKey(Buffer.alloc(32, fill));
}

function constantRandom(byte: number): Random {
  return { bytes: (length) => Buffer.alloc(length, byte), integer: () => 0 };
}

function nonceOf(block: Buffer): string {
  return block.toString('hex', 48, 60);
}

function flipped(block: Buffer, at: number, mask: number): Buffer {
  const damaged = Buffer.from(block);
  damaged[at] = (damaged[at] as number) ^ mask;
  return damaged;
}

function resealHeader(block: Buffer): void {
  block.writeUInt32LE(crc32c(block.subarray(0, 60), crc32c(DATABASE)), 60);
}

function opens(block: Buffer, place: Parameters<BlockCodec['open']>[2]): boolean {
  try {
    return codec.open(block, 0, place) !== undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'KEY_MISSING' });
    return false;
  }
}

/** Two texts of one length and checksum: the checksum is linear in the bits. */
function collidingChecksums(): [Buffer, Buffer] {
  const bytes = 8;
  const zero = crc32c(Buffer.alloc(bytes));
  // Gaussian elimination over 64 one-bit differences of 32-bit checksums.
  const basis = new Map<number, { checksum: number; bits: bigint }>();
  for (let bit = 0; bit < bytes * 8; bit++) {
    const message = Buffer.alloc(bytes);
    message[bit >> 3] = 1 << (bit & 7);
    let checksum = (crc32c(message) ^ zero) >>> 0;
    let bits = 1n << BigInt(bit);
    while (checksum !== 0) {
      const top = 31 - Math.clz32(checksum);
      const known = basis.get(top);
      if (known === undefined) {
        basis.set(top, { checksum, bits });
        break;
      }
      checksum = (checksum ^ known.checksum) >>> 0;
      bits ^= known.bits;
    }
    if (checksum === 0) {
      const difference = Buffer.alloc(bytes);
      difference.writeBigUInt64LE(bits);
      return [Buffer.alloc(bytes), difference];
    }
  }
  throw new Error('64 bits have a difference of checksum 0');
}
