import type { Lsn } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseKept, type RetainedSnapshot } from './retention.ts';

/** There is one history. */
const lead = (): boolean => true;

const DAY = 86_400_000;
/** A Monday. */
const MONDAY = Date.UTC(2026, 10, 16);

function snapshot(createdAtMs: number, lsn = createdAtMs): RetainedSnapshot {
  return { snapshotId: `${lsn}-${createdAtMs}`, epoch: 1, lsn: lsn as Lsn, createdAtMs };
}

const kept = (
  times: readonly number[],
  rules: Parameters<typeof chooseKept>[1],
  now = Math.max(...times),
): number[] => {
  const ids = chooseKept(
    times.map((at) => snapshot(at)),
    rules,
    now,
    lead,
  );
  return times.filter((at) => ids.has(`${at}-${at}`));
};

describe('retention', () => {
  it('keeps everything without a rule', () => {
    expect(kept([1, 2, 3], {})).toEqual([1, 2, 3]);
  });

  it('keeps the last so many', () => {
    expect(kept([1, 2, 3, 4], { keepLast: 2 })).toEqual([3, 4]);
  });

  it('keeps the newest of each day that has one, of days that have none says nothing', () => {
    const times = [0, 5, 6, 30, 31, 50].map((hours) => MONDAY + hours * 3_600_000);
    expect(kept(times, { keepDaily: 2 })).toEqual([times[4], times[5]]);
    expect(kept(times, { keepDaily: 3 })).toEqual([times[2], times[4], times[5]]);
  });

  it('keeps the newest of each week, which begins on Monday', () => {
    const times = [MONDAY - 2 * DAY, MONDAY - 1, MONDAY, MONDAY + 6 * DAY, MONDAY + 7 * DAY];
    expect(kept(times, { keepWeekly: 3 })).toEqual([
      MONDAY - 1,
      MONDAY + 6 * DAY,
      MONDAY + 7 * DAY,
    ]);
  });

  it('lets go what is too old whatever else is asked for, but for the newest', () => {
    const times = [1, 2, 3];
    expect(kept(times, { maxAgeMs: 1 }, 4)).toEqual([3]);
    expect(kept(times, { keepLast: 3, maxAgeMs: 2 }, 4)).toEqual([2, 3]);
    expect(kept(times, { maxAgeMs: 1 }, 1_000)).toEqual([3]);
  });

  it('takes for the newest the one of the newest writer, whatever its clock or LSN', () => {
    const before = { ...snapshot(900, 1_000), epoch: 1 };
    const restored = { ...snapshot(500, 600), epoch: 2 };
    expect(chooseKept([before, restored], { keepLast: 1 }, 900, lead)).toEqual(
      new Set([restored.snapshotId]),
    );
  });

  it('keeps what leads to the newest history, which a restore began before newer snapshots', () => {
    const [before, abandoned] = [snapshot(40), snapshot(90)];
    const kept = chooseKept([before, abandoned], { keepLast: 1 }, 100, ({ lsn }) => lsn <= 50);
    expect(kept).toEqual(new Set([abandoned.snapshotId, before.snapshotId]));
  });

  it('keeps the newest, and never more for a smaller rule, whatever the snapshots are', () => {
    const snapshots = fc.uniqueArray(
      fc.record({
        snapshotId: fc.uuid(),
        epoch: fc.integer({ min: 1, max: 3 }),
        lsn: fc.integer({ min: 0, max: 50 }).map((lsn) => lsn as Lsn),
        createdAtMs: fc.integer({ min: 0, max: 100 * DAY }),
      }),
      { selector: ({ snapshotId }) => snapshotId, minLength: 1, size: 'max', maxLength: 60 },
    );
    const count = fc.option(fc.integer({ min: 0, max: 8 }), { nil: undefined });
    const rules = fc.record({
      keepLast: count,
      keepDaily: count,
      keepWeekly: count,
      maxAgeMs: fc.option(fc.integer({ min: 0, max: 100 * DAY }), { nil: undefined }),
    });
    fc.assert(
      fc.property(snapshots, rules, fc.integer({ min: 0, max: 120 * DAY }), (all, rule, now) => {
        const stays = chooseKept(all, rule, now, lead);
        const newest = all.reduce((a, b) =>
          b.epoch - a.epoch || b.lsn - a.lsn || b.createdAtMs - a.createdAtMs ? newer(a, b) : a,
        );
        const twins = all.filter(
          ({ epoch, lsn, createdAtMs }) =>
            epoch === newest.epoch && lsn === newest.lsn && createdAtMs === newest.createdAtMs,
        );
        expect(twins.some(({ snapshotId }) => stays.has(snapshotId))).toBe(true);
        for (const { snapshotId, createdAtMs } of all) {
          if (!stays.has(snapshotId) || rule.maxAgeMs === undefined) continue;
          const isNewest = twins.some((twin) => twin.snapshotId === snapshotId);
          expect(isNewest || now - createdAtMs <= rule.maxAgeMs).toBe(true);
        }
        const { keepLast, keepDaily, keepWeekly } = rule;
        if ([keepLast, keepDaily, keepWeekly].every((some) => some === undefined)) {
          if (rule.maxAgeMs === undefined) expect(stays.size).toBe(all.length);
        } else {
          const most = (keepLast ?? 0) + (keepDaily ?? 0) + (keepWeekly ?? 0);
          expect(stays.size).toBeLessThanOrEqual(Math.max(1, most));
        }
        // What was let go is let go again: pruning twice is pruning once.
        const again = chooseKept(
          all.filter(({ snapshotId }) => stays.has(snapshotId)),
          rule,
          now,
          lead,
        );
        expect(again).toEqual(stays);
      }),
      { numRuns: 500 },
    );
  });
});

function newer(a: RetainedSnapshot, b: RetainedSnapshot): RetainedSnapshot {
  return (b.epoch - a.epoch || b.lsn - a.lsn || b.createdAtMs - a.createdAtMs) > 0 ? b : a;
}
