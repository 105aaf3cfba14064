/** A record store over a store in memory, which is opened again and again. */
import { SILENT } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { expect } from 'vitest';
import {
  type RecordHead,
  type RecordId,
  type RecordStore,
  type RecordStoreSettings,
} from '../../src/index.ts';
import { openRecordStore } from '../../src/store/index.ts';
import { bytesOfRecord, decodeHead, headKey, recordOfKey } from '../../src/store/record-rows.ts';

export class StoreLife {
  readonly clock: SimClock;
  readonly kv: KvStore;
  readonly damage: string[] = [];
  store!: RecordStore;

  constructor(kv?: KvStore) {
    this.clock = new SimClock(new SeededRandom(1));
    this.kv = kv ?? openMemoryKvStore({ clock: this.clock }, { id: 'records' });
  }

  static async open(settings: Partial<RecordStoreSettings> = {}, kv?: KvStore): Promise<StoreLife> {
    const life = new StoreLife(kv);
    await life.open(settings);
    return life;
  }

  async open(settings: Partial<RecordStoreSettings> = {}, kv = this.kv): Promise<RecordStore> {
    this.store = await openRecordStore(
      { kind: 'remote', ...settings },
      {
        kv,
        nowMs: () => this.clock.now(),
        logger: SILENT,
        onDamage: (key) => this.damage.push(key),
      },
    );
    return this.store;
  }

  async reopen(settings: Partial<RecordStoreSettings> = {}): Promise<RecordStore> {
    await this.store.close();
    return this.open(settings);
  }

  tick(byMs = 1): Promise<void> {
    return this.clock.advance(byMs);
  }
}

/** What the store tells of everything, by record. */
export async function pictureOf(store: RecordStore): Promise<Map<RecordId, unknown>> {
  const picture = new Map<RecordId, unknown>();
  for await (const head of store.entries())
    picture.set(head.descriptor.id, await shown(store, head));
  return picture;
}

async function shown(store: RecordStore, head: RecordHead): Promise<unknown> {
  const { revision, storedBytes, origin, detail, subkeys } = head;
  const values: (string | undefined)[] = [];
  for (const subkey of subkeys.keys()) {
    const value = await store.value(head.descriptor.id, subkey);
    values.push(value?.digest.toString('hex'));
  }
  return { revision, storedBytes, origin, detail: detail?.toString(), subkeys, values };
}

/** Bytes of rows, counted by hand; every value that a head counts is there, and no other. */
export async function bytesInRows(kv: KvStore): Promise<number> {
  let bytes = 0;
  const values = new Set<string>();
  for await (const key of kv.keys({ prefix: 'v-' })) values.add(key);
  for await (const [key, row] of kv.iterator({ prefix: 'h-' })) {
    const head = decodeHead(recordOfKey(key) as RecordId, row);
    expect(key).toBe(headKey(head.descriptor.id));
    let sum = key.length + row.length;
    for (const [subkey, stored] of head.subkeys.entries()) {
      if (stored === undefined) continue;
      const place = `v-${head.descriptor.id}-${subkey.toString(16).padStart(4, '0')}`;
      expect(values.delete(place), place).toBe(true);
      sum += place.length + ((await kv.get(place))?.length ?? 0);
    }
    expect(bytesOfRecord(head, Buffer.from(row))).toBe(sum);
    bytes += sum;
  }
  expect([...values]).toEqual([]);
  return bytes;
}
