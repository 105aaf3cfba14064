/** Settings that change between starts: nothing is lost, nothing is served that is not right. */
import { generateKeyText, NodeRandom } from '@holdfast/core';
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

const lmdb = (name: string): string => `lmdb:${world.folder(name)}`;

describe('settings that changed', { timeout: TIMEOUT_MS }, () => {
  it.each([undefined, false])(
    'whether values are sealed: a place is not read as what it is not, first encrypted: %s',
    async (first) => {
      const keys = { key: generateKeyText(new NodeRandom()) };
      const places = { primary: lmdb('one'), backup: lmdb('two') };
      const tiers = (encrypted: boolean | undefined): object => ({
        orders: { ...places, ...(encrypted === undefined ? {} : { encrypted }) },
      });
      let node = await world.open(tiers(first) as never, 'data', keys);
      await settled(node, 'orders');
      await fill(node.kv.store('orders'), 5);
      const before = await everything(node.kv.store('orders'));
      await world.close(node);

      node = await world.open(
        tiers(first === undefined ? false : undefined) as never,
        'data',
        keys,
      );
      const status = await settled(node, 'orders');
      expect(status.state).toBe('refused');
      expect(status.problem?.advice).toMatch(/"encrypted" as it was/);
      await expect(node.kv.store('orders').put('a', Buffer.from('b'))).rejects.toThrow(/./);
      await world.close(node);

      node = await world.open(tiers(first) as never, 'data', keys);
      expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
      expect(await everything(node.kv.store('orders'))).toEqual(before);
      expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    },
  );

  it('the backups of two stores are given to each other: both are refused, and neither changed', async () => {
    const tiers = (one: string, two: string): object => ({
      orders: { backup: lmdb(one) },
      baskets: { backup: lmdb(two) },
    });
    let node = await world.open(tiers('one', 'two') as never);
    for (const name of ['orders', 'baskets']) {
      await settled(node, name);
      await fill(node.kv.store(name), 3);
    }
    await world.close(node);
    node = await world.open(tiers('two', 'one') as never);
    for (const name of ['orders', 'baskets']) {
      const { state, problem } = await settled(node, name);
      expect([state, problem?.code]).toEqual(['refused', 'TIER_MISMATCH']);
      expect(problem?.message).toMatch(/belongs to another store/);
      await expect(node.kv.tiers.takeOver(name)).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
      await expect(node.kv.tiers.promote(name, { force: true })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
    }
    await world.close(node);
    node = await world.open(tiers('one', 'two') as never);
    for (const name of ['orders', 'baskets']) {
      expect(await settled(node, name)).toMatchObject({ state: 'open' });
      expect(await node.kv.tiers.verify(name)).toMatchObject({ differences: 0 });
    }
  });

  it('what the first backup was owed when another one took its place is in that one', async () => {
    const held = lmdb('one');
    let node = await world.open({ orders: { backup: held, backupMode: 'async' } });
    await settled(node, 'orders');
    await fill(node.kv.store('orders'), 20);
    await world.close(node);
    node = await world.open({ orders: { backup: lmdb('two'), backupMode: 'async' } });
    await settled(node, 'orders', (status) => status.tiers.backup?.state === 'ok');
    await fill(node.kv.store('orders'), 3, 20);
    await world.close(node);
    // Back to the first one, which missed those.
    node = await world.open({ orders: { backup: held, backupMode: 'async' } });
    await settled(node, 'orders', (status) => status.tiers.backup?.state === 'ok');
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    const before = await everything(node.kv.store('orders'));
    await node.kv.tiers.promote('orders');
    expect(await everything(node.kv.store('orders'))).toEqual(before);
  });
});
