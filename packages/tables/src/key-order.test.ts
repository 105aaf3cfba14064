import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareRowKeys, compareWithin } from './key-order.ts';

const anyKey = fc
  .tuple(fc.integer({ min: 0, max: 200 }), fc.uint8Array({ maxLength: 8 }))
  .map(([same, rest]) => Buffer.concat([Buffer.alloc(same, 0x61), rest]));

test('keys are in the order of their bytes, short or long, alike or not', () => {
  fc.assert(
    fc.property(anyKey, anyKey, (one, other) => {
      const expected = Buffer.compare(one, other);
      expect(Math.sign(compareRowKeys(one, other))).toBe(expected);
      const block = Buffer.concat([Buffer.of(0xff, 0), one, Buffer.of(0xff)]);
      expect(Math.sign(compareWithin(block, 2, 2 + one.length, other))).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

test('bytes count without a sign', () => {
  expect(compareRowKeys(Buffer.of(0x80), Buffer.of(0x7f))).toBeGreaterThan(0);
  expect(compareRowKeys(Buffer.of(), Buffer.of(0))).toBeLessThan(0);
});
