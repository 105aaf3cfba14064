/** Transactions and plain calls of the engine on the same records, over real servers. */
import { RECORD_LIMITS as L } from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import type { GetResult } from '../../src/records.ts';
import { beginTransaction, type NetworkTransaction } from '../../src/transactions/index.ts';
import type { RecordPeer } from '../sim/record-peer.ts';
import { RecordWorld, type WorldRecord } from '../sim/record-world.ts';

let world: RecordWorld;
afterEach(() => world.close());

async function open(): Promise<WorldRecord[]> {
  world = await RecordWorld.open({ seed: 3, peers: 24 });
  const records = [world.makeRecord(), world.makeRecord()];
  for (const record of records) await world.openAt(record, world.peer(0), world.peer(1));
  return records;
}

function begin(peer: RecordPeer, ...records: readonly WorldRecord[]): Promise<NetworkTransaction> {
  const { peers, local } = peer;
  const { clock, random } = world;
  const subjects = records.map(({ key, descriptor, owner }) => ({
    key,
    descriptor,
    writer: owner,
  }));
  return world.run(beginTransaction({ clock, random, peers, local }, subjects));
}

function set(peer: RecordPeer, { key, owner }: WorldRecord, data: string) {
  return world.run(peer.engine.set(key, 0, Buffer.from(data), { writer: owner }));
}
async function get(peer: RecordPeer, { key }: WorldRecord): Promise<string> {
  const result: GetResult = await world.run(peer.engine.get(key, 0, { forceRefresh: true }));
  return result.status === 'value' ? Buffer.from(result.data).toString() : result.status;
}
function change(transaction: NetworkTransaction, { key }: WorldRecord, data: string) {
  return world.run(transaction.set(key, 0, Buffer.from(data)));
}

describe('beside plain calls a transaction', () => {
  it('reads what sets wrote, and is read by gets once it is committed', async () => {
    const [a, b] = (await open()) as [WorldRecord, WorldRecord];
    const [here, there] = [world.peer(0), world.peer(1)];
    expect(await set(there, a, 'before')).toMatchObject({ status: 'committed', sequence: 0 });
    const transaction = await begin(here, a, b);
    const read = await world.run(transaction.get(a.key, 0));
    expect(read).toMatchObject({ status: 'value', sequence: 0 });
    expect(await change(transaction, a, 'after')).toMatchObject({ status: 'pending', sequence: 1 });
    expect(await change(transaction, b, 'too')).toMatchObject({ status: 'pending', sequence: 0 });
    expect([await get(there, a), await get(there, b)]).toEqual(['before', 'absent']);
    await world.run(transaction.commit());
    expect([await get(there, a), await get(there, b)]).toEqual(['after', 'too']);
    expect(await set(here, a, 'later')).toMatchObject({ status: 'committed', sequence: 2 });
    expect(await get(there, a)).toBe('later');
  });

  it('erases', async () => {
    const [a, b] = (await open()) as [WorldRecord, WorldRecord];
    const [here, there] = [world.peer(0), world.peer(1)];
    await set(there, a, 'before');
    const transaction = await begin(here, a, b);
    expect(await world.run(transaction.erase(a.key, 0))).toMatchObject({
      status: 'pending',
      sequence: 1,
    });
    await change(transaction, b, 'moved');
    await world.run(transaction.commit());
    expect([await get(there, a), await get(there, b)]).toEqual(['erased', 'moved']);
  });

  it('is gone where a set came first, and leaves nothing that the set would meet', async () => {
    const [a, b] = (await open()) as [WorldRecord, WorldRecord];
    const [here, there] = [world.peer(0), world.peer(1)];
    const transaction = await begin(here, a, b);
    await change(transaction, a, 'lost');
    await change(transaction, b, 'lost');
    expect(await set(there, b, 'first')).toMatchObject({ status: 'committed' });
    await expect(world.run(transaction.commit())).rejects.toMatchObject({
      code: 'TRANSACTION_GONE',
      effect: 'none',
    });
    expect([await get(there, a), await get(there, b)]).toEqual(['absent', 'first']);
    expect(await set(there, a, 'free')).toMatchObject({ status: 'committed' });
  });

  it('that nobody goes on with frees its records for others', async () => {
    const [a, b] = (await open()) as [WorldRecord, WorldRecord];
    const [here, there] = [world.peer(0), world.peer(1)];
    const transaction = await begin(here, a, b);
    await change(transaction, a, 'lost');
    world.network.crash(here.id);
    await world.clock.advance(2 * L.transactionIdleMs);
    const next = await begin(there, a, b);
    await change(next, a, 'next');
    await world.run(next.commit());
    expect(await get(there, a)).toBe('next');
  });
});
