/**
 * What every store on a server has to stand, as tests: the server is killed in the middle of
 * writes, or falls silent; stored bytes rot; limits; another writer takes over.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { hasCode, isHoldfastError } from '@holdfast/core';
import type { FencedKvStore, KvStore } from '@holdfast/kv';
import { expect, it } from 'vitest';

export interface FaultyPlace {
  /** Another store of the same place. */
  readonly open: (epoch?: number) => Promise<FencedKvStore>;
  /** `kill -9`, and up again. */
  readonly kill: () => Promise<void>;
  readonly restart: () => Promise<void>;
  /** No answer until `resume`. */
  readonly pause?: () => Promise<void>;
  readonly resume?: () => void;
  /** The stored bytes of the entry, with one bit of them changed. */
  readonly rot: (key: string, at: 'head' | 'value') => Promise<void>;
}

const WRITERS = 8;
const BEFORE_KILL_MS = 250;
const DOWN_MS = 150;
const BACK_MS = 30_000;
const LONG = 120_000;

export function faultTests(newPlace: () => Promise<FaultyPlace>): void {
  it(
    'a server killed in the middle of writes loses nothing that it acknowledged',
    async () => {
      const place = await newPlace();
      const store = await place.open();
      const written = await writeThrough(store, async () => {
        await pause(BEFORE_KILL_MS);
        await place.kill();
        await pause(DOWN_MS);
        await place.restart();
      });
      for (const { key, acknowledged, attempted, certainlyNot } of written) {
        const found = await eventually(() => store.get(key));
        const value = found === undefined ? -1 : Number(Buffer.from(found).toString());
        expect(value, `${key} lost ${acknowledged}`).toBeGreaterThanOrEqual(acknowledged);
        expect(value, `${key} from nowhere`).toBeLessThanOrEqual(attempted);
        expect(certainlyNot.has(value), `${key} has ${value}, which was said not to be`).toBe(
          false,
        );
      }
      await store.close();
    },
    LONG,
  );

  it(
    'bytes that rotted are CHECKSUM_MISMATCH in every read, and can be deleted or replaced',
    async () => {
      const place = await newPlace();
      const store = await place.open();
      for (const key of ['a', 'b', 'c']) await store.put(key, Buffer.from(`value of ${key}`));
      const { version } = (await store.getEntry('b')) as { version: number };
      await place.rot('b', 'value');
      await rejects(store.get('b'), 'CHECKSUM_MISMATCH');
      await rejects(store.getMany(['a', 'b']), 'CHECKSUM_MISMATCH');
      await rejects(keysOf(store), 'CHECKSUM_MISMATCH');
      await rejects(store.page({ order: 'created' }), 'CHECKSUM_MISMATCH');
      expect(String(await store.get('a'))).toBe('value of a');
      const stamp = { seq: version, version: version + 1_000, epoch: 0 };
      await store.put('b', Buffer.from('a copy'), { stamp });
      expect(String(await store.get('b'))).toBe('a copy');
      await place.rot('c', 'head');
      await rejects(store.get('c'), 'CHECKSUM_MISMATCH');
      await rejects(store.put('c', Buffer.from('x'), { ifAbsent: true }), 'CHECKSUM_MISMATCH');
      await store.del('c');
      expect(await keysOf(store)).toEqual(['a', 'b']);
      await store.put('c', Buffer.from('anew'));
      const { entries } = await store.page({ order: 'created' });
      expect(entries.map(({ key }) => key)).toEqual(['c', 'b', 'a']);
      await store.close();
    },
    LONG,
  );

  it(
    'a claim fences who wrote before, at once and after a restart',
    async () => {
      const place = await newPlace();
      const old = await place.open();
      await old.put('key', Buffer.from('1'));
      const young = await place.open();
      expect(await young.fence.newest()).toBe(0);
      await young.fence.claim(1);
      await rejects(old.put('key', Buffer.from('2')), 'FENCED');
      await rejects(old.del('key'), 'FENCED');
      expect(String(await old.get('key'))).toBe('1');
      await young.put('key', Buffer.from('3'));
      expect(await young.getEntry('key')).toMatchObject({ epoch: 1 });
      await rejects(old.fence.claim(1), 'FENCED');
      await old.close();
      await young.close();
      const again = await place.open();
      await rejects(again.put('key', Buffer.from('4')), 'FENCED');
      await again.close();
      const owner = await place.open(1);
      await owner.put('key', Buffer.from('5'));
      expect(String(await owner.get('key'))).toBe('5');
      await owner.close();
    },
    LONG,
  );

  it(
    'of many claims of one epoch one succeeds',
    async () => {
      const place = await newPlace();
      const stores = await Promise.all([place.open(), place.open(), place.open(), place.open()]);
      const claims = await Promise.allSettled(stores.map((store) => store.fence.claim(7)));
      expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const writes = await Promise.allSettled(
        stores.map((store, at) => store.put(`k${at}`, Buffer.from('1'))),
      );
      expect(writes.map(({ status }) => status)).toEqual(claims.map(({ status }) => status));
      for (const store of stores) await store.close();
    },
    LONG,
  );

  it(
    'a writer that is fenced in the middle has nothing acknowledged from then on',
    async () => {
      const place = await newPlace();
      const old = await place.open();
      const acknowledged = new Map<string, number>();
      let claimed = false;
      let late = 0;
      const writing = Array.from({ length: WRITERS }, async (_, at) => {
        for (let round = 0; ; round++) {
          const afterClaim = claimed;
          try {
            await old.put(`k${at}`, Buffer.from(String(round)));
          } catch (error) {
            if (hasCode(error, 'FENCED')) return;
            throw error;
          }
          acknowledged.set(`k${at}`, round);
          if (afterClaim) late++;
        }
      });
      const young = await place.open();
      await pause(BEFORE_KILL_MS);
      await young.fence.claim(2);
      claimed = true;
      await Promise.all(writing);
      expect(late).toBe(0);
      for (const [key, round] of acknowledged) {
        expect(Number(String(await young.get(key)))).toBeGreaterThanOrEqual(round);
      }
      await old.close();
      await young.close();
    },
    LONG,
  );

  it(
    'what is above a limit is refused before the server hears of it',
    async () => {
      const place = await newPlace();
      const store = await place.open();
      const { maxKeyBytes, maxValueBytes } = store.capabilities;
      await place.kill();
      await rejects(store.put('x'.repeat(maxKeyBytes + 1), Buffer.from('1')), 'INVALID_ENTRY_KEY');
      await rejects(store.put('x', Buffer.alloc(maxValueBytes + 1)), 'RECORD_TOO_LARGE');
      await place.restart();
      await eventually(() => store.put('x', Buffer.from('1')));
      await store.close();
    },
    LONG,
  );
}

