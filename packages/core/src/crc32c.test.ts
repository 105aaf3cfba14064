import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.ts';

describe('crc32c', () => {
  it('gives the check value of the polynomial', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa); // RFC 3720, B.4
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(crc32c(Buffer.alloc(0))).toBe(0);
  });

  it('continues from a seed, over any cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ size: 'max', maxLength: 300 }), fc.nat(300), (bytes, at) => {
        expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(crc32c(bytes));
      }),
    );
  });

  it('reads plain arrays and parts of a larger memory', () => {
    const whole = Uint8Array.from(Buffer.from('xx123456789yy'));
    expect(crc32c(whole.subarray(2, 11))).toBe(0xe3069283);
  });
});
