/** Stores of records on the stores that nodes have: the engine, tiers, and values that rest encrypted. */
import { createSecretKey } from 'node:crypto';
import { KeyRing, SILENT } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import {
  encryptedKvStore,
  KvEngine,
  type KvStore,
  namespaced,
  openMemoryKvStore,
  openTieredKvStore,
} from '@holdfast/kv';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import type { RecordStore } from '../../src/index.ts';
import { openRecordStore } from '../../src/store/index.ts';
import { FaultyKv, KV_FAULTS } from './faulty-kv.ts';
import { descriptorOf, peer, valueOf } from './made-records.ts';
import { bytesInRows, pictureOf } from './store-life.ts';

interface World {
  readonly clock: SimClock;
  readonly random: SeededRandom;
}

const STORES: Record<string, (world: World) => Promise<KvStore>> = {
  engine: async (world) => {
    const seams = { ...world, fileSystem: new SimFs(), logger: SILENT };
    const engine = new KvEngine(seams);
    await openDatabase(seams, { dir: '/data', preallocateBytes: 8192, diskReserveBytes: 0 }, [
      engine,
    ]);
    return engine.store('records');
  },
  'namespace of a store': async ({ clock }) =>
    namespaced(openMemoryKvStore({ clock }, { id: 'all' }), 'records', 'remote'),
  tiers: async ({ clock, random }) => {
    const [primary, backup, ephemeral, local] = ['primary', 'backup', 'ephemeral', 'local'].map(
      (id) => openMemoryKvStore({ clock }, { id }),
    ) as [KvStore, KvStore, KvStore, KvStore];
    const places = { primary, backup, ephemeral, local };
    return openTieredKvStore({ clock, random, logger: SILENT }, places, {
      id: 'tiered',
      backupMode: 'sync',
    });
  },
  encrypted: async ({ clock, random }) => {
    const keys = new KeyRing([createSecretKey(Buffer.alloc(32, 1))], random);
    const inner = openMemoryKvStore({ clock }, { id: 'inner' });
    return encryptedKvStore({ keys }, inner, { context: 'records' });
  },
};

describe.each(Object.entries(STORES))('records in %s', (_name, open) => {
  it('are written, evicted, deleted and found again; what was not heard of is settled', async () => {
    const clock = new SimClock(new SeededRandom(1));
    const world = { clock, random: new SeededRandom(2) };
    await clock.run(
      (async () => {
        const inner = await open(world);
        const faulty = new FaultyKv(inner);
        const start = (kv: KvStore): Promise<RecordStore> =>
          openRecordStore(
            { kind: 'remote', maxRecords: 2 },
            { kv, nowMs: () => clock.now(), logger: SILENT },
          );
        const store = await start(faulty.store);
        const put = (nth: number, number: number): Promise<unknown> =>
          store.write(descriptorOf(nth), [valueOf(nth, 0, number), valueOf(nth, 3, number)], {
            origin: peer('a'),
          });
        let number = 1;
        for (const fault of KV_FAULTS) {
          for (const nth of [0, 1, 2]) {
            faulty.fail(1, fault);
            await put(nth, number).catch(() => undefined);
            faulty.heal();
            expect(await put(nth, ++number)).toMatchObject({ status: 'done' });
          }
          faulty.fail(1, fault);
          await store.delete(descriptorOf(2).id).catch(() => undefined);
          faulty.heal();
          await store.delete(descriptorOf(2).id);
        }
        expect(await put(2, 0)).toMatchObject({ outcomes: [{ status: 'outdated' }, {}] });
        const picture = await pictureOf(store);
        const usage = store.usage();
        expect(usage.records).toBe(1);
        expect(usage.evicted).toBeGreaterThan(2);
        await store.close();
        const next = await start(inner);
        expect(await pictureOf(next)).toEqual(picture);
        expect(next.usage()).toEqual({ ...usage, evicted: 0 });
        expect(await bytesInRows(inner)).toBe(usage.storedBytes);
      })(),
    );
  });
});