/** For stores whose server may fall silent without ending its connections. */
export function silenceTests(newPlace: () => Promise<Required<FaultyPlace>>): void {
  it(
    'a server that is silent ends every call in time, and is used again when it speaks',
    async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.put('key', Buffer.from('1'));
      await place.pause();
      const get = failure(store.get('key'));
      const put = failure(store.put('key', Buffer.from('2')));
      const walk = failure(keysOf(store));
      try {
        expect(await get).toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
        expect(await put).toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
        expect(await walk).toMatchObject({ code: 'STORAGE_UNAVAILABLE', effect: 'none' });
        const signal = AbortSignal.timeout(50);
        expect(await failure(store.get('key', { signal }))).toMatchObject({ code: 'ABORTED' });
      } finally {
        place.resume();
      }
      await eventually(() => store.put('key', Buffer.from('3')));
      expect(String(await store.get('key'))).toBe('3');
      await store.close();
    },
    LONG,
  );
}

interface Written {
  readonly key: string;
  readonly acknowledged: number;
  readonly attempted: number;
  /** Failed with effect `none`. */
  readonly certainlyNot: ReadonlySet<number>;
}

/** Writers that go on through a fault, one key each, until some of their writes come through again. */
async function writeThrough(store: KvStore, fault: () => Promise<void>): Promise<Written[]> {
  let over = false;
  const writers = Array.from({ length: WRITERS }, async (_, at): Promise<Written> => {
    const key = `k${at}`;
    const certainlyNot = new Set<number>();
    let acknowledged = -1;
    let round = 0;
    let after = 0;
    for (; after < 3; round++) {
      const wasOver = over;
      try {
        await store.put(key, Buffer.from(String(round)));
        acknowledged = round;
        if (wasOver) after++;
      } catch (error) {
        if (!isHoldfastError(error)) throw error;
        expect(error.code).toBe('STORAGE_UNAVAILABLE');
        if (error.effect === 'none') certainlyNot.add(round);
        await pause(10);
      }
    }
    return { key, acknowledged, attempted: round - 1, certainlyNot };
  });
  await fault();
  over = true;
  return Promise.all(writers);
}

async function eventually<T>(call: () => Promise<T>): Promise<T> {
  const untilMs = Date.now() + BACK_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!hasCode(error, 'STORAGE_UNAVAILABLE') || Date.now() > untilMs) throw error;
      await pause(50);
    }
  }
}

export async function rejects(call: Promise<unknown>, code: string): Promise<void> {
  await expect(call).rejects.toMatchObject({ code });
}

function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (value) => ({ resolved: value }),
    (error: unknown) => error,
  );
}

export async function keysOf(store: KvStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of store.keys()) keys.push(key);
  return keys;
}

/** One bit of the stored bytes: among the fields of the envelope, or in the value. */
export function rotten(bytes: Buffer, at: 'head' | 'value'): Buffer {
  const copy = Buffer.from(bytes);
  const place = at === 'head' ? 2 : copy.length - 1;
  copy[place] = (copy[place] as number) ^ 1;
  return copy;
}
