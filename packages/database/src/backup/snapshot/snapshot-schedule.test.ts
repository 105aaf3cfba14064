import { HoldfastError, LIMITS, type Lsn, SILENT, sleep } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import type { DatabaseSnapshots } from './database-snapshots.ts';
import type { RetentionRules } from './retention.ts';
import type { SnapshotInfo } from './snapshot-catalog.ts';
import { type ScheduleSettings, SnapshotSchedule } from './snapshot-schedule.ts';

const HOUR = 3_600_000;

/** Snapshots that only remember when they were made. */
class Shelf {
  readonly made: number[] = [];
  readonly pruned: RetentionRules[] = [];
  failures = 0;
  pruneFailures = 0;
  takesMs = 0;
  underWay = 0;
  readonly #clock: SimClock;

  constructor(clock: SimClock) {
    this.#clock = clock;
  }

  async create(): Promise<SnapshotInfo> {
    expect(++this.underWay).toBe(1);
    await sleep(this.#clock, this.takesMs);
    this.underWay--;
    if (this.failures-- > 0) throw new HoldfastError('STORAGE_UNAVAILABLE', 'away');
    this.made.push(this.#clock.now());
    return this.#info(this.#clock.now());
  }

  async newest(): ReturnType<DatabaseSnapshots['newest']> {
    const at = this.made.at(-1);
    return at === undefined ? undefined : this.#info(at);
  }

  async prune(rules: RetentionRules): ReturnType<DatabaseSnapshots['prune']> {
    if (this.pruneFailures-- > 0) throw new HoldfastError('REPOSITORY_BUSY', 'busy');
    this.pruned.push(rules);
    return { deleted: [], kept: [] } as never;
  }

  #info(createdAtMs: number): SnapshotInfo {
    return { snapshotId: String(createdAtMs), createdAtMs, epoch: 1, lsn: 1 as Lsn } as never;
  }
}

function within(
  settings: ScheduleSettings,
  play: (clock: SimClock, shelf: Shelf, schedule: SnapshotSchedule) => Promise<void>,
): Promise<void> {
  const clock = new SimClock(new SeededRandom(1));
  const shelf = new Shelf(clock);
  const schedule = new SnapshotSchedule({ clock, logger: SILENT, snapshots: shelf }, settings);
  return clock.run(
    (async () => {
      await play(clock, shelf, schedule);
      await schedule.close();
    })(),
  );
}

describe('a schedule of snapshots', () => {
  it('makes one soon after the start, then one each interval, and lets go what the rules say', () =>
    within({ everyMs: HOUR, retention: { keepLast: 3 } }, async (clock, shelf, schedule) => {
      const start = clock.now();
      shelf.takesMs = 600_000;
      schedule.start();
      await sleep(clock, 3.5 * HOUR);
      expect(shelf.made[0]).toBeLessThan(start + 0.5 * HOUR);
      expect(shelf.made).toHaveLength(3);
      expect(shelf.pruned).toEqual(Array.from({ length: 3 }, () => ({ keepLast: 3 })));
      expect(schedule.stats()).toMatchObject({ failures: 0, lastError: undefined, everyMs: HOUR });
    }));

  it('goes on where the one before a restart was, also over weeks', () =>
    within({ everyMs: 30 * 24 * HOUR }, async (clock, shelf, schedule) => {
      shelf.made.push(clock.now() - 20 * 24 * HOUR);
      schedule.start();
      await sleep(clock, 9.9 * 24 * HOUR);
      expect(shelf.made).toHaveLength(1);
      await sleep(clock, 0.2 * 24 * HOUR);
      expect(shelf.made).toHaveLength(2);
      expect(shelf.pruned).toEqual([]);
    }));

  it('tries again after a failure, later each time, and says what it was', () =>
    within({ everyMs: 24 * HOUR }, async (clock, shelf, schedule) => {
      shelf.failures = 3;
      schedule.start();
      await sleep(clock, LIMITS.snapshotRetryMs * 1.5);
      expect(schedule.stats()).toMatchObject({
        failures: 1,
        lastError: { code: 'STORAGE_UNAVAILABLE', message: 'away' },
      });
      await sleep(clock, LIMITS.snapshotRetryMs * 3);
      expect(schedule.stats().failures).toBe(3);
      expect(schedule.stats().nextInMs).toBeGreaterThan(LIMITS.snapshotRetryMs * 2);
      await sleep(clock, LIMITS.snapshotRetryMs * 4);
      expect(shelf.made).toHaveLength(1);
      expect(schedule.stats()).toMatchObject({ failures: 0, lastError: undefined });
    }));

  it('makes one within the hour once a store is back that was away for days', () =>
    within({ everyMs: 24 * 30 * HOUR }, async (clock, shelf, schedule) => {
      shelf.failures = Infinity;
      schedule.start();
      await sleep(clock, 72 * HOUR);
      shelf.failures = 0;
      await sleep(clock, LIMITS.snapshotRetryMaxMs + 1);
      expect(shelf.made).toHaveLength(1);
    }));

  it('does not make another one because the retention failed', () =>
    within({ everyMs: 24 * HOUR, retention: { keepLast: 1 } }, async (clock, shelf, schedule) => {
      shelf.pruneFailures = 2;
      schedule.start();
      await sleep(clock, 6 * HOUR);
      expect(shelf.made).toHaveLength(1);
      expect(shelf.pruned).toHaveLength(1);
    }));

  it('is not stopped by a wall clock that jumps back', () =>
    within({ everyMs: HOUR }, async (clock, shelf, schedule) => {
      schedule.start();
      await sleep(clock, 0.5 * HOUR);
      clock.jumpWallClock(-1_000 * HOUR);
      await sleep(clock, 3 * HOUR);
      expect(shelf.made.length).toBeGreaterThanOrEqual(2);
    }));
});
