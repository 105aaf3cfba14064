import { readExactly, writeFully, type FileSystem } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from './seeded-random.ts';
import { SimClock } from './sim-clock.ts';
import { SimDeadError, isSimDead } from './sim-disk.ts';
import { SimFs } from './sim-fs.ts';

const SECTOR = 512;
const SEEDS = 300;

function sectors(...fills: number[]): Buffer {
  return Buffer.concat(fills.map((fill) => Buffer.alloc(SECTOR, fill)));
}

/** What a restarted process finds: file contents by path. */
function image(fs: SimFs): Map<string, Buffer> {
  return new Map(fs.disk.paths().map((path) => [path, fs.disk.content(path)]));
}

async function put(fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'create');
  await writeFully(file, bytes, 0);
  await file.datasync();
  await file.close();
  await fs.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
}

describe('power cut: bytes', () => {
  it('keeps every synced byte', async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      const file = await fs.open('/a', 'create');
      await fs.syncDirectory('/');
      await writeFully(file, sectors(1, 2, 3), 0);
      await file.datasync();
      await writeFully(file, sectors(9), 3 * SECTOR);
      const next = fs.powerCut(new SeededRandom(seed));
      const after = next.disk.content('/a');
      expect(after.subarray(0, 3 * SECTOR).equals(sectors(1, 2, 3))).toBe(true);
      expect(next.disk.durableContent('/a').equals(after)).toBe(true);
    }
  });

  it('leaves every subset of unsynced sectors, and nothing but old or new contents', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1, 1, 1));
      const file = await fs.open('/a', 'write');
      await writeFully(file, sectors(2, 2, 2), 0);
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      const fills = [0, 1, 2].map((i) => after[i * SECTOR]);
      expect(after.equals(sectors(...(fills as number[])))).toBe(true);
      seen.add(fills.join(''));
    }
    expect([...seen].sort()).toEqual(['111', '112', '121', '122', '211', '212', '221', '222']);
  });

  it('may leave what a sector held between two writes, never parts out of order', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1));
      const file = await fs.open('/a', 'write');
      await writeFully(file, Buffer.from([2]), 0);
      await writeFully(file, Buffer.from([3]), 1);
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      seen.add(`${after[0]}${after[1]}`);
    }
    expect([...seen].sort()).toEqual(['11', '21', '23']);
  });

  it('leaves any size the file had, apart from its sectors', async () => {
    const sizes = new Set<number>();
    let zeroTail = false;
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1));
      const file = await fs.open('/a', 'write');
      await writeFully(file, sectors(2), SECTOR);
      await writeFully(file, sectors(3), 2 * SECTOR);
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      sizes.add(after.length);
      zeroTail ||= after.length === 3 * SECTOR && after[2 * SECTOR] === 0;
    }
    expect([...sizes].sort((a, b) => a - b)).toEqual([SECTOR, 2 * SECTOR, 3 * SECTOR]);
    expect(zeroTail).toBe(true);
  });

  it('takes an unsynced truncation back or keeps it; a synced one stays', async () => {
    const unsynced = new Set<number>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1, 2));
      await put(fs, '/b', sectors(1, 2));
      await (await fs.open('/a', 'write')).truncate(10);
      const cutShort = await fs.open('/b', 'write');
      await cutShort.truncate(10);
      await cutShort.datasync();
      const { disk } = fs.powerCut(new SeededRandom(seed));
      unsynced.add(disk.content('/a').length);
      expect(disk.content('/b')).toEqual(Buffer.alloc(10, 1));
      expect(disk.content('/a').subarray(0, 10)).toEqual(Buffer.alloc(10, 1));
    }
    expect([...unsynced].sort((a, b) => a - b)).toEqual([10, 2 * SECTOR]);
  });

  it('a sync covers what was written before it was asked for, not what came later', async () => {
    let lost = false;
    for (let seed = 0; seed < SEEDS; seed++) {
      const clock = new SimClock(new SeededRandom(seed));
      const fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
      const after = await clock.run(
        (async () => {
          const file = await fs.open('/a', 'create');
          await fs.syncDirectory('/');
          await file.write(sectors(1), 0);
          const synced = file.datasync();
          file.writeSync(sectors(2), SECTOR);
          await synced;
          return fs.powerCut(new SeededRandom(seed)).disk.content('/a');
        })(),
      );
      expect(after.subarray(0, SECTOR)).toEqual(sectors(1));
      lost ||= after.length === SECTOR;
    }
    expect(lost).toBe(true);
  });
});

