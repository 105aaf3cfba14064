import { hasCode } from '@holdfast/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { everything, fill, settled, TieredFolder } from './tiered-node.ts';

const TIMEOUT_MS = 60_000;

let world: TieredFolder;
beforeEach(async () => {
  world = await TieredFolder.make();
});
afterEach(async () => {
  await world.end();
}, TIMEOUT_MS);

const withBackup = (): { orders: { backup: string } } => ({
  orders: { backup: `lmdb:${world.folder('backup')}` },
});

describe('a store with tiers', { timeout: TIMEOUT_MS }, () => {
  it('is a store of node.kv, and its backup has all of it', async () => {
    const node = await world.open(withBackup());
    await settled(node, 'orders');
    await fill(node.kv.store('orders'), 20);
    const status = node.kv.tiers.status('orders');
    expect([status.state, status.tiers.backup?.state]).toEqual(['open', 'ok']);
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    const names: string[] = [];
    for await (const { name } of node.kv.stores()) names.push(name);
    expect(names).toEqual(['orders']);
  });

  it('comes back from its backup when the data directory is lost, tokens and order too', async () => {
    let node = await world.open(withBackup());
    await settled(node, 'orders');
    const store = node.kv.store('orders');
    await fill(store, 40);
    await store.del((await everything(store))[3]?.split(' ')[2]?.split('=')[0] ?? '');
    const before = await everything(store);
    const page = await store.page({ order: 'created', limit: 5 });
    await world.close(node);
    await world.lose('data');

    node = await world.open(withBackup());
    const status = await settled(node, 'orders');
    expect(status).toMatchObject({ state: 'refused', problem: { code: 'TIER_MISMATCH' } });
    expect(status.problem?.advice).toContain('holdfast tier restore orders');
    await expect(node.kv.store('orders').get('x')).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    const outcome = await node.kv.tiers.restore('orders');
    expect(outcome.entries).toBe(39);
    const again = node.kv.store('orders');
    expect(await everything(again)).toEqual(before);
    const next = await again.page({ order: 'created', limit: 5, token: page.next });
    expect(next.entries.map(({ seq }) => seq)).toEqual(
      before.slice(5, 10).map((line) => Number(line.split(' ')[0])),
    );
    await fill(again, 3, 100);
    await settled(node, 'orders', ({ tiers }) => tiers.backup?.state === 'ok');
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    await world.close(node);
    node = await world.open(withBackup());
    expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
    expect(await everything(node.kv.store('orders'))).toHaveLength(42);
  });

  it('promotes its backup, and does not open with the settings of before', async () => {
    let node = await world.open(withBackup());
    await settled(node, 'orders');
    await fill(node.kv.store('orders'), 10);
    const outcome = await node.kv.tiers.promote('orders');
    expect(outcome.settings).toEqual([
      { setting: 'tiers.orders.primary', value: `lmdb:${world.folder('backup')}` },
      { setting: 'tiers.orders.backup' },
    ]);
    await fill(node.kv.store('orders'), 5, 50);
    const entries = await everything(node.kv.store('orders'));
    await world.close(node);

    node = await world.open(withBackup());
    const status = await settled(node, 'orders');
    expect(status).toMatchObject({ state: 'refused', settings: outcome.settings });
    expect(status.problem?.message).toContain(`lmdb:${world.folder('backup')}`);
    const error: unknown = await node.kv
      .store('orders')
      .get('x')
      .catch((thrown: unknown) => thrown);
    expect(hasCode(error, 'TIER_MISMATCH')).toBe(true);
    await world.close(node);

    node = await world.open({ orders: { primary: `lmdb:${world.folder('backup')}` } });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
    expect(await everything(node.kv.store('orders'))).toEqual(entries);
  });
});
