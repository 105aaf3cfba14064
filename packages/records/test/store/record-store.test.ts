import { hasCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { compareValues, type RecordHead, type VerifiedValue } from '../../src/index.ts';
import { descriptorOf, erasureOf, peer, valueOf } from './made-records.ts';
import { bytesInRows, pictureOf, StoreLife } from './store-life.ts';

const A = descriptorOf(0);
const BY_A = { origin: peer('a') };

async function write(
  life: StoreLife,
  nth: number,
  values: readonly VerifiedValue[],
  by = 'a',
): Promise<string> {
  const report = await life.store.write(descriptorOf(nth), values, { origin: peer(by) });
  await life.tick();
  return report.status === 'full'
    ? 'full'
    : report.outcomes.map(({ status }) => status).join(' ') || 'done';
}

describe('a store of records', () => {
  it('gives back what was written, also after a restart', async () => {
    const life = await StoreLife.open();
    expect(await life.store.head(A.id)).toBeUndefined();
    expect(await write(life, 0, [valueOf(0, 1, 0), valueOf(0, 3, 5)])).toBe('written written');
    const check = async (): Promise<void> => {
      const head = (await life.store.head(A.id)) as RecordHead;
      expect(head.descriptor).toEqual(A);
      expect(head.origin).toBe('peer-a');
      expect(head.subkeys.map((one) => one?.sequence)).toEqual([undefined, 0, undefined, 5]);
      const bytes = valueOf(0, 1, 0).blob.length;
      expect(head.subkeys[1]?.bytes).toBe(bytes);
      expect(head.storedBytes).toBe(bytes + valueOf(0, 3, 5).blob.length);
      expect(await life.store.value(A.id, 1)).toEqual(valueOf(0, 1, 0));
      expect(await life.store.value(A.id, 0)).toBeUndefined();
      expect(await life.store.value(A.id, 9)).toBeUndefined();
    };
    await check();
    await life.reopen({ cacheBytes: 0 });
    await check();
    expect(life.store.usage().storedBytes).toBe(await bytesInRows(life.kv));
  });

  it('lets the newest value win, whatever comes in which order', async () => {
    const life = await StoreLife.open();
    const fork = [valueOf(0, 0, 4, 'one'), valueOf(0, 0, 4, 'two')] as const;
    const [loser, winner] = compareValues(...fork) < 0 ? fork : ([fork[1], fork[0]] as const);
    expect(await write(life, 0, [loser])).toBe('written');
    expect(await write(life, 0, [loser])).toBe('same');
    expect(await write(life, 0, [valueOf(0, 0, 3)])).toBe('superseded');
    expect(await write(life, 0, [winner])).toBe('written');
    const report = await life.store.write(A, [loser, valueOf(0, 1, 0)], BY_A);
    expect(report).toMatchObject({
      outcomes: [{ status: 'superseded', value: winner }, { status: 'written' }],
    });
    expect(await write(life, 0, [erasureOf(0, 0, 5)])).toBe('written');
    expect(await write(life, 0, [winner])).toBe('superseded');
    expect((await life.store.value(A.id, 0))?.kind).toBe('erased');
  });

  it('keeps floors of what was deleted or evicted, and an older value never wins again', async () => {
    const life = await StoreLife.open({ maxRecords: 1 });
    const high = valueOf(0, 0, 7);
    await write(life, 0, [high, valueOf(0, 1, 2)]);
    await write(life, 1, [valueOf(1, 0, 0)], 'b'); // evicts the first
    expect(life.store.usage()).toMatchObject({ records: 1, evicted: 1, floors: 2 });
    const check = async (): Promise<void> => {
      expect(await life.store.head(A.id)).toBeUndefined();
      expect(await life.store.value(A.id, 0)).toBeUndefined();
      expect(await life.store.floor(A.id, 0)).toEqual({ sequence: 7, digest: high.digest });
      expect(await write(life, 0, [valueOf(0, 0, 6)])).toBe('outdated');
      const refused = await life.store.write(A, [valueOf(0, 0, 6)], BY_A);
      expect(refused).toMatchObject({
        head: { revision: 0 },
        outcomes: [{ floor: { sequence: 7 } }],
      });
      expect(await life.store.head(A.id)).toBeUndefined();
    };
    await check();
    await life.reopen({ maxRecords: 1 });
    await check();
    // The very same one may come back; then the floor of the other subkey is there still.
    expect(await write(life, 0, [high])).toBe('written');
    expect(await write(life, 0, [valueOf(0, 1, 1)])).toBe('outdated');
    expect(await life.store.delete(A.id)).toBe(true);
    expect(await life.store.delete(A.id)).toBe(false);
    expect(await write(life, 0, [valueOf(0, 0, 6)])).toBe('outdated');
    expect(await write(life, 0, [valueOf(0, 1, 1)])).toBe('outdated');
    expect(await write(life, 0, [valueOf(0, 1, 3)])).toBe('written');
  });

  it('forgets the oldest floors beyond their bound', async () => {
    const life = await StoreLife.open({ maxFloors: 3 });
    for (const nth of [0, 1, 2]) {
      await write(life, nth, [valueOf(nth, 0, 5), valueOf(nth, 1, 5)]);
      await life.store.delete(descriptorOf(nth).id);
    }
    await life.reopen({ maxFloors: 3 });
    expect(life.store.usage().floors).toBe(2);
    expect(await write(life, 2, [valueOf(2, 0, 4)])).toBe('outdated');
    expect(await write(life, 0, [valueOf(0, 0, 4)])).toBe('written');
  });

  it('knows after a restart which floors are the oldest', async () => {
    const life = await StoreLife.open();
    const all = [0, 1, 2, 3, 4, 5, 6, 7];
    for (const nth of all) {
      await write(life, nth, [valueOf(nth, 0, 5)]);
      await life.store.delete(descriptorOf(nth).id);
    }
    await life.reopen({ maxFloors: 3 });
    for (const nth of all) {
      const floor = await life.store.floor(descriptorOf(nth).id, 0);
      expect(floor?.sequence, `${nth}`).toBe(nth < 5 ? undefined : 5);
    }
  });

  it('gives every state of values a revision of its own, across restarts', async () => {
    const life = await StoreLife.open();
    const revisions: number[] = [];
    const see = async (): Promise<void> => {
      revisions.push((await life.store.peek(A.id))?.revision ?? 0);
    };
    for (let round = 0; round < 3; round++) {
      await life.store.create(A);
      await see();
      await write(life, 0, [valueOf(0, 0, round)]);
      await see();
      await life.store.setDetail(A.id, Buffer.from('detail'));
      expect((await life.store.peek(A.id))?.revision).toBe(revisions.at(-1));
      await life.store.delete(A.id);
      await life.reopen();
    }
    expect(new Set(revisions).size).toBe(revisions.length);
    expect(revisions).not.toContain(0);
  });

  it('writes at a revision only, all or nothing', async () => {
    const life = await StoreLife.open();
    const at = (ifRevision: number, number: number): Promise<unknown> =>
      life.store.write(A, [valueOf(0, 0, number), valueOf(0, 1, number)], { ...BY_A, ifRevision });
    const failed = (error: unknown): boolean => hasCode(error, 'PRECONDITION_FAILED');
    await expect(at(1, 0)).rejects.toSatisfy(failed);
    expect(await at(0, 0)).toMatchObject({ status: 'done' });
    await expect(at(0, 1)).rejects.toSatisfy(failed);
    const { revision } = (await life.store.peek(A.id)) as RecordHead;
    // One value that loses, against a value or a floor, and none is written.
    const higher = [valueOf(0, 2, 9), valueOf(0, 3, 9)];
    const other = await StoreLife.open();
    await write(other, 0, higher);
    await other.store.delete(A.id);
    const behind = [valueOf(0, 0, 0), valueOf(0, 2, 8)];
    const late = other.store.write(A, behind, { ...BY_A, ifRevision: 0 });
    await expect(late).rejects.toSatisfy(failed);
    expect(await other.store.head(A.id)).toBeUndefined();
    const race = await Promise.allSettled([at(revision, 1), at(revision, 2)]);
    expect(race.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect((await life.store.value(A.id, 1))?.sequence).toBe(1);
    const now = (await life.store.peek(A.id)) as RecordHead;
    const mixed = [valueOf(0, 0, 9), valueOf(0, 1, 0)];
    const loses = life.store.write(A, mixed, { ...BY_A, ifRevision: now.revision });
    await expect(loses).rejects.toSatisfy(failed);
    expect(await life.store.peek(A.id)).toEqual(now);
    const same = [valueOf(0, 0, 9), valueOf(0, 1, 1)];
    const whole = await life.store.write(A, same, { ...BY_A, ifRevision: now.revision });
    expect(whole).toMatchObject({ outcomes: [{ status: 'written' }, { status: 'same' }] });
  });

  it('keeps the detail of its owner, and makes a record once', async () => {
    const life = await StoreLife.open({ kind: 'local' });
    await life.store.create(A, Buffer.from('mine'));
    const twice = life.store.create(A).catch((error: unknown) => error);
    expect(await twice).toSatisfy((error) => hasCode(error, 'RECORD_EXISTS'));
    await write(life, 0, [valueOf(0, 0, 0)]);
    await life.store.setDetail(A.id, Buffer.from('still mine'));
    await life.store.setDetail(descriptorOf(1).id, Buffer.from('nobody is there'));
    await life.reopen({ kind: 'local' });
    const head = await life.store.head(A.id);
    expect(head?.detail?.toString()).toBe('still mine');
    expect(life.store.usage().records).toBe(1);
    expect((await life.store.write(descriptorOf(1), [], { origin: undefined })).status).toBe(
      'done',
    );
    expect((await pictureOf(life.store)).size).toBe(2);
  });

  it('decides about writes of one record in the order of the calls', async () => {
    const life = await StoreLife.open();
    const reports = await Promise.all(
      [3, 1, 5, 4, 5].map((number) => life.store.write(A, [valueOf(0, 0, number)], BY_A)),
    );
    const outcomes = reports.map(
      (report) => report.status === 'done' && report.outcomes[0]?.status,
    );
    expect(outcomes).toEqual(['written', 'superseded', 'written', 'superseded', 'same']);
  });

  it('takes only one value for each subkey, of the record that is written', async () => {
    const life = await StoreLife.open();
    const twice = life.store.write(A, [valueOf(0, 0, 0), valueOf(0, 0, 1)], BY_A);
    await expect(twice).rejects.toThrow(TypeError);
    await expect(life.store.write(A, [valueOf(1, 0, 0)], BY_A)).rejects.toThrow(TypeError);
  });

  it('ends every call after close, which waits for those under way', async () => {
    const life = await StoreLife.open();
    const under = life.store.write(A, [valueOf(0, 0, 0)], BY_A);
    await life.store.close();
    await life.store.close();
    expect(await under).toMatchObject({ status: 'done' });
    const calls = [
      life.store.head(A.id),
      life.store.peek(A.id),
      life.store.value(A.id, 0),
      life.store.floor(A.id, 0),
      life.store.create(A),
      life.store.write(A, [], BY_A),
      life.store.setDetail(A.id, Buffer.of()),
      life.store.delete(A.id),
      pictureOf(life.store),
    ];
    for (const call of await Promise.allSettled<unknown>(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } });
    }
  });

  it('asks for atomic batches with conditions', async () => {
    const { kv } = new StoreLife();
    const poor = Object.create(kv) as typeof kv;
    const capabilities = { ...kv.capabilities, atomicBatch: false };
    Object.defineProperty(poor, 'capabilities', { value: capabilities });
    const opened = new StoreLife().open({}, poor);
    await expect(opened).rejects.toMatchObject({ code: 'KV_UNSUPPORTED' });
  });
});

