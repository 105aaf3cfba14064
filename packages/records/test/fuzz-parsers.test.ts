import { fuzz, fuzzRange } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { FUZZ_TARGETS } from './fuzz-targets.ts';

describe('whatever the bytes, a value or a known code:', () => {
  const targets = FUZZ_TARGETS.map((target) => [target.name, target] as const);
  it.each(targets)('%s', { timeout: 3_600_000 }, async (_, target) => {
    const report = await fuzz(target, fuzzRange(target));
    // Mutants that are all refused at the door, or all let in, show nothing.
    expect(report.accepted).toBeGreaterThan(0);
    expect([...report.refused.keys()]).toEqual(expect.arrayContaining([...target.codes]));
  });
});
