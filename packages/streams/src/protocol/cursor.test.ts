import type { Clock, Random } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareDecimal, CursorSource } from './cursor.ts';

const EPOCH = Date.UTC(2024, 9, 9);

function sourceAt(time: { ms: number }, jitter = 4): CursorSource {
  const clock = { now: () => time.ms } as Clock;
  const random = { integer: () => jitter } as unknown as Random;
  return new CursorSource(clock, random);
}

describe('cursor', () => {
  it('is the number of 20-second intervals since 9 October 2024', () => {
    const time = { ms: EPOCH };
    const cursors = sourceAt(time);
    expect(cursors.current()).toBe('0');
    time.ms = EPOCH + 19_999;
    expect(cursors.next(undefined)).toBe('0');
    time.ms = EPOCH + 60_000;
    expect(cursors.next(undefined)).toBe('3');
  });

  it('answers an older cursor with the current one, and another with a greater one', () => {
    const cursors = sourceAt({ ms: EPOCH + 20_000 * 1000 });
    expect(cursors.next('999')).toBe('1000');
    expect(cursors.next('0000000999')).toBe('1000');
    expect(cursors.next('1000')).toBe('1005');
    expect(cursors.next('1005')).toBe('1010');
  });

  it('does not go back with the wall clock', () => {
    const time = { ms: EPOCH + 20_000 * 1000 };
    const cursors = sourceAt(time);
    expect(cursors.current()).toBe('1000');
    time.ms -= 3_600_000;
    expect(cursors.current()).toBe('1000');
  });

  it('is always digits and strictly greater than a cursor that is not behind', () => {
    const digits = fc.string({
      unit: fc.constantFrom(...'0123456789'),
      minLength: 1,
      maxLength: 64,
    });
    fc.assert(
      fc.property(digits, fc.integer({ min: 0, max: 179 }), (client, jitter) => {
        const cursors = sourceAt({ ms: EPOCH + 20_000 * 123_456 }, jitter);
        const next = cursors.next(client);
        expect(next).toMatch(/^\d+$/);
        expect(BigInt(next) > BigInt(client)).toBe(true);
        expect(BigInt(next) >= 123_456n).toBe(true);
      }),
      { numRuns: 1000, seed: 51 },
    );
  });

  it('compares as numbers do', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 1n << 100n }),
        fc.bigInt({ min: 0n, max: 1n << 100n }),
        (a, b) => {
          expect(Math.sign(compareDecimal(`00${a}`, String(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
        },
      ),
      { seed: 52 },
    );
  });
});
