import { describe, expect, it } from 'vitest';
import { NO_LSN, fileId, lsn, segmentId, shardId } from './positions.ts';

describe('positions', () => {
  it('are safe non-negative integers, all kinds of them', () => {
    for (const make of [lsn, segmentId, fileId, shardId]) {
      for (const value of [0, 1, Number.MAX_SAFE_INTEGER]) expect(make(value)).toBe(value);
      for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
        expect(() => make(value)).toThrow(TypeError);
      }
    }
  });

  it('no LSN comes before the first', () => {
    expect(NO_LSN).toBeLessThan(lsn(1));
  });
});
