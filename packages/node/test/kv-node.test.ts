/**
 * Key-value stores in whatever a node does with its data: storage that fails, a full disk, verify,
 * rebalance, snapshots, restores and drills, and encryption at rest.
 */
import { generateKeyText, NodeClock, NodeRandom, onCut, SILENT } from '@holdfast/core';
import { restoreDatabase } from '@holdfast/database';
import type { KvEntry, KvStore } from '@holdfast/kv';
import { MemoryObjectStore } from '@holdfast/objects';
import { SimFs } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type HoldfastNode,
  type NodeTuning,
  openNode,
  rebalanceDirectory,
  verifyDirectory,
} from '../src/index.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom(), logger: SILENT };
const SMALL: NodeTuning = {
  database: { segmentTargetBytes: 40 * 1024, preallocateBytes: 8 * 1024, diskReserveBytes: 0 },
  kv: { purgeIntervalMs: 20, purgeStartGraceMs: 0 },
};
const LARGE = Buffer.alloc(20_000, 'large ');

const opened: HoldfastNode[] = [];
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close();
});

async function open(
  input: Parameters<typeof openNode>[0],
  components: Parameters<typeof openNode>[1],
  tuning: NodeTuning = SMALL,
): Promise<HoldfastNode> {
  const node = await openNode(input, components, tuning);
  opened.push(node);
  return node;
}

/** Entries of every kind: small, in an extent, rewritten, deleted, with an expiry; and a stream. */
async function fill(node: HoldfastNode, word = 'value'): Promise<void> {
  const stream = await node.streams.open('s', { type: 'application/json' });
  for (let at = 0; at < 60; at++) {
    const store = node.kv.store(at % 3 === 0 ? 'one' : 'two');
    await store.put(`key-${at}`, Buffer.from(`${word} ${at}`));
    if (at % 5 === 0) await store.put(`key-${at}`, Buffer.concat([LARGE, Buffer.from(`${at}`)]));
    if (at % 7 === 0) await store.del(`key-${at}`);
    if (at % 20 === 0) await stream.append({ at });
    if (at % 25 === 0) await node.checkpoint();
  }
  await node.kv.store('one').put('mortal', Buffer.from(word), { ttlMs: 3_600_000 });
  await node.kv.store('two').batch([
    { type: 'put', key: 'a', value: Buffer.from('batch') },
    { type: 'del', key: 'key-1' },
  ]);
}

async function entriesOf(store: KvStore): Promise<KvEntry[]> {
  const entries: KvEntry[] = [];
  for await (const entry of store.entries()) entries.push(entry);
  return entries;
}

interface Shown {
  readonly stores: readonly string[];
  readonly entries: readonly (readonly KvEntry[])[];
  readonly created: readonly (readonly string[])[];
}

/** Everything a reader can see of the stores. */
async function shown(node: HoldfastNode): Promise<Shown> {
  const stores: string[] = [];
  for await (const { name } of node.kv.stores()) stores.push(name);
  const entries = await Promise.all(stores.map((name) => entriesOf(node.kv.store(name))));
  const pages = stores.map((name) => node.kv.store(name).page({ order: 'created', limit: 1_000 }));
  const created = (await Promise.all(pages)).map((page) => page.entries.map(({ key }) => key));
  return { stores, entries, created };
}

describe('a store of a node whose storage failed', () => {
  it('refuses writes with NODE_FAILED, and goes on with reads', async () => {
    const fileSystem = new SimFs();
    const node = await open({ dir: '/data' }, { fileSystem });
    const store = node.kv.store('a');
    await store.put('k', Buffer.from('1'));
    fileSystem.disk.faults.plan({ effect: 'EIO', times: Infinity });
    for (let tries = 0; node.failure === undefined; tries++) {
      expect(tries).toBeLessThan(100);
      await expect(store.put('k', Buffer.from('2'))).rejects.toThrow();
    }
    fileSystem.disk.faults.clear();
    expect(node.state).toBe('failed');
    for (const write of [
      () => store.put('k', Buffer.from('3')),
      () => store.put('other', Buffer.from('3'), { ifAbsent: true }),
      () => store.del('k'),
      () => store.batch([{ type: 'del', key: 'k' }]),
      () => store.clear(),
    ]) {
      await expect(write()).rejects.toMatchObject({ code: 'NODE_FAILED' });
    }
    expect(await store.get('k')).toEqual(Buffer.from('1'));
    expect(await store.get('other')).toBeUndefined();
    expect((await shown(node)).stores).toEqual(['a']);
  });
});

