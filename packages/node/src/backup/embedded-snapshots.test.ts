import { describe, expect, it } from 'vitest';
import { retentionRules } from './embedded-snapshots.ts';

describe('retentionRules', () => {
  const none = { keepLast: 0, keepDaily: 0, keepWeekly: 0, keepMaxAgeMs: 0 };

  it('without any rule everything stays', () => {
    expect(retentionRules(none)).toEqual({});
  });

  it('one rule is enough, and the others then keep nothing', () => {
    expect(retentionRules({ ...none, keepDaily: 7 })).toEqual({
      keepLast: 0,
      keepDaily: 7,
      keepWeekly: 0,
    });
  });

  it('an age alone lets what is older go, and keeps the rest', () => {
    expect(retentionRules({ ...none, keepMaxAgeMs: 1000 })).toEqual({ maxAgeMs: 1000 });
  });
});