describe('power cut: zeros', () => {
  it('loses or keeps zeros written over data, sector by sector, as any other bytes', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1, 1));
      await writeFully(await fs.open('/a', 'write'), sectors(0, 0), 0);
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      seen.add(`${after[0]}${after[SECTOR]}`);
    }
    expect([...seen].sort()).toEqual(['00', '01', '10', '11']);
  });

  it('a file that was cut and grown again shows zeros or what it held, nothing else', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1, 1));
      const file = await fs.open('/a', 'write');
      await file.truncate(SECTOR);
      await file.truncate(2 * SECTOR);
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      expect(after.subarray(0, SECTOR).equals(sectors(1))).toBe(true);
      seen.add(`${after.length / SECTOR}:${after[SECTOR] ?? '-'}`);
    }
    expect([...seen].sort()).toEqual(['1:-', '2:0', '2:1']);
  });
});

describe('power cut: names', () => {
  it('a file that was renamed twice is found under exactly one of its names', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/x', sectors(1));
      await fs.rename('/x', '/y');
      await fs.rename('/y', '/z');
      seen.add(fs.powerCut(new SeededRandom(seed)).disk.paths().join());
    }
    expect([...seen].sort()).toEqual(['/x', '/y', '/z']);
  });

  it('a sync of a folder covers the names made before it was asked for, not later ones', async () => {
    const late = new Set<boolean>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const clock = new SimClock(new SeededRandom(seed));
      const fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
      const work = async (): Promise<string[]> => {
        await fs.open('/early', 'create');
        await Promise.all([fs.syncDirectory('/'), fs.open('/late', 'create')]);
        return fs.powerCut(new SeededRandom(seed)).disk.paths();
      };
      const paths = await clock.run(work());
      expect(paths).toContain('/early');
      late.add(paths.includes('/late'));
    }
    expect(late.size).toBe(2);
  });

  it('a name made while a sync of its folder is under way is never taken for synced', async () => {
    const gate: (() => void)[] = [];
    let gated = false;
    const fs = new SimFs({
      yieldPoint: () => (gated ? new Promise((resolve) => gate.push(resolve)) : Promise.resolve()),
    });
    await fs.makeDirectory('/d');
    gated = true;
    const synced = fs.syncDirectory('/d');
    gated = false;
    await fs.open('/d/late', 'create');
    gate[0]?.();
    await synced;
    const survivors = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const copy = new SimFs({ disk: fs.disk.clone() });
      survivors.add(copy.powerCut(new SeededRandom(seed)).disk.paths().join());
    }
    expect([...survivors].sort()).toEqual(['', '/d/late']);
  });

  it('keeps synced names and leaves every subset of unsynced ones', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await fs.makeDirectory('/d');
      await put(fs, '/d/kept', sectors(1));
      await put(fs, '/d/gone', sectors(1));
      await fs.open('/d/new', 'create');
      await fs.unlink('/d/gone');
      const names = await fs.powerCut(new SeededRandom(seed)).list('/d');
      expect(names).toContain('kept');
      seen.add(names.sort().join());
    }
    expect([...seen].sort()).toEqual(['gone,kept', 'gone,kept,new', 'kept', 'kept,new']);
  });

  it('a datasync does not make the name durable', async () => {
    let lost = 0;
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      const file = await fs.open('/a', 'create');
      await writeFully(file, sectors(1), 0);
      await file.datasync();
      if (fs.powerCut(new SeededRandom(seed)).disk.paths().length === 0) lost++;
    }
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(SEEDS);
  });

  it('a rename happened or did not: the target is the old or the new file', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await put(fs, '/manifest', Buffer.from('old'));
      await put(fs, '/draft', Buffer.from('new'));
      await fs.rename('/draft', '/manifest');
      const found = image(fs.powerCut(new SeededRandom(seed)));
      seen.add([...found].map(([path, bytes]) => `${path}=${bytes.toString()}`).join());
    }
    expect([...seen].sort()).toEqual(['/draft=new,/manifest=old', '/manifest=new']);
  });

  it('a rename without a sync of the bytes may leave an empty file', async () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      const file = await fs.open('/draft', 'create');
      await writeFully(file, sectors(1), 0);
      await fs.rename('/draft', '/manifest');
      await fs.syncDirectory('/');
      seen.add(fs.powerCut(new SeededRandom(seed)).disk.content('/manifest').length);
    }
    expect(seen).toEqual(new Set([0, SECTOR]));
  });

  it('a sync of one folder makes a rename into it durable whole, and leaves other names', async () => {
    const others = new Set<boolean>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await fs.makeDirectory('/from');
      await fs.makeDirectory('/to');
      const file = await fs.open('/from/draft', 'create');
      await file.datasync();
      await fs.open('/from/other', 'create');
      await fs.rename('/from/draft', '/to/final');
      await fs.syncDirectory('/to');
      const paths = fs.powerCut(new SeededRandom(seed)).disk.paths();
      expect(paths).toContain('/to/final');
      expect(paths).not.toContain('/from/draft');
      others.add(paths.includes('/from/other'));
    }
    expect(others.size).toBe(2);
  });

  it('makeDirectory is durable when it resolves', async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs();
      await fs.makeDirectory('/a/b/c');
      const next = fs.powerCut(new SeededRandom(seed));
      expect((await next.stat('/a/b/c'))?.kind).toBe('directory');
    }
  });
});

