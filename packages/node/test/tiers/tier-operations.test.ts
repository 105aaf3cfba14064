/** What an operator meets: every way in which tiers do not open, and work that is cut short. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { generateKeyText, HoldfastError, NodeClock, NodeRandom, onCut } from '@holdfast/core';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import {
  type HoldfastNode,
  nodeComponents,
  OfflineBackup,
  openNode,
  type StoreTiersInput,
} from '@holdfast/node';
import { SimFs } from '@holdfast/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { everything, fill, settled, TieredFolder } from './tiered-node.ts';

const TIMEOUT_MS = 60_000;

let world: TieredFolder;
let forget: (() => void) | undefined;
beforeEach(async () => {
  world = await TieredFolder.make();
});
afterEach(async () => {
  forget?.();
  await world.end();
}, TIMEOUT_MS);

const lmdb = (name: string): string => `lmdb:${world.folder(name)}`;
const files = (name: string): string => `files:${world.folder(name)}`;

async function opened(
  tiers: StoreTiersInput,
  dir?: string,
  more?: object,
): Promise<{
  readonly node: HoldfastNode;
  readonly store: ReturnType<HoldfastNode['kv']['store']>;
}> {
  const node = await world.open({ orders: tiers }, dir, more);
  const status = await settled(node, 'orders');
  if (status.state !== 'open') throw new Error(`${status.state}: ${status.problem?.message}`);
  return { node, store: node.kv.store('orders') };
}

async function refusal(
  tiers: Readonly<Record<string, StoreTiersInput>>,
  dir?: string,
): Promise<string> {
  const node = await world.open(tiers, dir);
  const { state, problem } = await settled(node, Object.keys(tiers)[0] ?? '');
  expect([state, problem?.advice]).toEqual(['refused', expect.stringMatching(/./)]);
  await world.close(node);
  return `${problem?.code}: ${problem?.message}`;
}

/** A folder that somebody else has open. */
function held(name: string, epoch = 0): ReturnType<typeof openLmdbKvStore> {
  const settings = { id: 'x', directory: world.folder(name), epoch };
  return openLmdbKvStore({ clock: new NodeClock() }, settings);
}

/** From this moment on, as if the process had ended there. */
function endAt(point: string): void {
  let ended = false;
  forget = onCut((name) => {
    ended ||= name === point;
    if (ended) throw new HoldfastError('STORAGE_UNAVAILABLE', `ended at ${name}`);
  });
}

