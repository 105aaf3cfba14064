import { ByteReader } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeEnvelope, openEnvelope, readEnvelope } from './envelope.ts';

const number = fc.maxSafeNat();
const facts = fc
  .record({
    seq: number,
    above: number,
    epoch: number,
    expiresAtMs: fc.option(number, { nil: undefined }),
  })
  .map(({ seq, above, ...rest }) => ({
    seq,
    version: Math.min(seq + above, Number.MAX_SAFE_INTEGER),
    ...rest,
  }));

describe('an envelope', () => {
  it('gives back what was put in', () => {
    fc.assert(
      fc.property(
        fc.string(),
        facts,
        fc.uint8Array({ maxLength: 300, size: 'max' }),
        (key, about, value) => {
          const bytes = Buffer.concat([encodeEnvelope(key, about, value), value]);
          const opened = openEnvelope(key, bytes);
          expect(opened.facts).toEqual(about);
          expect(opened.value.equals(value)).toBe(true);
        },
      ),
    );
  });

  const about = { seq: 300, version: 700, epoch: 3, expiresAtMs: 1_767_225_600_000 };
  const value = Buffer.from('a value');
  const bytes = Buffer.concat([encodeEnvelope('key', about, value), value]);

  it('with any bit flipped, or cut short, is a typed error and never another entry', () => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => openEnvelope('key', damaged), `bit ${bit}`).toThrow(
        expect.objectContaining({ kind: 'corrupt' }),
      );
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => openEnvelope('key', bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ kind: 'corrupt' }),
      );
    }
  });

  it("of another key is not taken for the key's", () => {
    expect(() => openEnvelope('kez', bytes)).toThrow(
      expect.objectContaining({ code: 'CHECKSUM_MISMATCH' }),
    );
  });

  it('has a head that can be read alone', () => {
    const reader = new ByteReader(encodeEnvelope('key', about, value));
    expect(readEnvelope(reader)).toMatchObject(about);
    reader.end();
  });
});
