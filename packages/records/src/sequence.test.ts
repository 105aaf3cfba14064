import { describe, expect, it } from 'vitest';
import {
  compareSequences,
  FIRST_SEQUENCE,
  isSequence,
  LAST_SEQUENCE,
  nextSequence,
  sequence,
} from './sequence.ts';

describe('sequence numbers', () => {
  it('begin at 0 after none, and rise by one', () => {
    expect(nextSequence(undefined)).toBe(0);
    expect(nextSequence(FIRST_SEQUENCE)).toBe(1);
    expect(nextSequence(sequence(2 ** 32 - 1))).toBe(2 ** 32);
  });

  it('have a last one', () => {
    expect(LAST_SEQUENCE).toBe(2 ** 53 - 2);
    expect(nextSequence(sequence(2 ** 53 - 3))).toBe(LAST_SEQUENCE);
    expect(() => nextSequence(LAST_SEQUENCE)).toThrow(
      expect.objectContaining({ code: 'SEQUENCE_EXHAUSTED' }),
    );
  });

  it('are ordered, with none before all', () => {
    const rising = [undefined, FIRST_SEQUENCE, sequence(1), sequence(2 ** 40), LAST_SEQUENCE];
    rising.forEach((a, i) =>
      rising.forEach((b, j) => {
        expect(Math.sign(compareSequences(a, b))).toBe(Math.sign(i - j));
      }),
    );
  });

  it('are whole numbers up to the last', () => {
    for (const wrong of [-1, 1.5, Number.NaN, 2 ** 53 - 1, 2 ** 53, '1', undefined]) {
      expect(isSequence(wrong)).toBe(false);
    }
    expect(() => sequence(-1)).toThrow(TypeError);
  });
});