describe('lives', () => {
  it('after a power cut the old life can do nothing, for ever', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    const file = await fs.open('/a', 'write');
    const next = fs.powerCut(new SeededRandom(1));
    for (const call of [
      () => fs.open('/b', 'create'),
      () => fs.unlink('/a'),
      () => fs.makeDirectory('/d'),
      () => file.write(sectors(2), 0),
      () => file.truncate(0),
      () => file.datasync(),
      async () => file.writeSync(sectors(2), 0),
    ]) {
      await expect(call()).rejects.toThrow(SimDeadError);
    }
    await file.close();
    expect(fs.alive).toBe(false);
    expect(image(next)).toEqual(new Map([['/a', sectors(1)]]));
    expect(isSimDead(new Error('wrapped', { cause: new SimDeadError() }))).toBe(true);
    expect(isSimDead(new Error('other'))).toBe(false);
  });

  it('a kill keeps what was written, and releases locks', async () => {
    const fs = new SimFs();
    await fs.makeDirectory('/d');
    const lock = await fs.lockDirectory('/d');
    const file = await fs.open('/d/a', 'create');
    await writeFully(file, sectors(1), 0);
    const next = fs.kill();
    expect(image(next)).toEqual(new Map([['/d/a', sectors(1)]]));
    const nextLock = await next.lockDirectory('/d');
    await lock.release(); // the dead owner takes nothing from the living one
    await expect(next.lockDirectory('/d')).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' });
    await nextLock.release();
    // Still only in the page cache: a power cut after the restart may lose it.
    const sizes = new Set<number>();
    for (let seed = 0; seed < SEEDS; seed++) {
      const copy = new SimFs({ disk: next.disk.clone() });
      await copy.syncDirectory('/d');
      sizes.add(copy.powerCut(new SeededRandom(seed)).disk.content('/d/a').length);
    }
    expect(sizes).toEqual(new Set([0, SECTOR]));
  });

  it('a call in flight at the cut has no effect and never succeeds', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const clock = new SimClock(new SeededRandom(seed));
      const fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
      const outcome = fs.open('/a', 'create').then(
        () => 'opened',
        (error: unknown) => (isSimDead(error) ? 'dead' : 'other'),
      );
      const next = fs.powerCut(new SeededRandom(seed));
      expect(await clock.run(outcome)).toBe('dead');
      expect(next.disk.paths()).toEqual([]);
    }
  });

  it('a cloned disk goes its own way', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    const copy = new SimFs({ disk: fs.disk.clone() });
    await writeFully(await copy.open('/a', 'write'), sectors(2), 0);
    await fs.unlink('/a');
    expect(fs.disk.paths()).toEqual([]);
    expect(copy.disk.content('/a')).toEqual(sectors(2));
  });
});