describe('a store of a node whose disk is full', () => {
  it('refuses puts with DISK_FULL, deletes go on, and puts do when there is room', async () => {
    const fileSystem = new SimFs();
    const node = await open(
      { dir: '/data' },
      { fileSystem },
      { ...SMALL, database: { ...SMALL.database, diskReserveBytes: 400_000 } },
    );
    const store = node.kv.store('a');
    await store.put('first', Buffer.from('1'));
    const { disk } = fileSystem;
    const used = disk.paths().reduce((sum, path) => sum + disk.content(path).length, 0);
    disk.capacityBytes = used + 1_500_000;
    let put = 0;
    const filling = async (): Promise<void> => {
      for (; put < 1_000; put++) await store.put(`k${put}`, LARGE);
    };
    await expect(filling()).rejects.toMatchObject({ code: 'DISK_FULL', effect: 'none' });
    expect(put).toBeGreaterThan(0);
    await store.del('first');
    expect(await store.has('first')).toBe(false);
    expect((await entriesOf(store)).length).toBe(put);
    expect(node.failure).toBeUndefined();
    disk.capacityBytes = Infinity;
    for (;;) {
      const done = await store.put('after', LARGE).catch((error: unknown) => error);
      if (!(done instanceof Error)) break;
      expect(done).toMatchObject({ code: 'DISK_FULL' });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect((await entriesOf(store)).length).toBe(put + 1);
  }, 60_000);
});

describe('offline', () => {
  it('a directory with stores verifies, and damage in a value of theirs is found', async () => {
    const fileSystem = new SimFs();
    const node = await openNode({ dir: '/data' }, { fileSystem }, SMALL);
    await fill(node);
    expect(await node.verify()).toEqual([]);
    await node.close();
    const components = { ...seams, fileSystem };
    expect((await verifyDirectory({ dir: '/data' }, components)).problems).toEqual([]);
    const { disk } = fileSystem;
    const extent = disk.paths().find((path) => path.endsWith('.hfx')) as string;
    disk.flipBit(extent, disk.content(extent).indexOf(LARGE.subarray(0, 100)) + 50, 1);
    const { problems } = await verifyDirectory({ dir: '/data' }, components);
    expect(problems.map(({ path }) => path)).toEqual([extent]);
  });

  it.each([1, 4, 16])('rebalanced to %i shards, stores are what they were', async (shardCount) => {
    const fileSystem = new SimFs();
    const dir = '/data';
    const node = await openNode({ dir, shardCount: 2 }, { fileSystem }, SMALL);
    await fill(node);
    const before = await shown(node);
    const store = node.kv.store('two');
    const byKey = await store.page({ order: 'key', limit: 10 });
    const byCreation = await store.page({ order: 'created', limit: 10 });
    const rest = async (next: string | undefined, order: 'key' | 'created', from: KvStore) =>
      (await from.page({ order, token: next, limit: 1_000 })).entries.map(({ key }) => key);
    const keys = await rest(byKey.next, 'key', store);
    const created = await rest(byCreation.next, 'created', store);
    const lastChange = await store.lastChange();
    await node.close();
    await rebalanceDirectory({ dir, shardCount }, { ...seams, fileSystem });
    const again = await open({ dir }, { fileSystem });
    expect(await shown(again)).toEqual(before);
    const same = again.kv.store('two');
    expect(await rest(byKey.next, 'key', same)).toEqual(keys);
    expect(await rest(byCreation.next, 'created', same)).toEqual(created);
    expect(await same.lastChange()).toBe(lastChange);
    const { version } = await same.put('new', Buffer.from('1'));
    expect(version).toBeGreaterThan(lastChange);
    expect(await again.verify()).toEqual([]);
  });
});

describe('a backup', () => {
  it('holds stores: a snapshot with the log behind it restores them, and a drill counts them', async () => {
    const fileSystem = new SimFs();
    const store = new MemoryObjectStore({ clock: seams.clock });
    const node = await open({ dir: '/data' }, { fileSystem, objectStore: store });
    await fill(node);
    await node.snapshots.create();
    await node.kv.store('late').put('behind the snapshot', LARGE, { ttlMs: 3_600_000 });
    await node.kv.store('one').del('key-3');
    await node.archive.flush();
    const before = await shown(node);
    const drill = await node.snapshots.drill();
    expect(drill).toMatchObject({ ok: true, streams: 1, stores: 3, problems: [] });
    const components = { ...seams, fileSystem, objects: store };
    await restoreDatabase(components, { into: '/restored', target: 'latest', verify: 'full' });
    const restored = await open({ dir: '/restored' }, { fileSystem });
    expect(await shown(restored)).toEqual(before);
    expect(await restored.verify()).toEqual([]);
    const found = await entriesOf(restored.kv.store('late'));
    expect(found).toMatchObject([{ value: LARGE, expiresAtMs: expect.any(Number) }]);
  });
});

const CANARY = 'canary';

/** Files and objects that hold the word, or have it in their names, at any moment of a life. */
async function placesWithCanary(key: string | undefined): Promise<string[]> {
  const found = new Set<string>();
  const fileSystem = new SimFs();
  const { disk } = fileSystem;
  const look = (): void => {
    for (const path of disk.paths()) {
      if (path.includes(CANARY) || disk.content(path).includes(CANARY)) found.add(path);
    }
  };
  const off = onCut(() => look());
  try {
    const input = { dir: '/data', ...(key === undefined ? {} : { key }), backup: '/bucket' };
    let node = await openNode(input, { fileSystem }, SMALL);
    await spill(node);
    await node.snapshots.create();
    await node.archive.flush();
    await node.close();
    node = await openNode(input, { fileSystem }, SMALL);
    await spill(node);
    await node.scrub();
    await node.snapshots.create({ full: true });
    await node.archive.flush();
    look();
    await node.close();
    look();
  } finally {
    off();
  }
  return [...found];
}

/** The word in names, keys and values of stores: small, large, rewritten, deleted, expired. */
async function spill(node: HoldfastNode): Promise<void> {
  const store = node.kv.store(`${CANARY}-store`);
  for (let at = 0; at < 30; at++) {
    await store.put(`${CANARY}/${at}`, Buffer.from(`${CANARY} `.repeat(at % 4 === 0 ? 1_000 : 5)));
    if (at % 10 === 9) await node.checkpoint();
  }
  await store.del(`${CANARY}/7`);
  await store.put(`${CANARY}/8`, Buffer.from(CANARY), { ttlMs: 1 });
  await store.batch([
    { type: 'put', key: `${CANARY}/batch`, value: Buffer.from(CANARY) },
    { type: 'del', key: `${CANARY}/9` },
  ]);
  await node.checkpoint();
}

describe('with a key', () => {
  it('nothing of a store is found in a file or in the backup, at any moment', async () => {
    expect(await placesWithCanary(generateKeyText(seams.random))).toEqual([]);
  }, 60_000);

  it('the same search finds it in log, tables, extents and backup where there is no key', async () => {
    const found = await placesWithCanary(undefined);
    for (const kind of [/^\/data\/.*\.seg$/, /\.hft$/, /\.hfx$/, /^\/bucket\//]) {
      expect(
        found.some((path) => kind.test(path)),
        String(kind),
      ).toBe(true);
    }
  }, 60_000);

  it('stores are what they were after a restart, and refused without the key', async () => {
    const fileSystem = new SimFs();
    const key = generateKeyText(seams.random);
    const node = await openNode({ dir: '/data', key }, { fileSystem }, SMALL);
    await fill(node);
    const before = await shown(node);
    await node.close();
    await expect(openNode({ dir: '/data' }, { fileSystem }, SMALL)).rejects.toMatchObject({
      code: expect.stringMatching(/KEY/),
    });
    const again = await open({ dir: '/data', key }, { fileSystem });
    expect(await shown(again)).toEqual(before);
  });
});
