/** What a peer wants of records survives restarts; what is damaged is named and costs one item. */
import { hasCode, SILENT } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { RecordMetadata, SubkeySet } from '../../src/index.ts';
import { FaultyKv, KV_FAULTS } from '../store/faulty-kv.ts';
import { descriptorOf } from '../store/made-records.ts';

const A = descriptorOf(0).id;
const B = descriptorOf(1).id;
const SOME = SubkeySet.of(0, 1, 2, 9, 1023);
const WATCH = { subkeys: SubkeySet.of(3), count: 7, expiresAtMs: 1_800_000_000_000 };

function memory(): KvStore {
  return openMemoryKvStore({ clock: new SimClock(new SeededRandom(1)) }, { id: 'metadata' });
}

interface Opened {
  readonly metadata: RecordMetadata;
  readonly damage: [key: string, error: unknown][];
}

async function open(kv: KvStore): Promise<Opened> {
  const damage: [string, unknown][] = [];
  const onDamage = (key: string, error: unknown) => void damage.push([key, error]);
  return { metadata: await RecordMetadata.open({ kv, logger: SILENT, onDamage }), damage };
}

async function filled(kv: KvStore): Promise<void> {
  const { metadata } = await open(kv);
  for (const record of [A, B]) {
    await metadata.pending.set(record, SOME);
    await metadata.watches.set(record, WATCH);
    await metadata.rehydrations.set(record, SubkeySet.of(5));
  }
}

function wishesOf(metadata: RecordMetadata, record: typeof A): unknown[] {
  const { pending, watches, rehydrations } = metadata;
  return [pending.get(record), watches.get(record), rehydrations.get(record)];
}

const WISHES = [SOME, WATCH, SubkeySet.of(5)];
const KINDS = ['q-', 'w-', 'y-'];

describe('what a peer wants of records', () => {
  it('is there after a restart, also if nothing was closed', async () => {
    const kv = memory();
    await filled(kv);
    const { metadata, damage } = await open(kv);
    for (const record of [A, B]) expect(wishesOf(metadata, record)).toEqual(WISHES);
    expect(damage).toEqual([]);
    const bare = { subkeys: SOME, count: undefined, expiresAtMs: undefined };
    await metadata.watches.set(A, bare);
    expect((await open(kv)).metadata.watches.get(A)).toEqual(bare);
  });

  it('is forgotten with its record', async () => {
    const kv = memory();
    await filled(kv);
    const first = await open(kv);
    first.metadata.forget(A);
    expect(wishesOf(first.metadata, A)).toEqual([undefined, undefined, undefined]);
    await first.metadata.close();
    const { metadata } = await open(kv);
    expect(wishesOf(metadata, A)).toEqual([undefined, undefined, undefined]);
    expect(wishesOf(metadata, B)).toEqual(WISHES);
  });
});

describe('a damaged row', () => {
  it.each(KINDS)('of %s costs its item, and is named and kept', async (kind) => {
    const length = ((await rowAt(kind)) as Buffer).length;
    for (let bit = 0; bit < length * 8; bit += 5) {
      const kv = memory();
      await filled(kv);
      const row = Buffer.from((await kv.get(kind + A)) as Uint8Array);
      row[bit >> 3] = (row[bit >> 3] as number) ^ (1 << (bit & 7));
      await kv.put(kind + A, row);
      const { metadata, damage } = await open(kv);
      expect(damage.map(([key]) => key)).toEqual([kind + A]);
      expect(hasCode(damage[0]?.[1], 'CHECKSUM_MISMATCH')).toBe(true);
      const left = WISHES.map((wish, i) => (KINDS[i] === kind ? undefined : wish));
      expect(wishesOf(metadata, A)).toEqual(left);
      expect(wishesOf(metadata, B)).toEqual(WISHES);
      expect(await kv.get(kind + A)).toEqual(row);
      expect([...metadata.damagedPending]).toEqual(kind === 'q-' ? [A] : []);
    }
  });

  it('is not read in the place of another', async () => {
    const kv = memory();
    await filled(kv);
    await kv.put(`q-${A}`, (await kv.get(`q-${B}`)) as Uint8Array);
    const { metadata, damage } = await open(kv);
    expect(damage).toHaveLength(1);
    expect(metadata.pending.get(A)).toBeUndefined();
  });

  it('is gone with the next write of its item', async () => {
    const kv = memory();
    await filled(kv);
    await kv.put(`q-${A}`, Buffer.of(1, 2));
    const first = await open(kv);
    await first.metadata.pending.set(A, SubkeySet.of(4));
    const { metadata, damage } = await open(kv);
    expect(damage).toEqual([]);
    expect(metadata.pending.get(A)).toEqual(SubkeySet.of(4));
  });
});

describe('a store that fails', () => {
  it.each(KV_FAULTS)('(%s) rejects, and close writes what is wanted', async (fault) => {
    const kv = memory();
    const faulty = new FaultyKv(kv);
    const { metadata } = await open(faulty.store);
    await metadata.pending.set(A, SubkeySet.of(8));
    faulty.fail(1, fault);
    const refused = metadata.pending.set(A, SOME);
    await expect(refused).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect(metadata.pending.get(A)).toEqual(SOME);
    expect(metadata.pending.isAtRest(A)).toBe(false);
    await metadata.close();
    expect(metadata.pending.isAtRest(A)).toBe(true);
    expect((await open(kv)).metadata.pending.get(A)).toEqual(SOME);
  });

  it('is no damage: what cannot be read now is not taken for nothing', async () => {
    const faulty = new FaultyKv(memory());
    await filled(faulty.store);
    faulty.fail(2, 'refused');
    await expect(open(faulty.store)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  });
});

async function rowAt(kind: string): Promise<Uint8Array | undefined> {
  const kv = memory();
  await filled(kv);
  return kv.get(kind + A);
}