describe('places that do not fit', { timeout: TIMEOUT_MS }, () => {
  it('a place of another store is found out, whatever name it has in the settings', async () => {
    const first = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(first.store, 3);
    await world.close(first.node);
    const swapped = { primary: lmdb('two'), backup: lmdb('one') };
    expect(await refusal({ orders: swapped })).toMatch(/TIER_MISMATCH: .*changed to/);
    expect(await refusal({ orders: swapped }, 'other')).toMatch(/the primary is the backup/);
    const renamed = { bills: { primary: lmdb('one'), backup: lmdb('two') } };
    expect(await refusal(renamed)).toMatch(/belongs to another store, "orders"/);
    const mixed = { bills: { primary: lmdb('new'), backup: lmdb('two') } };
    expect(await refusal(mixed, 'third')).toMatch(/the backup belongs to another store, "orders"/);
    // Nothing of it was changed.
    const again = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    expect(await everything(again.store)).toHaveLength(3);
  });

  it('a store whose tiers are in the settings no more is not served from what is here', async () => {
    const first = await opened({ backup: lmdb('backup') });
    await fill(first.store, 3);
    await first.node.kv.tiers.promote('orders');
    await world.close(first.node);
    const node = await world.open({});
    const store = node.kv.store('orders');
    await expect(store.get('x')).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    await expect(store.put('x', Buffer.from('y'))).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    expect(node.kv.tiers.list()).toMatchObject([{ name: 'orders', state: 'refused' }]);
    await expect(node.kv.tiers.drain('bills')).rejects.toMatchObject({
      code: 'TIERS_NOT_CONFIGURED',
    });
  });

  it('other rules are refused, and moved by when that is asked for', async () => {
    const places = { backup: lmdb('backup'), ephemeral: lmdb('cache') };
    const first = await opened({ ...places, rules: [{ prefix: 'cache/' }] });
    await first.store.put('cache/a', Buffer.from('a'));
    await first.store.put('temp/b', Buffer.from('b'));
    await world.close(first.node);
    const rules = [{ prefix: 'temp/' }];
    expect(await refusal({ orders: { ...places, rules } })).toMatch(/TIER_RULES_CHANGED/);
    const moved = await opened({ ...places, rules, onRulesChange: 'migrate' });
    expect(await everything(moved.store)).toHaveLength(2);
    expect(await moved.node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
  });

  it('a backup that is away at the start is waited for by writes, and by nothing else', async () => {
    const first = await opened({ backup: lmdb('backup') });
    await fill(first.store, 3);
    await world.close(first.node);
    const lock = await held('backup');
    const { node, store } = await opened({ backup: lmdb('backup'), backupMode: 'async' });
    const status = node.kv.tiers.status('orders');
    expect(status.tiers.backup).toMatchObject({ error: { code: 'DIRECTORY_LOCKED' } });
    expect(await everything(store)).toHaveLength(3);
    await fill(store, 2, 10);
    await lock.close();
    expect(await node.kv.tiers.drain('orders')).toMatchObject({ owed: { operations: 0 } });
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
  });
});

describe('work that is cut short', { timeout: TIMEOUT_MS }, () => {
  it.each(['tiers.promote', 'tiers.promoted'])(
    'a promotion that ends at %s is begun again',
    async (point) => {
      const tiers = { primary: files('one'), backup: lmdb('two') };
      const first = await opened(tiers);
      await fill(first.store, 8);
      const before = await everything(first.store);
      endAt(point);
      await expect(first.node.kv.tiers.promote('orders')).rejects.toThrow('ended at');
      await world.close(first.node).catch(() => undefined);
      forget?.();

      const again = await opened(tiers);
      expect(await everything(again.store)).toEqual(before);
      await fill(again.store, 2, 20);
      const { epoch } = await again.node.kv.tiers.promote('orders');
      expect(again.node.kv.tiers.status('orders')).toMatchObject({ epoch, state: 'open' });
      expect(await everything(again.store)).toHaveLength(10);
    },
  );

  it.each(['tiers.migrate', 'tiers.migrated'])(
    'a migration that ends at %s is begun again',
    async (point) => {
      const tiers = { primary: lmdb('one'), backup: files('two') };
      const first = await opened(tiers);
      await fill(first.store, 8);
      const before = await everything(first.store);
      endAt(point);
      await expect(first.node.kv.tiers.migrate('orders', lmdb('new'))).rejects.toThrow('ended at');
      await world.close(first.node).catch(() => undefined);
      forget?.();

      const again = await opened(tiers);
      expect(await everything(again.store)).toEqual(before);
      const steps: string[] = [];
      const outcome = await again.node.kv.tiers.migrate('orders', lmdb('new'), {
        onProgress: ({ phase }) => void steps.push(phase),
      });
      expect(steps).toEqual(['copy', 'verify', 'done']);
      expect(outcome.settings).toEqual([
        { setting: 'tiers.orders.primary', value: lmdb('new') },
        { setting: 'tiers.orders.backup', value: files('two') },
      ]);
      await fill(again.store, 2, 20);
      const after = await everything(again.store);
      await world.close(again.node);
      expect(await refusal({ orders: tiers })).toMatch(/changed to lmdb:.*new/);
      expect(await refusal({ orders: { ...tiers, takeOver: true } })).toMatch(
        /was left for another/,
      );
      const moved = await opened({ ...tiers, primary: lmdb('new') });
      expect(await everything(moved.store)).toEqual(after);
      expect(await moved.node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    },
  );

  it('a restore that ends in its midst serves nothing, and is gone on with', async () => {
    const tiers = { primary: lmdb('one'), backup: lmdb('two') };
    const first = await opened(tiers);
    await fill(first.store, 30);
    const before = await everything(first.store);
    await world.close(first.node);
    await world.lose('one');

    const node = await world.open({ orders: tiers });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'refused' });
    const ended = new AbortController();
    const onProgress = (): void => ended.abort();
    await expect(
      node.kv.tiers.restore('orders', { signal: ended.signal, onProgress }),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await settled(node, 'orders')).toMatchObject({
      problem: { message: expect.stringContaining('a restore into the primary did not end') },
    });
    await expect(node.kv.store('orders').get('x')).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    await world.close(node);
    expect(await refusal({ orders: tiers })).toMatch(/did not end/);

    const other = await world.open({ orders: tiers });
    await settled(other, 'orders');
    expect(await other.kv.tiers.restore('orders')).toMatchObject({ entries: 30 });
    expect(await everything(other.kv.store('orders'))).toEqual(before);
  });

  it('ends when the node closes, which waits for it', async () => {
    const { node, store } = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(store, 5);
    let closing: Promise<void> | undefined;
    const onProgress = (): void => {
      closing ??= world.close(node);
    };
    const work = node.kv.tiers.migrate('orders', lmdb('new'), { onProgress });
    // Whichever was quicker.
    const ended = await work.catch((thrown: unknown) => thrown as { readonly code: string });
    expect('code' in ended ? ended.code : ended.store).toMatch(/^(CLOSED|ABORTED|orders)$/);
    await closing;
    await expect(node.kv.tiers.promote('orders')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('one thing at a time is done with a store, and others are told what', async () => {
    const { node, store } = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(store, 5);
    const first = node.kv.tiers.migrate('orders', lmdb('new'));
    await expect(node.kv.tiers.promote('orders')).rejects.toMatchObject({
      code: 'TIER_BUSY',
      message: expect.stringContaining('migrate'),
    });
    expect(node.kv.tiers.status('orders').operation).toMatchObject({ kind: 'migrate' });
    await first;
    expect(node.kv.tiers.status('orders').operation).toBe(undefined);
  });

  it('writes go on while a store migrates, and are there afterwards', async () => {
    const { node, store } = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(store, 50);
    const migrating = node.kv.tiers.migrate('orders', files('new'));
    await fill(store, 50, 50);
    await migrating;
    await fill(store, 5, 200);
    expect(await everything(store)).toHaveLength(105);
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
  });
});

describe('places that lost something', { timeout: TIMEOUT_MS }, () => {
  it('what async writes owed to the backup is in a primary that is restored from it', async () => {
    const tiers = { primary: lmdb('one'), backup: lmdb('two'), backupMode: 'async' as const };
    const first = await opened(tiers);
    await fill(first.store, 5);
    await first.node.kv.tiers.drain('orders');
    await world.close(first.node);
    // The backup is away while the last writes are acknowledged.
    const lock = await held('two');
    const second = await opened(tiers);
    await fill(second.store, 3, 10);
    const before = await everything(second.store);
    await world.close(second.node);
    await lock.close();
    await world.lose('one');
    const node = await world.open({ orders: tiers });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'refused' });
    await node.kv.tiers.restore('orders');
    await node.kv.tiers.drain('orders');
    expect(await everything(node.kv.store('orders'))).toEqual(before);
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
  });

  it('a primary on a new place is filled from the backup, whatever was the primary before', async () => {
    const first = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(first.store, 6);
    const before = await everything(first.store);
    await world.close(first.node);
    const tiers = { primary: lmdb('new'), backup: lmdb('two') };
    const node = await world.open({ orders: tiers });
    expect((await settled(node, 'orders')).problem?.message).toContain('changed to');
    await node.kv.tiers.restore('orders');
    expect(await everything(node.kv.store('orders'))).toEqual(before);
    await world.close(node);
    expect(await refusal({ orders: { primary: lmdb('one'), backup: lmdb('two') } })).toMatch(
      /changed to/,
    );
  });

  it('a promotion of a node that knows nothing has to be forced', async () => {
    const tiers = { primary: lmdb('one'), backup: lmdb('two') };
    const first = await opened(tiers);
    await fill(first.store, 4);
    await world.close(first.node);
    await world.lose('one');
    const node = await world.open({ orders: tiers }, 'other');
    await settled(node, 'orders');
    await expect(node.kv.tiers.promote('orders')).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    expect(await node.kv.tiers.promote('orders', { force: true })).toMatchObject({
      store: 'orders',
    });
    expect(await everything(node.kv.store('orders'))).toHaveLength(4);
  });

  it('a store that was moved to a place of another name is taken over with what it owes', async () => {
    const first = await opened({ primary: lmdb('one'), backup: lmdb('two') });
    await fill(first.store, 4);
    const before = await everything(first.store);
    await world.close(first.node);
    renameSync(world.folder('one'), world.folder('renamed'));
    const node = await world.open({ orders: { primary: lmdb('renamed'), backup: lmdb('two') } });
    expect(await settled(node, 'orders')).toMatchObject({ state: 'refused' });
    await node.kv.tiers.takeOver('orders');
    expect(await everything(node.kv.store('orders'))).toEqual(before);
  });

  it('a backup that is not what the primary is, is repaired', async () => {
    const { node, store } = await opened({ backup: lmdb('two') });
    await fill(store, 4);
    await world.close(node);
    const direct = await held('two', 1);
    for await (const key of direct.keys({ limit: 1 })) await direct.del(key);
    await direct.close();
    const again = await opened({ backup: lmdb('two') });
    const { tiers } = again.node.kv;
    expect(await tiers.verify('orders')).toMatchObject({
      differences: 1,
      shown: [{ kind: 'only-primary' }],
    });
    expect(await tiers.repair('orders', { dryRun: true })).toMatchObject({ copiedToBackup: 1 });
    expect(await tiers.verify('orders')).toMatchObject({ differences: 1 });
    expect(await tiers.repair('orders')).toMatchObject({ copiedToBackup: 1, compared: 4 });
    expect(await tiers.verify('orders')).toMatchObject({ differences: 0 });
  });
});

describe('a node that was restored to an earlier moment', { timeout: TIMEOUT_MS }, () => {
  const tiers = (): StoreTiersInput => ({ backup: lmdb('tier-backup') });

  /** The data directory as it was at five entries; the backup of the store has ten. */
  async function putBack(): Promise<readonly string[]> {
    const backup = world.folder('node-backup');
    const { node, store } = await opened(tiers(), 'data', { backup });
    await fill(store, 5);
    const before = await everything(store);
    await node.mark('five');
    await fill(store, 5, 50);
    await node.snapshots.create();
    await node.archive.flush();
    await world.close(node);
    const offline = await OfflineBackup.open({ backup }, nodeComponents());
    await offline.restore({ into: world.folder('copy'), target: { name: 'five' } });
    await offline.close();
    return before;
  }

  it('does not open by itself, and goes on from there when it is told to', async () => {
    const before = await putBack();
    expect(await refusal({ orders: tiers() }, 'copy')).toMatch(/TIER_MISMATCH: .*restored copy/);
    const node = await world.open({ orders: tiers() }, 'copy');
    expect(node.kv.tiers.status('orders').problem?.advice).toContain('take-over orders');
    await node.kv.tiers.takeOver('orders');
    const store = node.kv.store('orders');
    expect(await everything(store)).toEqual(before);
    await settled(node, 'orders', (status) => status.tiers.backup?.state === 'ok');
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    await fill(store, 2, 90);
    await world.close(node);
    const again = await opened(tiers(), 'copy');
    expect(await everything(again.store)).toHaveLength(7);
  });

  it('or brings back what only the backup of the store has', async () => {
    await putBack();
    const node = await world.open({ orders: tiers() }, 'copy');
    await settled(node, 'orders');
    await node.kv.tiers.restore('orders', { overwrite: true });
    expect(await everything(node.kv.store('orders'))).toHaveLength(10);
    await settled(node, 'orders', (status) => status.tiers.backup?.state === 'ok');
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
  });

  it('or makes that backup the primary, by force', async () => {
    await putBack();
    const node = await world.open({ orders: tiers() }, 'copy');
    await settled(node, 'orders');
    await expect(node.kv.tiers.promote('orders')).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    await node.kv.tiers.promote('orders', { force: true });
    expect(await everything(node.kv.store('orders'))).toHaveLength(10);
    await fill(node.kv.store('orders'), 2, 90);
    expect(await everything(node.kv.store('orders'))).toHaveLength(12);
  });
});

describe('places in the node', { timeout: TIMEOUT_MS }, () => {
  it('a backup in the data directory becomes the primary under the name that is told', async () => {
    const tiers = { primary: lmdb('one'), backup: 'engine:' };
    const first = await opened(tiers);
    await fill(first.store, 5);
    const { settings } = await first.node.kv.tiers.promote('orders');
    expect(settings[0]?.value).toBe('engine:_tiers-backup.orders');
    await fill(first.store, 2, 10);
    await world.close(first.node);
    const again = await opened({ primary: settings[0]?.value });
    expect(await everything(again.store)).toHaveLength(7);
    const names: string[] = [];
    for await (const { name } of again.node.kv.stores()) names.push(name);
    expect(names).toEqual(['orders']);
    // And back: the old place is marked as left, and is a target like any other.
    await again.node.kv.tiers.migrate('orders', lmdb('one'));
    expect(await everything(again.store)).toHaveLength(7);
  });

  it('a node in memory has tiers in memory', async () => {
    const node = await world.open({ orders: { backup: 'memory:' } }, 'x', {
      ...{ dir: undefined, memory: true },
    });
    await settled(node, 'orders');
    await fill(node.kv.store('orders'), 5);
    expect(await node.kv.tiers.promote('orders')).toMatchObject({ store: 'orders' });
    expect(await everything(node.kv.store('orders'))).toHaveLength(5);
  });

  it('a node in memory has caches on the disk', async () => {
    const pages = { ephemeral: lmdb('cache'), rules: [{ prefix: 'c/' }] };
    const node = await world.open({ pages }, 'x', { dir: undefined, memory: true });
    expect(await settled(node, 'pages')).toMatchObject({ state: 'open' });
    await node.kv.store('pages').put('c/1', Buffer.from('x'));
    expect(await everything(node.kv.store('pages'))).toHaveLength(1);
  });

  it('a full disk refuses puts, loses nothing, and takes them again when there is room', async () => {
    const fileSystem = new SimFs();
    const node = await openNode(
      { dir: '/data', tiers: { orders: { backup: 'files:/backup', callTimeoutMs: 5_000 } } },
      { fileSystem },
      { database: { diskReserveBytes: 400_000 } },
    );
    await settled(node, 'orders');
    const store = node.kv.store('orders');
    const { disk } = fileSystem;
    const used = disk.paths().reduce((sum, path) => sum + disk.content(path).length, 0);
    disk.capacityBytes = used + 1_500_000;
    const value = randomBytes(100_000);
    let put = 0;
    const filling = async (): Promise<void> => {
      for (; put < 100; put++) await store.put(`k${put}`, value);
    };
    await expect(filling()).rejects.toMatchObject({
      code: expect.stringMatching(/^(DISK_FULL|PARTIAL_WRITE|LAG_LIMIT)$/) as unknown,
    });
    expect(put).toBeGreaterThan(0);
    expect(node.failure).toBe(undefined);
    for (let at = 0; at < put; at++) expect(await store.has(`k${at}`)).toBe(true);
    disk.capacityBytes = Infinity;
    for (;;) {
      const done = await store.put('after', value).catch((error: unknown) => error);
      if (!(done instanceof Error)) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await node.kv.tiers.drain('orders');
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    await node.close();
  });
});

describe('a node with keys', { timeout: TIMEOUT_MS }, () => {
  const CANARY = `canary ${randomBytes(12).toString('hex')}`;

  function holds(folder: string, word: string): boolean {
    return readdirSync(folder, { recursive: true })
      .map((name) => join(folder, String(name)))
      .some((file) => statSync(file).isFile() && readFileSync(file).includes(word));
  }

  it.each([
    [undefined, false],
    [false, true],
  ])('with encrypted: %s a value is readable in the backup: %s', async (encrypted, readable) => {
    const key = generateKeyText(new NodeRandom());
    const tiers = { backup: files('backup'), encrypted };
    const { node, store } = await opened(tiers, 'data', { key });
    await store.put('a', Buffer.from(CANARY));
    const before = await everything(store);
    await world.close(node);
    expect(holds(world.folder('backup'), CANARY)).toBe(readable);
    expect(holds(world.folder('data'), CANARY)).toBe(false);
    await world.lose('data');
    const other = await world.open({ orders: tiers }, 'data', { key });
    await settled(other, 'orders');
    await other.kv.tiers.restore('orders');
    expect(await everything(other.kv.store('orders'))).toEqual(before);
  });

  it('with other keys than before says so, and shows no value', async () => {
    const tiers = { primary: files('primary') };
    const first = await opened(tiers, 'data', { key: generateKeyText(new NodeRandom()) });
    await first.store.put('a', Buffer.from('b'));
    await world.close(first.node);
    const node = await world.open({ orders: tiers }, 'other', {
      key: generateKeyText(new NodeRandom()),
    });
    expect(await settled(node, 'orders')).toMatchObject({
      state: 'refused',
      problem: { code: 'KEY_MISSING', advice: expect.stringContaining('keys of before') },
    });
  });

  it('gives no key up that a place still needs, and one that was rewrapped does not', async () => {
    const [old, next] = [generateKeyText(new NodeRandom()), generateKeyText(new NodeRandom())];
    const tiers = { primary: lmdb('primary'), backup: files('backup') };
    const { node, store } = await opened(tiers, 'data', { key: old });
    await fill(store, 6);
    const [before] = (await node.keys.status()).keys;
    const status = await node.keys.rotate({ key: `${next}\n${old}` });
    expect(status.keys.find(({ id }) => id === before?.id)?.where['tiers']).toBeGreaterThan(11);
    await expect(node.keys.retire(before?.id ?? '')).rejects.toMatchObject({ code: 'KEY_IN_USE' });
    const outcome = await node.kv.tiers.rewrap('orders');
    expect(outcome).toMatchObject({ store: 'orders', places: 2, left: 0 });
    const after = (await node.keys.status()).keys;
    expect(after.find(({ id }) => id === before?.id)?.where['tiers'] ?? 0).toBe(0);
    expect(await node.kv.tiers.verify('orders')).toMatchObject({ differences: 0 });
    const entries = await everything(store);
    expect(entries).toHaveLength(6);
    await world.close(node);
    const again = await opened(tiers, 'data', { key: `${next}\n${old}` });
    expect(await everything(again.store)).toEqual(entries);
  });
});
