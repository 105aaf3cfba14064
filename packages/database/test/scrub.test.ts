/** What the scrub finds, mends, moves to safety or names while a database runs. */
import { type Logger, SILENT } from '@holdfast/core';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import {
  type Database,
  type DatabaseSettings,
  openDatabase,
  verifyDatabase,
} from '../src/index.ts';
import { RowEngine } from './row-engine.ts';

class Bench {
  readonly random = new SeededRandom(1);
  readonly events: string[] = [];
  fs = new SimFs();
  clock = new SimClock(this.random);
  rows = new RowEngine();

  open(settings: Partial<DatabaseSettings> = {}): Promise<Database> {
    this.rows = new RowEngine();
    const note = (event: string): void => void this.events.push(event);
    const logger: Logger = { ...SILENT, info: note, warn: note, error: note };
    return this.run(
      openDatabase(
        { fileSystem: this.fs, clock: this.clock, random: this.random, logger },
        { dir: '/data', shardCount: 1, diskReserveBytes: 0, ...settings },
        [this.rows],
      ),
    );
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  async write(key: string, value: string): Promise<void> {
    await this.run(this.rows.write(new Map([[key, Buffer.from(value)]])));
  }

  async read(key: string): Promise<string | undefined> {
    return (await this.run(this.rows.get(key)))?.toString();
  }

  /** A database with rows and extents at rest, and their records still in the log. */
  async filled(settings: Partial<DatabaseSettings> = {}): Promise<Database> {
    const database = await this.open(settings);
    await this.write('small', 'row');
    for (let i = 0; i < 8; i++) await this.write(`k${i}`, large(i));
    await this.run(database.checkpoint());
    return database;
  }

  kill(): void {
    this.clock = this.clock.nextIncarnation();
    this.fs = this.fs.kill();
  }

  files(end: string): string[] {
    return this.fs.disk.paths().filter((path) => path.endsWith(end));
  }

  verify(): ReturnType<typeof verifyDatabase> {
    return verifyDatabase(
      { fileSystem: new SimFs({ disk: this.fs.disk.clone() }) },
      { dir: '/data' },
    );
  }

  async expectAllThere(): Promise<void> {
    expect(await this.read('small')).toBe('row');
    for (let i = 0; i < 8; i++) expect(await this.read(`k${i}`)).toBe(large(i));
  }
}

const large = (digit: number): string => String(digit).repeat(20_000);

describe('second copies', () => {
  it('of tables are made in the background after a checkpoint, and by the next start after a kill', async () => {
    const bench = new Bench();
    await bench.filled();
    await bench.clock.advance(5_000);
    expect(bench.files('.hft.mirror')).toHaveLength(1);
    bench.fs.disk.deleteFile(bench.files('.hft.mirror')[0] as string);
    bench.kill();
    const again = await bench.open();
    await bench.clock.advance(5_000);
    expect(bench.files('.hft.mirror')).toHaveLength(1);
    expect(again.stats().integrity.found).toBe(0); // missing is not damaged: nobody knew of it
  });

  it('are made by a clean close, and go with their tables when those are merged', async () => {
    const bench = new Bench();
    const database = await bench.open();
    for (let i = 0; i < 6; i++) {
      await bench.write(`k${i}`, `v${i}`);
      await bench.run(database.checkpoint());
    }
    await bench.run(database.compact());
    await bench.run(database.close());
    expect(bench.files('.hft').length).toBeLessThan(6);
    expect(bench.files('.hft.mirror')).toEqual(bench.files('.hft').map((path) => `${path}.mirror`));
  });

  it('are not made, and nothing is scrubbed by itself, when the scrub is off', async () => {
    const bench = new Bench();
    const database = await bench.filled({ scrubIntervalMs: 0 });
    await bench.clock.advance(100_000_000);
    await bench.run(database.close());
    expect(bench.files('.hft.mirror')).toEqual([]);
    expect(bench.events).not.toContain('database.scrubbed');
  });

  it('that cannot be written for want of room are made when there is room again', async () => {
    const bench = new Bench();
    const isMirror = (path: string): boolean => path.includes('.hft.mirror');
    const fault = bench.fs.disk.faults.plan({ effect: 'ENOSPC', times: 1, path: isMirror });
    const database = await bench.filled();
    await bench.clock.advance(5_000);
    expect(fault.fired).toBe(1);
    expect(database.state).toBe('open');
    expect(bench.files('.mirror.tmp')).toEqual([]);
    await bench.run(database.scrub());
    expect(bench.files('.hft.mirror')).toHaveLength(1);
  });
});

it('second copies leave the reserve to the log and to checkpoints', async () => {
  const bench = new Bench();
  const reserve = 1024 * 1024;
  const database = await bench.open({ diskReserveBytes: reserve });
  await bench.write('small', 'row');
  const { disk } = bench.fs;
  disk.capacityBytes = disk.usedBytes + reserve + 200;
  await bench.run(database.checkpoint());
  await bench.clock.advance(5_000);
  await bench.run(database.scrub());
  expect(bench.files('.hft.mirror')).toEqual([]);
  disk.capacityBytes = Infinity;
  await bench.run(database.scrub());
  expect(bench.files('.hft.mirror')).toHaveLength(1);
});

it('what is kept for a person to look at leaves the reserve alone too, and is mended all the same', async () => {
  const bench = new Bench();
  const reserve = 1024 * 1024;
  const database = await bench.filled({ diskReserveBytes: reserve });
  await bench.run(database.scrub());
  const [table] = bench.files('.hft') as [string];
  const { disk } = bench.fs;
  disk.flipBit(table, 90, 2);
  disk.capacityBytes = disk.usedBytes + reserve + 200;
  await bench.run(database.scrub());
  expect(database.stats().integrity).toEqual({ found: 1, repaired: 1, quarantined: 0 });
  expect(disk.paths().filter((path) => path.includes('/quarantine/'))).toEqual([]);
});

it('a second copy that could not be mended is no damage any more once its table is merged', async () => {
  const bench = new Bench();
  const database = await bench.open();
  for (let i = 0; i < 3; i++) {
    await bench.write(`k${i}`, `v${i}`);
    await bench.run(database.checkpoint());
  }
  await bench.run(database.scrub());
  bench.fs.disk.flipBit(bench.files('.hft.mirror')[0] as string, 90, 2);
  const path = (name: string): boolean => name.endsWith('.mirror.tmp');
  const fault = bench.fs.disk.faults.plan({ effect: 'ENOSPC', times: Infinity, path });
  await bench.run(database.scrub());
  fault.remove();
  expect(database.stats().integrity).toEqual({ found: 1, repaired: 0, quarantined: 1 });
  for (let i = 3; i < 8; i++) {
    await bench.write(`k${i}`, `v${i}`);
    await bench.run(database.checkpoint());
  }
  await bench.run(database.compact());
  expect(bench.files('.hft').length).toBeLessThan(3);
  expect(database.stats().integrity.quarantined).toBe(0);
});

describe('a scrub', () => {
  it('comes by itself, gives the disk long pauses, and ends at once with a close', async () => {
    const bench = new Bench();
    const database = await bench.filled({ scrubBytesPerSecond: 1_000, scrubIntervalMs: 3_600_000 });
    await bench.clock.advance(600_000);
    expect(bench.events).not.toContain('database.scrubbed');
    const begun = bench.fs.disk.calls('read');
    await bench.clock.advance(30_000);
    expect(bench.fs.disk.calls('read')).toBeGreaterThan(begun);
    expect(bench.events).not.toContain('database.scrubbed'); // 180 KB take minutes
    const closing = bench.clock.monotonicMs();
    await bench.run(database.close());
    expect(bench.clock.monotonicMs() - closing).toBeLessThan(1_000);
  });

  it('passes again after its interval and finds what rotted since', async () => {
    const bench = new Bench();
    const database = await bench.filled({ scrubIntervalMs: 3_600_000 });
    await bench.clock.advance(700_000);
    expect(bench.events.filter((event) => event === 'database.scrubbed')).toHaveLength(1);
    bench.fs.disk.flipBit(bench.files('.hft')[0] as string, 90, 2);
    bench.fs.disk.deleteFile('/data/layout.json');
    await bench.clock.advance(3_700_000);
    expect(bench.events.filter((event) => event === 'database.scrubbed')).toHaveLength(2);
    expect(database.stats().integrity).toEqual({ found: 2, repaired: 2, quarantined: 0 });
    expect(await bench.run(database.verify())).toEqual([]);
  });

  it('asked for twice at a time is one; asked for during a slow one takes its place', async () => {
    const bench = new Bench();
    const database = await bench.filled({ scrubBytesPerSecond: 1_000 });
    await bench.clock.advance(610_000);
    const both = [database.scrub(), database.scrub()];
    expect(both[0]).toStrictEqual(both[1]);
    const [report] = await bench.run(Promise.all(both));
    expect(report).toMatchObject({ damages: [], integrity: { found: 0 } });
    expect(report?.files).toBeGreaterThan(3);
    expect(report?.bytes).toBeGreaterThan(160_000);
    expect(bench.events.filter((event) => event === 'database.scrubbed')).toHaveLength(1);
  });

  it('keeps what was damaged, for a person to look at', async () => {
    const bench = new Bench();
    const database = await bench.filled();
    await bench.run(database.scrub());
    const [table] = bench.files('.hft') as [string];
    bench.fs.disk.flipBit(table, 90, 2);
    const damaged = bench.fs.disk.content(table);
    const { damages } = await bench.run(database.scrub());
    expect(damages).toMatchObject([{ path: table, position: 0, shard: 0, state: 'repaired' }]);
    const [kept] = bench.fs.disk.paths().filter((path) => path.includes('/quarantine/'));
    expect(bench.fs.disk.content(kept as string)).toEqual(damaged);
  });
});

describe('a file that is not needed any more when a scrub comes to it', () => {
  it('is no damage, and is not opened again', async () => {
    const bench = new Bench();
    const database = await bench.filled({ scrubBytesPerSecond: 1_000 });
    await bench.write('more', large(9));
    await bench.run(database.checkpoint());
    const [, second] = bench.files('.hfx') as [string, string];
    await bench.clock.advance(610_000); // within the first file
    await bench.run(bench.rows.write(new Map([['more', undefined]])));
    await bench.run(database.checkpoint());
    expect(bench.files('.hfx')).not.toContain(second);
    const checkpoints = database.stats().checkpoints;
    await bench.clock.advance(400_000);
    expect(bench.events).toContain('database.scrubbed');
    expect(database.damages()).toEqual([]);
    expect(database.stats()).toMatchObject({ checkpoints, integrity: { found: 0 } });
  });
});

describe('metadata', () => {
  it('that cannot be looked at for want of file handles is not damaged', async () => {
    const bench = new Bench();
    const database = await bench.filled();
    for (const kind of ['/layout', '/manifest']) {
      const path = (name: string): boolean => name.includes(kind);
      const fault = bench.fs.disk.faults.plan({ effect: 'EMFILE', times: Infinity, path });
      await bench.run(database.scrub());
      expect(fault.fired).toBeGreaterThan(0);
      fault.remove();
    }
    expect(database.stats().integrity.found).toBe(0);
    expect(database.state).toBe('open');
  });

  it('that could not be mended and is whole again is no damage any more', async () => {
    const bench = new Bench();
    const database = await bench.filled();
    const layout = bench.fs.disk.content('/data/layout.json');
    bench.fs.disk.truncateFile('/data/layout.json', 20);
    const path = (name: string): boolean => name.includes('/layout');
    const fault = bench.fs.disk.faults.plan({ effect: 'ENOSPC', times: Infinity, path });
    await bench.run(database.scrub());
    fault.remove();
    expect(database.stats().integrity).toEqual({ found: 1, repaired: 0, quarantined: 1 });
    bench.fs.disk.replaceContent('/data/layout.json', layout); // by a person
    await bench.run(database.scrub());
    expect(database.stats().integrity).toEqual({ found: 1, repaired: 1, quarantined: 0 });
  });
});

describe('damaged extents', () => {
  it('are made anew from the log, without being asked, and the file goes', async () => {
    const bench = new Bench();
    await bench.filled();
    bench.kill();
    const [file] = bench.files('.hfx') as [string];
    bench.fs.disk.flipBit(file, 70_000, 1);
    const database = await bench.open();
    await expect(bench.read('k3')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await bench.clock.advance(10_000);
    await bench.expectAllThere();
    expect(database.damages()).toMatchObject([
      { path: file, owner: 'k3', state: 'repaired' },
      { path: file, owner: 'k4', state: 'repaired' },
      { path: file, owner: 'k5', state: 'repaired' },
      { path: file, owner: 'k6', state: 'repaired' },
    ]);
    expect(database.stats().integrity).toMatchObject({ repaired: 4, quarantined: 0 });
    expect(bench.files('.hfx')).not.toContain(file);
    await bench.run(database.close());
    expect((await bench.verify()).problems).toEqual([]);
  });

  it('of a file that is gone at the start are made anew from the log, in both lives', async () => {
    const bench = new Bench();
    await bench.filled();
    bench.kill();
    const [file] = bench.files('.hfx') as [string];
    bench.fs.disk.deleteFile(file);
    const database = await bench.open();
    expect(database.damages()).toMatchObject([
      { kind: 'missing', path: file, state: 'quarantined', shard: 0 },
    ]);
    await expect(bench.read('k0')).rejects.toMatchObject({ code: 'FILE_MISSING' });
    expect(await bench.read('small')).toBe('row');
    await bench.write('new', large(9)); // everything else goes on
    await bench.run(database.scrub());
    await bench.expectAllThere();
    expect(database.stats().integrity.quarantined).toBe(0);
    await bench.run(database.close());
    const again = await bench.open();
    await bench.expectAllThere();
    expect(await bench.read('new')).toBe(large(9));
    await bench.run(again.close());
    expect((await bench.verify()).problems).toEqual([]);
  });

  it('that the log has let go stay lost by name, in this life and the next, until they are deleted', async () => {
    const bench = new Bench();
    const first = await bench.filled({ segmentTargetBytes: 64 * 1024 });
    await bench.run(first.close());
    const [file] = bench.files('.hfx') as [string];
    bench.fs.disk.flipBit(file, 70_000, 1);
    const lost = ['k3', 'k4', 'k5', 'k6'];
    for (let life = 0; life < 2; life++) {
      const database = await bench.open();
      await bench.write('life', String(life));
      await bench.run(database.checkpoint()); // the log of the life before goes
      await bench.run(database.scrub());
      const named = database.damages();
      expect(named.map(({ owner, state }) => [owner, state])).toEqual(
        lost.map((owner) => [owner, 'quarantined']),
      );
      for (const key of lost) {
        await expect(bench.read(key)).rejects.toMatchObject({
          code: 'CHECKSUM_MISMATCH',
          details: { path: file },
        });
      }
      expect(await bench.read('k0')).toBe(large(0));
      expect(database.state).toBe('open');
      await bench.run(database.close());
    }
    const database = await bench.open();
    const all = [...lost, 'k0', 'k1', 'k2', 'k7'];
    await bench.run(bench.rows.write(new Map(all.map((key) => [key, undefined]))));
    await bench.run(database.checkpoint());
    await bench.run(database.scrub());
    expect(bench.files('.hfx')).toEqual([]);
    expect(database.stats().integrity.quarantined).toBe(0);
  });

  it('whose file lost its name while it was open, or its footer, are where they were', async () => {
    const bench = new Bench();
    const database = await bench.filled();
    const [file] = bench.files('.hfx') as [string];
    bench.fs.disk.deleteFile(file);
    await bench.expectAllThere();
    await bench.run(database.scrub());
    expect(bench.files('.hfx')).toEqual([file]);
    bench.fs.disk.flipBit(file, bench.fs.disk.content(file).length - 5, 0);
    await bench.run(database.scrub());
    expect(database.stats().integrity).toEqual({ found: 2, repaired: 2, quarantined: 0 });
    await bench.run(database.close());
    expect((await bench.verify()).problems).toEqual([]);
  });

  it('are looked for once, however often readers come back for them', async () => {
    const bench = new Bench();
    const first = await bench.filled({ segmentTargetBytes: 64 * 1024 });
    await bench.run(first.close());
    const database = await bench.open();
    await bench.write('x', 'y');
    await bench.run(database.checkpoint());
    const [file] = bench.files('.hfx') as [string];
    bench.fs.disk.flipBit(file, 70_000, 1);
    await bench.read('k3').catch(() => undefined);
    await bench.clock.advance(60_000);
    const reads = bench.fs.disk.calls('read');
    for (let i = 0; i < 20; i++) {
      await bench.read('k3').catch(() => undefined);
      await bench.clock.advance(1_000);
    }
    expect(bench.fs.disk.calls('read') - reads).toBe(20);
    expect(bench.events.filter((event) => event === 'database.fileDamaged')).toHaveLength(4);
  });
});

describe('a power cut', () => {
  it('at any call of a scrub that mends everything at once loses nothing, and the next one ends it', async () => {
    const template = new Bench();
    const first = await template.filled();
    await template.run(first.scrub());
    template.kill();
    const { disk } = template.fs;
    const [table] = template.files('.hft') as [string];
    const [extents] = template.files('.hfx') as [string];
    disk.flipBit(table, 90, 1);
    disk.flipBit(`${table}.mirror`, disk.content(table).length - 40, 1); // another block
    disk.flipBit(extents, 70_000, 1);
    disk.truncateFile('/data/layout.json', 10);
    let cuts = 0;
    for (let nth = 1; ; nth++) {
      const bench = new Bench();
      bench.fs = new SimFs({ disk: disk.clone() });
      const database = await bench.open({ scrubIntervalMs: 0 });
      const fault = bench.fs.disk.faults.plan({ effect: 'halt', nth, performed: nth % 2 === 0 });
      await bench.run(database.scrub().catch(() => undefined));
      if (fault.fired === 0) break;
      cuts++;
      fault.remove();
      bench.clock = bench.clock.nextIncarnation();
      bench.fs = bench.fs.powerCut(new SeededRandom(nth));
      const again = await bench.open();
      await bench.run(again.scrub());
      await bench.expectAllThere();
      expect(again.stats().integrity.quarantined, `call ${nth}`).toBe(0);
      expect(await bench.run(again.verify()), `call ${nth}`).toEqual([]);
      await bench.run(again.close());
    }
    expect(cuts).toBeGreaterThan(60);
  }, 60_000);
});

describe('a damaged segment of the log', () => {
  for (const which of ['oldest', 'active'] as const) {
    it(`that is the ${which} one is not needed any more after the checkpoint it causes`, async () => {
      const bench = new Bench();
      const database = await bench.open({ segmentTargetBytes: 32 * 1024, preallocateBytes: 8192 });
      await bench.write('small', 'row');
      for (let i = 0; i < 8; i++) await bench.write(`k${i}`, large(i));
      const segments = bench.files('.seg');
      expect(segments.length).toBeGreaterThan(2);
      const victim = segments.at(which === 'oldest' ? 0 : -1) as string;
      bench.fs.disk.flipBit(victim, 4096 + 130, 1);
      const { damages } = await bench.run(database.scrub());
      expect(damages).toMatchObject([{ path: victim, state: 'repaired' }]);
      expect(damages[0]?.firstLsn).toBeGreaterThan(0);
      expect(bench.files('.seg')).not.toContain(victim);
      expect(database.state).toBe('open');
      bench.kill();
      await bench.open();
      await bench.expectAllThere();
    });
  }

  it('goes from the list of damages with the checkpoint that comes later, as a manifest does that was replaced', async () => {
    const bench = new Bench();
    const database = await bench.open({ segmentTargetBytes: 32 * 1024, preallocateBytes: 8192 });
    await bench.write('small', 'row');
    for (let i = 0; i < 8; i++) await bench.write(`k${i}`, large(i));
    bench.fs.disk.flipBit(bench.files('.seg')[0] as string, 4096 + 130, 1);
    bench.fs.disk.flipBit(
      bench.files('.mirror').find((path) => path.includes('/manifest-')) as string,
      90,
      1,
    );
    const path = (name: string): boolean => name.includes('/manifest-');
    const fault = bench.fs.disk.faults.plan({ effect: 'ENOSPC', times: Infinity, path });
    await bench.run(database.scrub());
    fault.remove();
    expect(database.stats().integrity).toEqual({ found: 2, repaired: 0, quarantined: 2 });
    await bench.run(database.checkpoint());
    await bench.run(database.scrub());
    expect(database.stats().integrity).toEqual({ found: 2, repaired: 0, quarantined: 0 });
  });
});
