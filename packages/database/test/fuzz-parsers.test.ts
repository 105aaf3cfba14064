import { fuzz, fuzzRange } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { FUZZ_TARGETS } from './fuzz-targets.ts';

describe('whatever the bytes, a value or a known code:', () => {
  it.each(FUZZ_TARGETS.map((target) => [target.name, target] as const))('%s', async (_, target) => {
    const report = await fuzz(target, fuzzRange(target));
    // Mutants that are all refused at the door, or all let in, show nothing.
    expect(report.accepted).toBeGreaterThan(0);
    expect([...report.refused.keys()]).toEqual(expect.arrayContaining([...target.codes]));
  });
});
