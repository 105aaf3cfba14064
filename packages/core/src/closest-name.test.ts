import { describe, expect, it } from 'vitest';
import { closestName } from './closest-name.ts';

describe('closestName', () => {
  it.each([
    ['prot', 'port'],
    ['longPolTimeoutMs', 'longPollTimeoutMs'],
    ['HOST', 'host'],
    ['memroy', 'memory'],
  ])('finds what %s was meant to be', (typed, meant) => {
    expect(closestName(typed, ['host', 'port', 'memory', 'longPollTimeoutMs'])).toBe(meant);
  });

  it('guesses nothing when nothing is near', () => {
    expect(closestName('compression', ['host', 'port', 'memory'])).toBeUndefined();
    expect(closestName('x', ['host', 'port'])).toBeUndefined();
  });
});
