/** A restore that ends anywhere: there is no target or a whole one, and the next call completes it. */
import {
  HoldfastError,
  isHoldfastError,
  MemoryFileSystem,
  NodeRandom,
  onCut,
  writeFully,
} from '@holdfast/core';
import type { ObjectContent, ObjectStore } from '@holdfast/objects';
import { isSimDead, SeededRandom, SimFs } from '@holdfast/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { RESTORE_CUT_POINTS } from '../src/cut-points.ts';
import { restoreDatabase, type RestoreReport, type RestoreSettings } from '../src/index.ts';
import { BackedUpDatabase, ringOf, rowsIn, StepClock } from './backed-up-database.ts';

const INTO = '/place/restored';

let database: BackedUpDatabase;

beforeAll(async () => {
  database = await BackedUpDatabase.create({ keys: ringOf(4) });
  for (let i = 0; i < 12; i++) await database.write({ [`key ${i}`]: 'x'.repeat(i * 200) });
  await database.snapshot();
  for (let i = 0; i < 12; i++)
    await database.write({ [`key ${i}`]: undefined, [`more ${i}`]: `${i}` });
  await database.archive(5);
});

function restore(
  fileSystem: SimFs | MemoryFileSystem,
  settings: Partial<RestoreSettings> = {},
  objects: ObjectStore = database.store,
  signal?: AbortSignal,
): Promise<RestoreReport> {
  const { keys } = database;
  return restoreDatabase(
    { fileSystem, clock: new StepClock(), random: new NodeRandom(), objects, keys },
    { into: INTO, target: 'latest', ...settings },
    undefined,
    signal,
  );
}

/** Nothing under the target's name, or all of it. */
async function expectNothingOrAll(fileSystem: SimFs): Promise<boolean> {
  const stat = await fileSystem.stat(INTO);
  if (stat === undefined) return false;
  const names = await fileSystem.list(INTO);
  if (names.length === 0) return false;
  expect(await rowsIn(fileSystem, INTO, database.keys)).toEqual({
    lsn: 24,
    rows: database.states.get(24),
  });
  return true;
}

async function expectResumed(fileSystem: SimFs): Promise<void> {
  await restore(fileSystem);
  expect(await expectNothingOrAll(fileSystem)).toBe(true);
  expect(await fileSystem.list('/place')).toEqual(['restored']);
}

/** Resolves to whether the process ended before the restore was through. */
async function ends(fileSystem: SimFs): Promise<boolean> {
  try {
    await restore(fileSystem);
    return false;
  } catch (error) {
    if (fileSystem.alive && !isSimDead(error)) throw error;
    return true;
  }
}

describe('killed at each call to the disk', () => {
  it.each([
    ['the process ends', false],
    ['the power fails', true],
  ])(
    'and %s: nothing or all, then all',
    async (_, powerCut) => {
      const random = new SeededRandom(powerCut ? 1 : 2);
      let lives = 0;
      for (let nth = 1; ; nth++) {
        let fileSystem = new SimFs();
        await fileSystem.makeDirectory(nth % 3 === 0 ? INTO : '/place');
        const plan = { effect: 'halt', nth, performed: nth % 2 === 0 } as const;
        const fault = fileSystem.disk.faults.plan(plan);
        await ends(fileSystem);
        fault.remove();
        fileSystem = powerCut ? fileSystem.powerCut(random) : fileSystem.kill();
        if (!(await expectNothingOrAll(fileSystem))) await expectResumed(fileSystem);
        lives++;
        if (fault.fired === 0) break;
      }
      expect(lives).toBeGreaterThan(200);
    },
    300_000,
  );

  it('again and again, until it is through', async () => {
    const random = new SeededRandom(3);
    let fileSystem = new SimFs();
    await fileSystem.makeDirectory('/place');
    let lives = 0;
    for (let most = 30; !(await expectNothingOrAll(fileSystem)); most += 10) {
      const fault = fileSystem.disk.faults.plan({ effect: 'halt', nth: 1 + random.integer(most) });
      await ends(fileSystem);
      fault.remove();
      fileSystem = fileSystem.powerCut(random);
      lives++;
    }
    expect(lives).toBeGreaterThan(3);
  });
});

