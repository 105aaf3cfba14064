/** The first start of a new directory dies at each call of the file system in turn. */
import { SILENT } from '@holdfast/core';
import { isSimDead, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { openDatabase } from '../src/open-database.ts';

it('the next start makes the database anew, wherever its creation was cut short', async () => {
  let cuts = 0;
  for (let nth = 1; ; nth++) {
    for (const performed of [false, true]) {
      for (const power of [false, true]) {
        const random = new SeededRandom(nth);
        const fileSystem = new SimFs();
        const fault = fileSystem.disk.faults.plan({ effect: 'halt', nth, performed });
        const first = await open(fileSystem, random).catch((error: unknown) => error);
        if (fault.fired === 0) {
          expect(cuts).toBeGreaterThan(80);
          return;
        }
        if (!isSimDead(first)) continue; // the call failed by itself before it could be the last
        cuts++;
        fileSystem.disk.faults.clear();
        const next = power ? fileSystem.powerCut(random) : fileSystem.kill();
        await open(next, random);
      }
    }
  }
});

/** Opens and closes. */
async function open(fileSystem: SimFs, random: SeededRandom): Promise<void> {
  const clock = new SimClock(random);
  const components = { fileSystem, random, clock, logger: SILENT };
  const settings = { dir: '/data', shardCount: 2 };
  await clock.run(
    openDatabase(components, settings, []).then((database) => {
      fileSystem.disk.faults.clear();
      return database.close();
    }),
  );
}
