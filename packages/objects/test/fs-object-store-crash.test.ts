/**
 * The fs store on a disk that fails, fills up and loses power, against a model of what may be
 * there. What a read has shown must still be there after the next power cut.
 */
import { HoldfastError, hasCode, isHoldfastError } from '@holdfast/core';
import { type ObjectStore, openFsObjectStore, readObject } from '@holdfast/objects';
import { type FaultEffect, runHistories, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { expect, it } from 'vitest';

const KEYS = ['a', 'a/b', 'folder/one', 'folder/two', 'Deep/er/\u00e9'];
const STEPS = 40;
const HISTORIES = 150;

class History {
  readonly random: SeededRandom;
  readonly #seed: number;
  #fileSystem: SimFs = new SimFs();
  #store!: ObjectStore;
  /** For each key what it may hold: contents, or `undefined` for no object. */
  readonly #possible = new Map<string, Set<string | undefined>>();
  #writes = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.random = new SeededRandom(seed);
    for (const key of KEYS) this.#possible.set(key, new Set([undefined]));
  }

  async run(): Promise<void> {
    await this.#open();
    for (let step = 0; step < STEPS; step++) {
      if (this.random.chance(0.3)) this.#planFault();
      await this.#change();
      this.#fileSystem.disk.faults.clear();
      if (!this.#fileSystem.alive || this.random.chance(0.1)) await this.#restart();
      if (this.random.chance(0.4)) await this.#look();
    }
    await this.#restart();
    await this.#look();
    await this.#restart();
    await this.#look();
  }

  #planFault(): void {
    const effect = this.random.pick<FaultEffect>([
      'halt',
      'halt',
      'EIO',
      'EIO',
      'ENOSPC',
      'EMFILE',
      'EACCES',
      'short-write',
      'lying-sync',
    ]);
    const nth = this.random.between(1, 12);
    this.#fileSystem.disk.faults.plan({
      effect,
      nth,
      performed: this.random.chance(0.5),
      // A lock that is taken although the call failed is held as long as the process lives.
      path: (path) => !path.includes('/locks'),
    });
  }

  async #change(): Promise<void> {
    const key = this.random.pick(KEYS);
    const possible = this.#at(key);
    const content = `${++this.#writes}:${'x'.repeat(this.random.between(0, 3_000))}`;
    const kind = this.random.pick(['put', 'put', 'ifAbsent', 'ifMatch', 'delete'] as const);
    const after = kind === 'delete' ? undefined : content;
    try {
      if (kind === 'delete') {
        await this.#store.delete(key);
      } else if (kind === 'ifMatch') {
        const { etag } = await this.#store.head(key);
        await this.#store.put(key, Buffer.from(content), { ifMatch: etag });
        expect([...possible].some((each) => each !== undefined)).toBe(true);
      } else {
        const ifAbsent = kind === 'ifAbsent';
        await this.#store.put(key, Buffer.from(content), { ifAbsent });
        if (ifAbsent) expect(possible.has(undefined), `${key} was there`).toBe(true);
      }
      this.#possible.set(key, new Set([after]));
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'INVARIANT_VIOLATED') throw error;
      if (error.effect === 'unknown' || !this.#fileSystem.alive) possible.add(after);
      if (error.code === 'OBJECT_NOT_FOUND') this.#possible.set(key, new Set([undefined]));
      if (error.code === 'PRECONDITION_FAILED' && kind === 'ifAbsent') {
        possible.delete(undefined);
        expect(possible.size, `${key} was not there`).toBeGreaterThan(0);
      }
    }
    if (await this.#isFailed()) await this.#open();
  }

  async #isFailed(): Promise<boolean> {
    if (!this.#fileSystem.alive) return false;
    try {
      await this.#store.head('never-there');
      return true;
    } catch (error) {
      return !hasCode(error, 'OBJECT_NOT_FOUND');
    }
  }

  /** Reads everything, and takes what it saw for the truth from now on. */
  async #look(): Promise<void> {
    const listed = (await this.#store.list()).objects.map((object) => object.key);
    for (const key of KEYS) {
      const possible = this.#at(key);
      let found: string | undefined;
      try {
        found = (await readObject(this.#store, key, { maxBytes: 10_000 })).toString();
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error;
      }
      expect(possible.has(found), `${key}: ${String(found).slice(0, 10)}`).toBe(true);
      expect(listed.includes(key), `${key} listed`).toBe(found !== undefined);
      this.#possible.set(key, new Set([found]));
    }
  }

  async #restart(): Promise<void> {
    this.#fileSystem = this.random.chance(0.7)
      ? this.#fileSystem.powerCut(this.random)
      : this.#fileSystem.kill();
    await this.#open();
    if (this.random.chance(0.5)) await this.#store.removeLeftovers({ olderThanMs: -1 });
  }

  async #open(): Promise<void> {
    const clock = new SimClock(new SeededRandom(this.#seed));
    const components = { fileSystem: this.#fileSystem, clock, random: this.random };
    for (;;) {
      try {
        this.#store = await openFsObjectStore({ directory: '/data' }, components);
        return;
      } catch (error) {
        if (!this.#fileSystem.alive) return; // the history restarts
        if (!(error instanceof HoldfastError)) throw error;
        this.#fileSystem.disk.faults.clear();
      }
    }
  }

  #at(key: string): Set<string | undefined> {
    return this.#possible.get(key) as Set<string | undefined>;
  }
}

it('holds what was acknowledged and shows nothing half, whatever the disk does', async () => {
  const command = 'npx vitest run packages/objects/test/fs-object-store-crash.test.ts # seed';
  await runHistories({ seed: 1, count: HISTORIES }, command, (seed) => new History(seed).run());
});

it('frees what killed puts left, and nothing younger', async () => {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  let fileSystem = new SimFs();
  await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
  for (let times = 0; times < 3; times++) {
    const store = await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
    fileSystem.disk.faults.plan({ effect: 'halt', operations: ['rename'] });
    await expect(store.put('key', Buffer.from('x'))).rejects.toThrow();
    fileSystem = fileSystem.kill();
    await clock.advance(1_000);
  }
  const store = await openFsObjectStore({ directory: '/data' }, { fileSystem, clock, random });
  expect((await fileSystem.list('/data/uploads')).length).toBe(3);
  expect((await store.list()).objects).toEqual([]);
  expect(await store.removeLeftovers({ olderThanMs: 1_500 })).toBe(2);
  expect(await store.removeLeftovers({ olderThanMs: -1 })).toBe(1);
  expect(await fileSystem.list('/data/uploads')).toEqual([]);
});

it('a store whose directory went away is unavailable, not empty', async () => {
  const random = new SeededRandom(1);
  const fileSystem = new SimFs();
  const components = { fileSystem, clock: new SimClock(random), random };
  const store = await openFsObjectStore({ directory: '/mnt/objects' }, components);
  await store.put('key', Buffer.from('x'));
  await fileSystem.rename('/mnt/objects', '/mnt/elsewhere');
  for (const call of [
    () => store.get('key'),
    () => store.head('key'),
    () => store.list(),
    () => store.delete('key'),
    () => store.put('key', Buffer.from('y')),
  ]) {
    await expect(call()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
  }
});

it('a damaged object is named, listed and deletable, and never read', async () => {
  const random = new SeededRandom(1);
  const fileSystem = new SimFs();
  const components = { fileSystem, clock: new SimClock(random), random };
  const store = await openFsObjectStore({ directory: '/data' }, components);
  await store.put('key', Buffer.from('some bytes'));
  const path = '/data/objects/key.obj';
  const file = await fileSystem.open(path, 'write');
  const size = await file.size();
  const whole = Buffer.alloc(size);
  await file.read(whole, 0);
  const restore = async (): Promise<void> => {
    await file.truncate(0);
    await file.write(whole, 0);
  };
  for (let cut = 0; cut < size; cut++) {
    await file.truncate(cut);
    await expect(store.get('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await restore();
  }
  for (let at = 10; at < size; at++) {
    await file.write(Buffer.from([(whole[at] ?? 0) ^ 1]), at);
    await expect(store.head('key')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await restore();
  }
  await file.truncate(3);
  expect((await store.list()).objects).toEqual([{ key: 'key', size: 0 }]);
  await expect(store.put('key', Buffer.from('x'), { ifAbsent: true })).rejects.toMatchObject({
    code: 'PRECONDITION_FAILED',
  });
  await store.delete('key');
  await expect(store.head('key')).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
});