it.each(RESTORE_CUT_POINTS)('a kill at %s leaves nothing or all', async (point) => {
  for (const powerCut of [false, true]) {
    for (let seed = 1; seed <= 8; seed++) {
      let fileSystem = new SimFs();
      await fileSystem.makeDirectory(INTO);
      let fired = false;
      const off = onCut((name) => {
        if (name !== point || fired) return;
        fired = true;
        fileSystem.disk.halt();
      });
      await ends(fileSystem).finally(off);
      expect(fired).toBe(true);
      fileSystem = powerCut ? fileSystem.powerCut(new SeededRandom(seed)) : fileSystem.kill();
      if (!(await expectNothingOrAll(fileSystem))) await expectResumed(fileSystem);
    }
  }
});

it('each call to the disk that fails fails the restore, and the next one completes it', async () => {
  for (const effect of ['EIO', 'ENOSPC', 'EMFILE'] as const) {
    for (let nth = 1; ; nth += 3) {
      const fileSystem = new SimFs();
      await fileSystem.makeDirectory('/place');
      const fault = fileSystem.disk.faults.plan({ effect, nth });
      const failed = await restore(fileSystem).then(
        () => false,
        () => true,
      );
      fault.remove();
      if (fault.fired === 0) break;
      if (!failed || (await expectNothingOrAll(fileSystem))) continue;
      await expectResumed(fileSystem);
    }
  }
}, 300_000);

/** The `nth` call fails, or gives only half of a body. */
function failing(nth: number): { readonly store: ObjectStore; readonly fired: () => boolean } {
  let calls = 0;
  const store = new Proxy(database.store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const isDue = ++calls === nth;
        if (isDue && (name !== 'get' || nth % 2 === 0)) throw away();
        const result: unknown = await (value as (...all: unknown[]) => unknown).apply(target, args);
        if (!isDue) return result;
        const content = result as ObjectContent;
        return { ...content, body: half(content), close: () => content.close() };
      };
    },
  });
  return { store, fired: () => calls >= nth };
}

async function* half(content: ObjectContent): AsyncGenerator<Buffer, void, void> {
  for await (const piece of content.body) {
    yield piece.subarray(0, piece.length / 2);
    throw away();
  }
}

function away(): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', 'the object store is away');
}

it('each call to the object store that fails fails the restore; the next one completes it', async () => {
  for (let nth = 1; ; nth++) {
    const fileSystem = new SimFs();
    await fileSystem.makeDirectory('/place');
    const { store, fired } = failing(nth);
    const error: unknown = await restore(fileSystem, {}, store).catch((e: unknown) => e);
    if (!fired()) {
      expect(nth).toBeGreaterThan(20);
      return;
    }
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(await fileSystem.stat(INTO)).toBeUndefined();
    await expectResumed(fileSystem);
  }
}, 300_000);