describe('faults', () => {
  it('hits the n-th call of its kind, once, and says that it fired', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    const file = await fs.open('/a', 'read');
    const fault = fs.disk.faults.plan({ effect: 'EIO', nth: 2, operations: ['read'] });
    await file.read(Buffer.alloc(1), 0);
    await file.size();
    expect(fault.fired).toBe(0);
    await expect(file.read(Buffer.alloc(1), 0)).rejects.toMatchObject({ code: 'EIO' });
    await file.read(Buffer.alloc(1), 0);
    expect(fault.fired).toBe(1);
  });

  it('can stay until it is removed, and be bound to a path', async () => {
    const fs = new SimFs();
    const fault = fs.disk.faults.plan({
      effect: 'EMFILE',
      times: Infinity,
      path: (path) => path.startsWith('/hurt'),
    });
    await fs.open('/well', 'create');
    for (let i = 0; i < 3; i++) {
      await expect(fs.open('/hurt', 'create')).rejects.toMatchObject({ code: 'EMFILE' });
    }
    fault.remove();
    await fs.open('/hurt', 'create');
    expect(fault.fired).toBe(3);
  });

  it('a short write writes fewer bytes without an error', async () => {
    const fs = new SimFs();
    const file = await fs.open('/a', 'create');
    fs.disk.faults.plan({ effect: 'short-write', bytes: 3 });
    expect(file.writeSync(Buffer.from('abcdef'), 0)).toBe(3);
    expect(fs.disk.content('/a').toString()).toBe('abc');
    fs.disk.faults.plan({ effect: 'short-write', times: 2 });
    await writeFully(file, Buffer.from('abcdef'), 0);
    expect(fs.disk.content('/a').toString()).toBe('abcdef');
  });

  it('a failed write may have written a part', async () => {
    const fs = new SimFs();
    const file = await fs.open('/a', 'create');
    fs.disk.faults.plan({ effect: 'EIO', operations: ['write'] });
    expect(() => file.writeSync(Buffer.from('abcdef'), 0)).toThrow(/EIO/);
    expect(fs.disk.content('/a').toString()).toBe('abc');
  });

  it('a sync that lied has lost the bytes although reads see them and the next sync succeeds', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const fs = new SimFs();
      await put(fs, '/a', sectors(1, 1));
      const file = await fs.open('/a', 'write');
      await writeFully(file, sectors(2), 0);
      fs.disk.faults.plan({ effect: 'lying-sync' });
      await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
      expect(await readExactly(file, 0, SECTOR)).toEqual(sectors(2));
      await writeFully(file, sectors(3), SECTOR);
      await file.datasync();
      const after = fs.powerCut(new SeededRandom(seed)).disk.content('/a');
      expect(after).toEqual(sectors(1, 3));
    }
  });

  it('after a sync that lied the file may have its new size, with nothing in it', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    const file = await fs.open('/a', 'write');
    await writeFully(file, sectors(2), SECTOR);
    fs.disk.faults.plan({ effect: 'lying-sync' });
    await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
    await file.datasync();
    expect(fs.powerCut(new SeededRandom(1)).disk.content('/a')).toEqual(sectors(1, 0));
  });

  it('a halt ends the process at that call, before or after its effect', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    fs.disk.faults.plan({ effect: 'halt', operations: ['unlink'] });
    await expect(fs.unlink('/a')).rejects.toThrow(SimDeadError);
    await expect(fs.list('/')).rejects.toThrow(SimDeadError);
    const next = fs.kill();
    expect(await next.list('/')).toEqual(['a']);
    next.disk.faults.plan({ effect: 'halt', operations: ['unlink'], performed: true });
    await expect(next.unlink('/a')).rejects.toThrow(SimDeadError);
    expect(await next.kill().list('/')).toEqual([]);
  });

  it('an error after the effect leaves the effect', async () => {
    const fs = new SimFs();
    await put(fs, '/a', sectors(1));
    fs.disk.faults.plan({ effect: 'EIO', operations: ['rename'], performed: true });
    await expect(fs.rename('/a', '/b')).rejects.toMatchObject({ code: 'EIO' });
    expect(fs.disk.paths()).toEqual(['/b']);
  });
});