describe('the bounds of a store of records', () => {
  const SIZE = 1_000;
  const big = (nth: number, number = 0): VerifiedValue[] => [
    valueOf(nth, 0, number, Buffer.alloc(SIZE)),
  ];
  const names = async (life: StoreLife): Promise<number[]> => {
    const found = await pictureOf(life.store);
    return [0, 1, 2, 3, 4, 5, 6, 7].filter((nth) => found.has(descriptorOf(nth).id));
  };

  it('evict the records used longest ago: reading is use, looking is not', async () => {
    const life = await StoreLife.open({ maxRecords: 3 });
    for (const nth of [0, 1, 2]) await write(life, nth, big(nth), `${nth}`);
    await life.store.head(descriptorOf(0).id);
    await life.tick();
    await life.store.peek(descriptorOf(1).id);
    await write(life, 3, big(3), '3');
    const left = [0, 2, 3];
    for (const nth of [0, 1, 2, 3]) {
      const there = (await life.store.peek(descriptorOf(nth).id)) !== undefined;
      expect(there, `${nth}`).toBe(left.includes(nth));
    }
  });

  it('hold by records and by bytes at every moment, counted by hand', async () => {
    for (const bounds of [{ maxRecords: 5 }, { maxBytes: 5_000 }]) {
      const life = await StoreLife.open(bounds);
      for (let round = 0; round < 40; round++) {
        const nth = (round * 5) % 8;
        const size = 50 + ((round * 331) % 900);
        await write(life, nth, [valueOf(nth, round % 4, round, Buffer.alloc(size))], `${nth % 3}`);
        const { records, storedBytes } = life.store.usage();
        expect(records).toBeLessThanOrEqual(bounds.maxRecords ?? Infinity);
        expect(storedBytes).toBeLessThanOrEqual(bounds.maxBytes ?? Infinity);
        expect(storedBytes).toBe(await bytesInRows(life.kv));
      }
      expect(life.store.usage().evicted).toBeGreaterThan(5);
    }
  });

  it('evict from the biggest contributor first, if it has more than its share', async () => {
    const life = await StoreLife.open({ maxRecords: 6 });
    await write(life, 0, big(0), 'small');
    await write(life, 1, big(1), 'other');
    for (const nth of [2, 3, 4, 5]) await write(life, nth, big(nth), 'greedy');
    await write(life, 6, big(6), 'greedy');
    await write(life, 7, big(7), 'new');
    expect(await names(life)).toEqual([0, 1, 4, 5, 6, 7]);
  });

  it('by bytes as well', async () => {
    const life = await StoreLife.open({ maxBytes: 8_000 });
    await write(life, 0, big(0), 'small');
    for (const nth of [2, 3, 4, 5]) await write(life, nth, big(nth), 'greedy');
    await write(life, 6, [valueOf(6, 0, 0, Buffer.alloc(2_000))], 'new');
    expect(await names(life)).toEqual([0, 4, 5, 6]);
  });

  it('hold for each peer, to the byte, and nothing is evicted for what is above them', async () => {
    const one = await StoreLife.open();
    await write(one, 0, big(0));
    const bytes = one.store.usage().storedBytes;
    const life = await StoreLife.open({ maxBytesOfPeer: 2 * bytes, maxRecordsOfPeer: 3 });
    expect(await write(life, 0, big(0), 'a')).toBe('written');
    expect(await write(life, 1, big(1), 'a')).toBe('written');
    const small = [valueOf(2, 0, 0, '')];
    expect(await write(life, 2, small, 'a')).toBe('full');
    expect(await write(life, 2, small, 'b')).toBe('written');
    // Of a record that is there its first peer pays, whoever writes; the same size is no more.
    expect(await write(life, 0, [valueOf(0, 1, 0)], 'b')).toBe('full');
    expect(await write(life, 0, big(0, 1), 'b')).toBe('written');
    expect(life.store.usage()).toMatchObject({ records: 3, evicted: 0 });
    const less = await StoreLife.open({ maxRecordsOfPeer: 2 });
    for (const nth of [0, 1]) expect(await write(less, nth, big(nth))).toBe('written');
    expect(await write(less, 2, big(2))).toBe('full');
    await less.reopen({ maxRecordsOfPeer: 2 });
    expect(await write(less, 2, big(2))).toBe('full');
    expect(await write(less, 2, big(2), 'b')).toBe('written');
    // Our own records pay for nobody.
    const own = { origin: undefined };
    expect(await less.store.write(descriptorOf(3), big(3), own)).toMatchObject({ status: 'done' });
  });

  it('a record larger than all of them is declined, and nobody goes for it', async () => {
    const life = await StoreLife.open({ maxBytes: 2_000 });
    await write(life, 0, [valueOf(0, 0, 0)], 'a');
    expect(await write(life, 1, [valueOf(1, 0, 0, Buffer.alloc(3_000))], 'b')).toBe('full');
    expect(life.store.usage()).toMatchObject({ records: 1, evicted: 0 });
    const tiny = await StoreLife.open({ maxBytes: 10 });
    await expect(tiny.store.create(A)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    expect(tiny.store.usage()).toMatchObject({ records: 0, storedBytes: 0 });
  });

  it('writes beside each other never take more room than there is', async () => {
    const life = await StoreLife.open({ maxRecords: 3 });
    const all = [0, 1, 2, 3, 4, 5, 6, 7];
    const reports = await Promise.all(
      all.map((nth) => life.store.write(descriptorOf(nth), big(nth), { origin: peer(nth) })),
    );
    expect(life.store.usage().records).toBe(3);
    // Records that are being written are not evicted for each other.
    expect(reports.filter(({ status }) => status === 'full').length).toBe(5);
    expect(await bytesInRows(life.kv)).toBe(life.store.usage().storedBytes);
  });

  it('hold after a start with smaller ones', async () => {
    const life = await StoreLife.open();
    for (const nth of [0, 1, 2, 3, 4]) await write(life, nth, big(nth), `${nth}`);
    await life.store.value(descriptorOf(0).id, 0);
    await life.reopen({ maxRecords: 2 });
    expect(life.store.usage()).toMatchObject({ records: 2, floors: 3 });
    // The order of use is known to a minute after a restart: the read of the first is forgotten.
    expect(await names(life)).toEqual([3, 4]);
  });

  it('know the order of use after a restart to a minute', async () => {
    const life = await StoreLife.open();
    for (const nth of [0, 1, 2]) await write(life, nth, big(nth), `${nth}`);
    await life.tick(60_000);
    await life.store.value(descriptorOf(0).id, 0);
    await life.reopen({ maxRecords: 2 });
    expect(await names(life)).toEqual([0, 2]);
  });

  it('do not hold for the local store', async () => {
    const life = await StoreLife.open({ kind: 'local', maxRecords: 1, maxBytes: 1 });
    for (const nth of [0, 1, 2]) expect(await write(life, nth, big(nth))).toBe('written');
    expect(life.store.usage()).toMatchObject({ records: 3, evicted: 0 });
  });
});