describe('what is staged', () => {
  /** Objects whose bodies were read. */
  async function fetchedParts(objects: { readonly keys: string[] }): Promise<number> {
    return objects.keys.filter((key) => key.includes('/parts/')).length;
  }

  function counting(keys: string[], abort?: AbortController, after = Infinity): ObjectStore {
    const { store } = database;
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name !== 'get') return value.bind(target) as unknown;
        return (...args: Parameters<ObjectStore['get']>) => {
          keys.push(args[0]);
          if (keys.filter((key) => key.includes('/parts/')).length > after) abort?.abort();
          return target.get(...args);
        };
      },
    });
  }

  it('is kept by an abort, and what is whole of it is not fetched again', async () => {
    const fileSystem = new MemoryFileSystem();
    const first: string[] = [];
    const abort = new AbortController();
    const store = counting(first, abort, 8);
    const error = await restore(fileSystem, {}, store, abort.signal).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'ABORTED', effect: 'none' });
    expect(await fileSystem.list('/place')).toEqual(['restored.restoring']);
    const second: string[] = [];
    await restore(fileSystem, {}, counting(second));
    const all: string[] = [];
    await restore(new MemoryFileSystem(), {}, counting(all));
    expect(await fetchedParts({ keys: second })).toBeLessThan(await fetchedParts({ keys: all }));
    expect((await rowsIn(fileSystem, INTO, database.keys)).rows).toEqual(database.states.get(24));
    const early = restore(fileSystem, {}, database.store, AbortSignal.abort());
    await expect(early).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('is believed only by its digest, and another snapshot begins anew', async () => {
    const fileSystem = new MemoryFileSystem();
    const off = onCut((name) => {
      if (name === 'restore.logWritten') throw new Error('stop');
    });
    await expect(restore(fileSystem)).rejects.toThrow('stop');
    off();
    const dir = `${INTO}.restoring/data`;
    for (const name of await fileSystem.list(dir)) {
      if (!/\.hf[tx]$/.test(name)) continue;
      const file = await fileSystem.open(`${dir}/${name}`, 'write');
      await writeFully(file, Buffer.from('rot'), 100);
      await file.close();
    }
    await (await fileSystem.open(`${dir}/foreign`, 'create')).close();
    await restore(fileSystem);
    expect((await rowsIn(fileSystem, INTO, database.keys)).rows).toEqual(database.states.get(24));
    expect(await fileSystem.list(INTO)).not.toContain('foreign');

    const other = new MemoryFileSystem();
    const offAgain = onCut((name) => {
      if (name === 'restore.logWritten') throw new Error('stop');
    });
    await expect(restore(other)).rejects.toThrow('stop');
    offAgain();
    await restore(other, { target: { lsn: 5 as never } });
    expect((await rowsIn(other, INTO, database.keys)).rows).toEqual(database.states.get(5));
  });
});

describe('a target', () => {
  const NOT_EMPTY = { code: 'RESTORE_TARGET_NOT_EMPTY' };

  it('that holds anything, or is no directory, is refused and left alone', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(INTO);
    await (await fileSystem.open(`${INTO}/mine`, 'create')).close();
    await expect(restore(fileSystem)).rejects.toMatchObject(NOT_EMPTY);
    expect(await fileSystem.list('/place')).toEqual(['restored']);
    await expect(restore(fileSystem, { into: `${INTO}/mine` })).rejects.toMatchObject(NOT_EMPTY);
    await restore(fileSystem, { into: '/place/second/' });
    await expect(restore(fileSystem, { into: '/place/second' })).rejects.toMatchObject(NOT_EMPTY);
  });

  it('whose staging is something else is refused, and that is left alone', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory(`${INTO}.restoring/somebody`);
    await expect(restore(fileSystem)).rejects.toMatchObject(NOT_EMPTY);
    expect(await fileSystem.list(`${INTO}.restoring`)).toEqual(['somebody']);
  });

  it('is restored to by one at a time', async () => {
    const fileSystem = new MemoryFileSystem();
    const results = await Promise.allSettled([restore(fileSystem), restore(fileSystem)]);
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused).toHaveLength(1);
    const reason: unknown = refused[0]?.reason;
    expect(isHoldfastError(reason) && reason.code).toMatch(/DIRECTORY_LOCKED|NOT_EMPTY/);
    expect((await rowsIn(fileSystem, INTO, database.keys)).lsn).toBe(24);
  });

  it('that cannot be replaced, as a mount point, is refused before anything is fetched', async () => {
    const fileSystem = new SimFs();
    await fileSystem.makeDirectory(INTO);
    fileSystem.disk.faults.plan({ effect: 'EACCES', operations: ['removeDirectory'] });
    await expect(restore(fileSystem)).rejects.toMatchObject({ code: 'INVALID_SETTINGS' });
    expect(await fileSystem.list(INTO)).toEqual([]);
    expect(await fileSystem.list(`${INTO}.restoring/data`)).toEqual([]);
  });

  it('on a disk without room for it is refused before anything is fetched', async () => {
    const fileSystem = new SimFs({ capacityBytes: 20_000 });
    await fileSystem.makeDirectory('/place');
    await expect(restore(fileSystem)).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(fileSystem.disk.paths().filter((path) => path.includes('/data/'))).toEqual([]);
  });
});
