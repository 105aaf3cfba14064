/** A layout of another version is refused, not taken for a damaged one that its mirror mends. */
import { crc32c } from '@holdfast/core';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type Database, openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

const LAYOUT = '/data/layout.json';

function inLife<T>(fileSystem: SimFs, work: (database: Database) => Promise<T> | T): Promise<T> {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  const settings = { dir: '/data', shardCount: 1, diskReserveBytes: 0 };
  const opening = openDatabase({ fileSystem, clock, random }, settings, [new RowEngine()]);
  return clock.run(
    opening.then(async (database) => {
      const result = await work(database);
      await database.close();
      return result;
    }),
  );
}

/** What a later version would write into the original, and had no time to write into the mirror. */
function rewritten(fileSystem: SimFs, change: Record<string, unknown>, checked: boolean): Buffer {
  const { check, ...fields } = JSON.parse(fileSystem.disk.content(LAYOUT).toString()) as Record<
    string,
    unknown
  >;
  const changed = { ...fields, ...change };
  const ownCheck = crc32c(Buffer.from(JSON.stringify(changed))).toString(16);
  return Buffer.from(JSON.stringify({ ...changed, check: checked ? ownCheck : check }));
}

const CHANGES = [
  ['format version', { formatVersion: 2 }],
  ['hash', { hashPolicy: 'other-v2' }],
] as const;

describe.each(CHANGES)('a layout with another %s', (_, change) => {
  it('is refused and left as it is, also beside an older mirror', async () => {
    const fileSystem = new SimFs();
    await inLife(fileSystem, () => undefined);
    const later = rewritten(fileSystem, change, true);
    fileSystem.disk.replaceContent(LAYOUT, later);
    const next = new SimFs({ disk: fileSystem.disk });
    const opened = inLife(next, () => undefined);
    await expect(opened).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
    expect(next.disk.content(LAYOUT)).toEqual(later);
  });

  it('that its checksum does not cover is damaged, and made good from the mirror', async () => {
    const fileSystem = new SimFs();
    await inLife(fileSystem, () => undefined);
    const whole = fileSystem.disk.content(LAYOUT);
    fileSystem.disk.replaceContent(LAYOUT, rewritten(fileSystem, change, false));
    const next = new SimFs({ disk: fileSystem.disk });
    const { integrity } = await inLife(next, (database) => database.stats());
    expect(integrity).toEqual({ found: 1, repaired: 1, quarantined: 0 });
    expect(next.disk.content(LAYOUT)).toEqual(whole);
  });
});
