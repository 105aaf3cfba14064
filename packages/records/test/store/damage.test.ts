/** Rows that cannot be read: what is lost with them, and what is not. */
import { HoldfastError } from '@holdfast/core';
import type { KvOperation, KvStore } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { compareValues, type RecordStore, type VerifiedValue } from '../../src/index.ts';
import { descriptorOf, peer, valueOf } from './made-records.ts';
import { StoreLife } from './store-life.ts';

const A = descriptorOf(0);
const B = descriptorOf(1);
const OLD = valueOf(0, 0, 4);
const NEW = valueOf(0, 0, 5);
const SECOND = valueOf(0, 1, 7);

const put = async (store: RecordStore, nth: number, values: VerifiedValue[]): Promise<string> => {
  const report = await store.write(descriptorOf(nth), values, { origin: peer('a') });
  if (report.status === 'full') return 'full';
  return report.outcomes.map(({ status }) => status).join(' ');
};

async function twoRecords(): Promise<StoreLife> {
  const life = await StoreLife.open({ kind: 'local' });
  await put(life.store, 0, [NEW, SECOND]);
  await put(life.store, 1, [valueOf(1, 0, 0)]);
  return life;
}

async function turnBit(kv: KvStore, key: string): Promise<Buffer> {
  const row = Buffer.from((await kv.get(key)) as Uint8Array);
  row[row.length >> 1] = (row[row.length >> 1] as number) ^ 4;
  await kv.put(key, row);
  return row;
}

/** A store that finds out by itself that a row is not what was written: its walks end there. */
function rotten(kv: KvStore, bad: () => string): KvStore {
  const check = (key: string): void => {
    if (key === bad()) throw new HoldfastError('CHECKSUM_MISMATCH', 'an entry is damaged');
  };
  return new Proxy(kv, {
    get(target, name) {
      if (name === 'get' || name === 'getEntry') {
        return async (key: string) => {
          check(key);
          return target[name](key);
        };
      }
      if (name === 'batch') {
        return async (operations: KvOperation[]) => {
          // What is written without a look at what was there takes its place.
          for (const { key, ifVersion } of operations) if (ifVersion !== undefined) check(key);
          return target.batch(operations);
        };
      }
      if (name === 'entries') {
        return async function* (range: object) {
          for await (const entry of target.entries(range)) {
            check(entry.key);
            yield entry;
          }
        };
      }
      const found: unknown = Reflect.get(target, name, target);
      return typeof found === 'function' ? (found.bind(target) as unknown) : found;
    },
  });
}

async function checkOther(store: RecordStore): Promise<void> {
  expect(await store.value(B.id, 0)).toEqual(valueOf(1, 0, 0));
}

/** Absent, with floors; made anew by what is not older. */
async function checkLost({ store }: StoreLife): Promise<void> {
  expect(await store.head(A.id)).toBeUndefined();
  expect(await store.value(A.id, 0)).toBeUndefined();
  expect(await store.delete(A.id)).toBe(false);
  expect(store.usage().records).toBe(1);
  expect((await store.floor(A.id, 1))?.sequence).toBe(7);
  expect(await put(store, 0, [OLD])).toBe('outdated');
  expect(await store.head(A.id)).toBeUndefined();
  expect(await put(store, 0, [NEW])).toBe('written');
  expect(await store.value(A.id, 0)).toEqual(NEW);
  expect(await put(store, 0, [valueOf(0, 1, 6)])).toBe('outdated');
}

