import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { crc32c, KeyRing, NodeRandom, type Random } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEAL_BYTES, ValueSealer } from './value-sealer.ts';

const KEY_ID_AT = 5;
const VERSION_AT = 9;
const NONCE_AT = 17;
const CHECKSUM_AT = 41;
const HEAD_BYTES = 45;

const damaged = expect.objectContaining({ code: 'CHECKSUM_MISMATCH', details: { key: 'key' } });
const real = new NodeRandom();
const stuck: Random = { bytes: (length) => Buffer.alloc(length, 7), integer: () => 0 };
const sealer = sealerOf(['a', 'b']);
const value = Buffer.from('a small value');

describe('a sealed value', () => {
  it('opens to what was sealed, in memory of its own, whatever key, value and version', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 }),
        fc.uint8Array({ size: 'max', maxLength: 5_000 }),
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        (key, bytes, version) => {
          const sealed = sealer.seal(key, bytes, version);
          const before = Buffer.from(sealed);
          expect(sealed.length).toBe(bytes.length + SEAL_BYTES);
          const found = { key, value: sealed, version: version === 0 ? 5 : version };
          const opened = sealer.open(found);
          expect(opened.equals(bytes)).toBe(true);
          opened.fill(0);
          expect(sealed.equals(before)).toBe(true);
        },
      ),
    );
  });

  it('is refused after any change of any byte', () => {
    const sealed = sealer.seal('key', value, 3);
    for (let at = 0; at < sealed.length; at++) {
      for (const mask of [1, 0x10, 0x80, 0xff]) {
        const changed = flipped(sealed, at, mask);
        expect(() => opened(changed, 3), `byte ${at}`).toThrow(damaged);
      }
    }
  });

  it('is refused after any change of any byte by whoever makes the checksum anew', () => {
    const sealed = sealer.seal('key', value, 3);
    for (let at = 0; at < sealed.length; at++) {
      const forged = flipped(sealed, at, 1);
      checkAgain(forged, 'key');
      if (forged.equals(sealed)) continue; // the checksum itself
      // What these two say has no secret in it. They say it of a value that is not given out.
      const code =
        at === 4
          ? 'FORMAT_UNSUPPORTED'
          : at >= KEY_ID_AT && at < VERSION_AT
            ? 'KEY_MISSING'
            : 'CHECKSUM_MISMATCH';
      for (const version of [3, 2]) {
        expect(() => opened(forged, version), `byte ${at}`).toThrow(
          expect.objectContaining({ code }),
        );
      }
    }
  });

  it('is refused under another key of the ring that is named in its place', () => {
    const forged = sealer.seal('key', value, 0);
    sealerOf(['b']).seal('key', value, 0).copy(forged, KEY_ID_AT, KEY_ID_AT, VERSION_AT);
    checkAgain(forged, 'key');
    expect(() => opened(forged, 1)).toThrow(damaged);
  });

  it('is refused when it was cut short or goes on', () => {
    const sealed = sealer.seal('key', value, 0);
    for (let length = 0; length < sealed.length; length++) {
      expect(() => opened(sealed.subarray(0, length), 1), `length ${length}`).toThrow(damaged);
    }
    expect(() => opened(Buffer.concat([sealed, Buffer.alloc(1)]), 1)).toThrow(damaged);
  });

  it('cannot be spliced of two: head, value and tag', () => {
    const one = sealer.seal('key', Buffer.alloc(40, 1), 0);
    const two = sealer.seal('key', Buffer.alloc(40, 2), 0);
    for (const [from, to] of [
      [0, HEAD_BYTES],
      [HEAD_BYTES, HEAD_BYTES + 20],
      [HEAD_BYTES, HEAD_BYTES + 40],
      [HEAD_BYTES + 40, one.length],
    ] as const) {
      const spliced = Buffer.from(one);
      two.copy(spliced, from, from, to);
      expect(() => opened(spliced, 1), `${from} to ${to}`).toThrow(damaged);
    }
  });

  it('is refused under another key of an entry, in another context, at another version', () => {
    const sealed = sealer.seal('other', value, 3);
    expect(() => opened(sealed, 3)).toThrow(damaged);
    checkAgain(sealed, 'key');
    expect(() => opened(sealed, 3)).toThrow(damaged);
    const foreign = sealerOf(['a'], 'another store').seal('key', value, 3);
    expect(() => opened(foreign, 3)).toThrow(damaged);
    const stamped = sealer.seal('key', value, 3);
    for (const version of [1, 2, 4]) expect(() => opened(stamped, version)).toThrow(damaged);
    // And by whoever writes the version into it.
    stamped[VERSION_AT] = 0;
    checkAgain(stamped, 'key');
    expect(() => opened(stamped, 4)).toThrow(damaged);
  });

  it('under a key that is not there is not called damaged, and names the key', () => {
    const ring = ringOf(['c']);
    const sealed = new ValueSealer(ring, 'a store').seal('key', value, 0);
    expect(() => opened(sealed, 1)).toThrow(
      expect.objectContaining({
        code: 'KEY_MISSING',
        details: { keyId: ring.active.id, key: 'key' },
      }),
    );
    expect(sealer.keyIdOf({ key: 'key', value: sealed, version: 1 })).toBe(ring.active.id);
  });
});

describe('nonces of sealed values', () => {
  it('are never seen twice, not even where the same is sealed again', () => {
    const ledger = new Set<string>();
    for (let i = 0; i < 3_000; i++) ledger.add(nonceOf(sealer.seal('key', value, i % 2)));
    expect(ledger.size).toBe(3_000);
  });

  it('differ for whatever differs, where chance repeats itself', () => {
    const cloned = new ValueSealer(ringOf(['a'], stuck), 'a store');
    const ledger = new Map<string, string>();
    const short = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(short, short, fc.nat(2), (key, text, version) => {
        const nonce = nonceOf(cloned.seal(key, Buffer.from(text), version));
        const sealed = `${key} ${text} ${version}`;
        expect(ledger.get(nonce) ?? sealed).toBe(sealed);
        ledger.set(nonce, sealed);
      }),
      { numRuns: 2_000 },
    );
    expect(new Set(ledger.values()).size).toBe(ledger.size);
    expect(ledger.size).toBeGreaterThan(300);
  });

  it('make a key of AES and a nonce there: the same value is other bytes each time', () => {
    const bodies = new Set<string>();
    for (let i = 0; i < 100; i++) {
      bodies.add(sealer.seal('key', value, 0).subarray(HEAD_BYTES).toString('hex'));
    }
    expect(bodies.size).toBe(100);
  });
});

function sealerOf(names: readonly string[], context = 'a store'): ValueSealer {
  return new ValueSealer(ringOf(names), context);
}

function ringOf(names: readonly string[], random: Random = real): KeyRing {
  return new KeyRing(names.map(keyOf), random);
}

function keyOf(name: string): KeyObject {
  return createSecretKey(createHash('sha256').update(name).digest());
}

function opened(sealed: Buffer, version: number): Buffer {
  return sealer.open({ key: 'key', value: sealed, version });
}

function flipped(bytes: Buffer, at: number, mask: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] as number) ^ mask;
  return changed;
}

/** As somebody does who knows the format and no key. */
function checkAgain(sealed: Buffer, key: string): void {
  const sum = crc32c(Buffer.from(key), crc32c(sealed.subarray(0, CHECKSUM_AT)));
  sealed.writeUInt32LE(sum, CHECKSUM_AT);
}

function nonceOf(sealed: Buffer): string {
  return sealed.subarray(NONCE_AT, CHECKSUM_AT).toString('hex');
}
