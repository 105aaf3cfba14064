/** A rebalance dies between the new layout and its mirror: the old mirror is old, not damaged. */
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { type DatabaseSettings, openDatabase, verifyDatabase } from '../src/index.ts';
import { rebalanceDatabase } from '../src/rebalance-database.ts';
import { RowEngine } from './row-engine.ts';

const SETTINGS: DatabaseSettings = { dir: '/data', diskReserveBytes: 0 };

function componentsOn(fileSystem: SimFs): {
  fileSystem: SimFs;
  random: SeededRandom;
  clock: SimClock;
} {
  const random = new SeededRandom(1);
  return { fileSystem, random, clock: new SimClock(random) };
}

it('a mirror from before a rebalance is replaced and nobody is told of damage', async () => {
  const first = componentsOn(new SimFs());
  const { disk } = first.fileSystem;
  const opening = openDatabase(first, { ...SETTINGS, shardCount: 1 }, [new RowEngine()]);
  await first.clock.run(opening.then((database) => database.close()));
  const old = disk.content('/data/layout.json.mirror');

  const path = (name: string): boolean => name === '/data/layout.json.mirror.tmp';
  const fault = disk.faults.plan({ effect: 'halt', path });
  const second = componentsOn(new SimFs({ disk }));
  const rebalancing = rebalanceDatabase(second, { ...SETTINGS, shardCount: 4 }, [new RowEngine()]);
  await second.clock.run(rebalancing.catch(() => undefined));
  expect(fault.fired).toBe(1);

  const survivor = second.fileSystem.kill();
  expect(survivor.disk.content('/data/layout.json')).not.toEqual(old);
  expect(survivor.disk.content('/data/layout.json.mirror')).toEqual(old);
  const offline = { fileSystem: new SimFs({ disk: survivor.disk.clone() }) };
  expect((await verifyDatabase(offline, SETTINGS)).problems).toEqual([]);
  const third = componentsOn(survivor);
  const database = await third.clock.run(openDatabase(third, SETTINGS, [new RowEngine()]));
  expect(database.shardCount).toBe(4);
  expect(database.stats().integrity.found).toBe(0);
  expect(survivor.disk.content('/data/layout.json.mirror')).toEqual(
    survivor.disk.content('/data/layout.json'),
  );
  await third.clock.run(database.close());
});
