/** What an operator may give by mistake at three in the morning, and what then is as it was. */
import { NodeClock } from '@holdfast/core';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
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

async function* of(...lines: string[]): AsyncGenerator<string> {
  yield* lines;
}

describe('an operator', { timeout: TIMEOUT_MS }, () => {
  it('who imports the wrong file over a store in use has it as it was', async () => {
    const node = await world.open({ orders: { primary: lmdb('one'), backup: lmdb('two') } });
    await settled(node, 'orders');
    await fill(node.kv.store('orders'), 5);
    const before = await everything(node.kv.store('orders'));
    const { tiers } = node.kv;
    const done = tiers.import('orders', of('{"log":1}\n', '{"log":2}\n'), { overwrite: true });
    await expect(done).rejects.toMatchObject({ code: 'FORMAT_INVALID' });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
    expect(await everything(node.kv.store('orders'))).toEqual(before);
  });

  it('adds a backup to a store that had none, takes it away, and adds another one', async () => {
    const primary = lmdb('one');
    for (const backup of [undefined, lmdb('two'), undefined, lmdb('two'), lmdb('three')]) {
      const tiers = { primary, ...(backup === undefined ? {} : { backup }) };
      const node = await world.open({ orders: tiers });
      expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
      const store = node.kv.store('orders');
      await fill(store, 5);
      if (backup !== undefined) {
        await settled(node, 'orders', (status) => status.tiers.backup?.state === 'ok');
        expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
      }
      await world.close(node);
    }
  });

  it('gets no store from a backup that is known to lack entries, unless that is said', async () => {
    const primary = lmdb('one');
    const alone = await world.open({ orders: { primary } });
    await settled(alone, 'orders');
    await fill(alone.kv.store('orders'), 5);
    await world.close(alone);
    const held = await openLmdbKvStore(
      { clock: new NodeClock() },
      { id: 'x', directory: world.folder('two'), epoch: 0 },
    );
    const tiers = { orders: { primary, backup: lmdb('two') } };
    const unfilled = await world.open(tiers);
    await settled(unfilled, 'orders', (status) => status.tiers.backup?.behind === true);
    await world.close(unfilled);
    await held.close();
    await world.lose('one');

    const node = await world.open(tiers);
    expect(await settled(node, 'orders')).toMatchObject({ state: 'refused' });
    await expect(node.kv.tiers.restore('orders')).rejects.toMatchObject({
      code: 'TIER_MISMATCH',
      message: expect.stringMatching(/known to lack entries/) as unknown,
    });
    expect(await node.kv.tiers.restore('orders', { overwrite: true })).toMatchObject({
      entries: 0,
    });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'open' });
  });
});