describe('capacity', () => {
  it('writes up to the boundary, then ENOSPC; goes on when there is space again', async () => {
    const fs = new SimFs({ capacityBytes: 1000 });
    const file = await fs.open('/a', 'create');
    expect(file.writeSync(Buffer.alloc(900, 1), 0)).toBe(900);
    expect(file.writeSync(Buffer.alloc(900, 1), 900)).toBe(100);
    expect(() => file.writeSync(Buffer.alloc(1), 1000)).toThrow(/ENOSPC/);
    await expect(file.truncate(1001)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(file.writeSync(Buffer.alloc(1000, 2), 0)).toBe(1000);
    expect(await fs.freeBytes('/')).toBe(0);
    fs.disk.capacityBytes = 1500;
    expect(await fs.freeBytes('/')).toBe(500);
    expect(file.writeSync(Buffer.alloc(1), 1000)).toBe(1);
  });

  it('space of an unlinked file comes back when its last handle closes', async () => {
    const fs = new SimFs({ capacityBytes: 1000 });
    await put(fs, '/a', Buffer.alloc(600));
    const held = await fs.open('/a', 'read');
    await fs.unlink('/a');
    expect(await fs.freeBytes('/')).toBe(400);
    await held.close();
    expect(await fs.freeBytes('/')).toBe(1000);
    await put(fs, '/b', Buffer.alloc(600));
    await put(fs, '/c', Buffer.alloc(400));
    await fs.rename('/c', '/b');
    expect(await fs.freeBytes('/')).toBe(600);
  });

  it('counts the same space after any cut as a fresh look at the disk', async () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const fs = new SimFs({ capacityBytes: 100_000 });
      await put(fs, '/a', sectors(1, 2));
      const file = await fs.open('/a', 'write');
      await writeFully(file, sectors(3, 4), 2 * SECTOR);
      await fs.unlink('/a');
      const next = fs.powerCut(new SeededRandom(seed));
      for (const path of next.disk.paths()) await (await next.open(path, 'read')).close();
      const sizes = [...image(next).values()].reduce((sum, bytes) => sum + bytes.length, 0);
      expect(next.disk.usedBytes).toBe(sizes);
    }
  });
});

describe('rot', () => {
  it('flips, truncates, deletes, swaps and duplicates behind everybody, through power cuts', async () => {
    const fs = new SimFs();
    for (const name of ['a', 'b', 'c', 'd']) await put(fs, `/${name}`, Buffer.from(name.repeat(4)));
    fs.disk.flipBit('/a', 1, 1);
    fs.disk.truncateFile('/b', 2);
    fs.disk.deleteFile('/c');
    fs.disk.duplicateFile('/d', '/e');
    fs.disk.swapFiles('/a', '/b');
    const next = fs.powerCut(new SeededRandom(1));
    expect([...image(next)].map(([path, bytes]) => `${path}=${bytes.toString()}`)).toEqual([
      '/a=bb',
      '/b=acaa',
      '/d=dddd',
      '/e=dddd',
    ]);
    expect(() => next.disk.flipBit('/a', 2, 0)).toThrow(RangeError);
    expect(next.disk.usedBytes).toBe(14);
  });
});

describe('one seed, one history', () => {
  /** Several writers, interleaved, with faults, cuts and restarts. */
  async function history(seed: number): Promise<string> {
    const random = new SeededRandom(seed);
    let clock = new SimClock(random.fork());
    let fs = new SimFs({ yieldPoint: () => clock.yieldPoint() });
    const work = random.fork();
    const writer = async (name: string): Promise<void> => {
      const file = await fs.open(`/${name}`, 'create');
      for (let i = 0; i < 10; i++) {
        await file.write(work.bytes(work.between(1, 2000)), work.integer(4000));
        if (work.chance(0.3)) await file.datasync();
        if (work.chance(0.1)) await fs.syncDirectory('/');
      }
    };
    for (let life = 0; life < 3; life++) {
      fs.disk.faults.plan({ effect: 'EIO', nth: work.between(1, 60) });
      const writers = ['x', 'y', 'z'].map((name) => writer(`${name}${life}`));
      await clock.run(Promise.allSettled(writers));
      clock = clock.nextIncarnation();
      const world = clock;
      fs = fs.powerCut(random, { yieldPoint: () => world.yieldPoint() });
    }
    const bytes = [...image(fs)].map(([path, content]) => path + content.toString('hex')).join();
    return `${fs.disk.traceHash()} ${clock.traceHash()} ${fs.disk.calls()} ${bytes}`;
  }

  it('gives the same trace and the same bytes twice', async () => {
    for (let seed = 0; seed < 10; seed++) expect(await history(seed)).toBe(await history(seed));
  });

  it('another seed gives another trace', async () => {
    const hashes = new Set<string>();
    for (let seed = 0; seed < 10; seed++) hashes.add((await history(seed)).slice(0, 20));
    expect(hashes.size).toBe(10);
  });
});