describe('a damaged row', () => {
  it('of a head costs that record only, is named, and its floors stay', async () => {
    const life = await twoRecords();
    const key = `h-${A.id}`;
    const row = await turnBit(life.kv, key);
    await life.reopen({ kind: 'local' });
    expect(life.damage).toEqual([key]);
    expect(Buffer.from((await life.kv.get(key)) as Uint8Array)).toEqual(row);
    await checkOther(life.store);
    await checkLost(life);
    await life.reopen({ kind: 'local' });
    expect(life.damage).toEqual([key]);
    expect(await put(life.store, 0, [valueOf(0, 1, 6)])).toBe('outdated');
    expect(await put(life.store, 0, [SECOND])).toBe('written');
  });

  it('of a head that the kv store itself cannot read: the same', async () => {
    const life = await twoRecords();
    const key = `h-${A.id}`;
    const kv = rotten(life.kv, () => key);
    await life.store.close();
    await life.open({ kind: 'local' }, kv);
    expect(life.damage).toEqual([key]);
    await checkOther(life.store);
    expect(await life.store.head(A.id)).toBeUndefined();
    expect(await put(life.store, 0, [OLD])).toBe('outdated');
    expect((await life.store.floor(A.id, 1))?.sequence).toBe(7);
  });

  it('of a head that is found while it is written: the record is made anew, above its floors', async () => {
    const life = await twoRecords();
    const key = `h-${A.id}`;
    await life.store.close();
    let bad = 'none';
    const kv = rotten(life.kv, () => bad);
    await life.open({ kind: 'local' }, kv);
    expect(await life.store.value(A.id, 0)).toEqual(NEW);
    bad = key;
    expect(await put(life.store, 0, [valueOf(0, 0, 6)])).toBe('written');
    expect(life.damage).toEqual([key]);
    expect(life.store.usage().records).toBe(2);
    bad = 'none';
    expect((await life.store.head(A.id))?.subkeys.map((one) => one?.sequence)).toEqual([
      6,
      undefined,
      undefined,
      undefined,
    ]);
    expect(await put(life.store, 0, [valueOf(0, 1, 6)])).toBe('outdated');
  });

  it('of a value costs its record only, once it is read, and its floors stay', async () => {
    const life = await twoRecords();
    const key = `v-${A.id}-0000`;
    await life.store.close();
    const row = await turnBit(life.kv, key);
    await life.open({ kind: 'local' });
    expect((await life.store.head(A.id))?.subkeys[0]?.sequence).toBe(5);
    expect(await life.store.value(A.id, 1)).toEqual(SECOND);
    expect(await life.store.value(A.id, 0)).toBeUndefined();
    expect(life.damage).toEqual([key]);
    expect(Buffer.from((await life.kv.get(key)) as Uint8Array)).toEqual(row);
    await checkOther(life.store);
    await checkLost(life);
  });

  it('of a value that has to be shown to who sent an older one: the same', async () => {
    const life = await twoRecords();
    await life.store.close();
    await turnBit(life.kv, `v-${A.id}-0000`);
    await life.open({ kind: 'local' });
    expect(await put(life.store, 0, [OLD])).toBe('outdated');
    expect(life.store.usage().records).toBe(1);
  });

  it('a value that is missing, or is another than the head counts, is damage as well', async () => {
    for (const other of [undefined, OLD]) {
      const life = await twoRecords();
      const key = `v-${A.id}-0000`;
      if (other === undefined) await life.kv.del(key);
      else {
        const spare = await StoreLife.open();
        await put(spare.store, 0, [other]);
        await life.kv.put(key, (await spare.kv.get(key)) as Uint8Array);
      }
      await life.reopen({ kind: 'local' });
      expect(await life.store.value(A.id, 0)).toBeUndefined();
      expect(life.damage).toEqual([key]);
      const floor = await life.store.floor(A.id, 0);
      expect(floor && compareValues(floor, NEW)).toBe(0);
    }
  });

  it('of a head that is gone while the store is open is named', async () => {
    const life = await StoreLife.open({ cacheBytes: 0 });
    await put(life.store, 0, [NEW]);
    await life.kv.del(`h-${A.id}`);
    expect(await life.store.head(A.id)).toBeUndefined();
    expect(life.damage).toEqual([`h-${A.id}`]);
    expect(await put(life.store, 0, [OLD])).toBe('outdated');
    expect(await put(life.store, 0, [NEW])).toBe('written');
  });

  it('of floors is named and costs those floors only', async () => {
    const life = await twoRecords();
    await life.store.delete(A.id);
    await life.store.delete(B.id);
    await turnBit(life.kv, `f-${A.id}`);
    await life.reopen({ kind: 'local' });
    expect(life.damage).toEqual([`f-${A.id}`]);
    expect(await put(life.store, 0, [OLD])).toBe('written');
    expect((await life.store.floor(B.id, 0))?.sequence).toBe(0);
  });

  it('of numbers is named, and no revision comes twice', async () => {
    for (const lost of [true, false]) {
      const life = await StoreLife.open({ kind: 'local' });
      const seen = new Set<number | undefined>();
      for (let number = 0; number < 5; number++) {
        await put(life.store, 0, [valueOf(0, 0, number)]);
        seen.add((await life.store.peek(A.id))?.revision);
      }
      await life.store.delete(A.id);
      if (lost) await life.kv.del('numbers');
      else await turnBit(life.kv, 'numbers');
      await life.reopen({ kind: 'local' });
      expect(life.damage).toEqual(['numbers']);
      await put(life.store, 0, [NEW]);
      seen.add((await life.store.peek(A.id))?.revision);
      expect(seen.size).toBe(6);
    }
  });

  it('of another release keeps the store shut', async () => {
    const life = await twoRecords();
    const { crc32c } = await import('@holdfast/core');
    const key = `h-${A.id}`;
    const row = Buffer.from((await life.kv.get(key)) as Uint8Array);
    row[0] = 2;
    row.writeUInt32LE(crc32c(row.subarray(0, -4), crc32c(Buffer.from(key))), row.length - 4);
    await life.kv.put(key, row);
    const again = life.reopen({ kind: 'local' });
    await expect(again).rejects.toMatchObject({ code: 'FORMAT_UNSUPPORTED' });
  });

  it('of one record after the other, read or not: the others are there', async () => {
    const life = await StoreLife.open({ kind: 'local' });
    for (let nth = 0; nth < 12; nth++) await put(life.store, nth, [valueOf(nth, 0, 0)]);
    await life.store.close();
    const bad = [1, 4, 5, 11];
    for (const nth of bad) await turnBit(life.kv, `h-${descriptorOf(nth).id}`);
    const walled = rotten(life.kv, () => `h-${descriptorOf(4).id}`);
    await life.open({ kind: 'local' }, walled);
    expect(life.damage.sort()).toEqual(bad.map((nth) => `h-${descriptorOf(nth).id}`).sort());
    for (let nth = 0; nth < 12; nth++) {
      const there = (await life.store.head(descriptorOf(nth).id)) !== undefined;
      expect(there, `${nth}`).toBe(!bad.includes(nth));
    }
  });
});
