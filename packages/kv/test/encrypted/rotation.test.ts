/** Keys of an encrypted store come and go, while it is used. */
import { type EncryptedKvStore, type KvEntry, type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { MemoryObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import {
  COMPONENTS,
  gather,
  memories,
  memory,
  openTiers,
  text,
  valueOf,
} from '../tiers/tiered-stores.ts';
import { encrypted, keyOf, ringOf } from './encrypted-stores.ts';

const idOf = (name: string): number => ringOf([name]).active.id;

function withoutVersion({ key, value, seq, expiresAtMs }: KvEntry): Partial<KvEntry> {
  return { key, value, seq, expiresAtMs };
}

/** A store in which something happens when an entry of it is read. */
function onRead(store: EncryptedKvStore, act: (key: string) => Promise<void>): KvStore {
  return new Proxy<KvStore>(store, {
    get: (target, name: keyof KvStore) => {
      if (name === 'getEntry') {
        return async (key: string) => {
          const entry = await target.getEntry(key);
          await act(key);
          return entry;
        };
      }
      const part: unknown = Reflect.get(target, name);
      return typeof part === 'function' ? part.bind(target) : part;
    },
  });
}

describe('the keys of an encrypted store', () => {
  it('change while it is open: new values are under the new key, older ones still open', async () => {
    const beneath = memory('beneath');
    const ring = ringOf(['a']);
    const store = encrypted(beneath, ring);
    await store.put('old', text('under a'));
    ring.replace([keyOf('b'), keyOf('a')]);
    await store.put('new', text('under b'));
    expect(await gather(store.values())).toEqual([text('under b'), text('under a')]);
    expect(await store.keysInUse()).toEqual(
      new Map([
        [idOf('b'), 1],
        [idOf('a'), 1],
      ]),
    );
    expect(await valueOf(encrypted(beneath, ringOf(['b'])), 'new')).toBe('under b');
  });

  it('are named where one is missing, and nothing is called damaged', async () => {
    const beneath = memory('beneath');
    await encrypted(beneath, ringOf(['a'])).put('key', text('1'));
    const store = encrypted(beneath, ringOf(['b', 'c']));
    const missing = { code: 'KEY_MISSING', details: { keyId: idOf('a'), key: 'key' } };
    await expect(store.get('key')).rejects.toMatchObject(missing);
    await expect(gather(store.entries())).rejects.toMatchObject(missing);
    await expect(store.rewrap()).rejects.toMatchObject(missing);
    expect(await store.keysInUse()).toEqual(new Map([[idOf('a'), 1]]));
    expect(await gather(store.keys())).toEqual(['key']);
  });

  it('can go when all was written again, which keeps value, place and expiry', async () => {
    const clock = new SimClock(new SeededRandom(1));
    const beneath = openMemoryKvStore({ clock }, { id: 'beneath' });
    const ring = ringOf(['a']);
    const store = encrypted(beneath, ring);
    for (const key of ['c', 'a', 'b']) await store.put(key, text(`value of ${key}`));
    await store.put('short', text('lived'), { expiresAtMs: clock.now() + 60_000 });
    const before = await gather(store.entries());
    ring.replace([keyOf('b'), keyOf('a')]);
    await store.put('late', text('1'));
    const seen: number[] = [];
    const report = await store.rewrap({ onProgress: ({ values }) => seen.push(values) });
    expect(report).toEqual({ values: 5, rewrapped: 4, left: 0 });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(await store.keysInUse()).toEqual(new Map([[idOf('b'), 5]]));
    ring.replace([keyOf('b')]);
    const after = (await gather(store.entries())).filter(({ key }) => key !== 'late');
    expect(after.map(withoutVersion)).toEqual(before.map(withoutVersion));
    const { entries } = await store.page({ order: 'created', reverse: true });
    expect(entries.map(({ key }) => key)).toEqual(['c', 'a', 'b', 'short', 'late']);
    expect(await store.rewrap()).toEqual({ values: 5, rewrapped: 0, left: 0 });
  });

  it('are changed beside writers: what they write meanwhile stays, what they delete is gone', async () => {
    const ring = ringOf(['a']);
    const store = encrypted(memory('beneath'), ring);
    for (const key of ['a', 'b', 'c']) await store.put(key, text('before'));
    ring.replace([keyOf('b'), keyOf('a')]);
    const through = onRead(store, async (key) => {
      if (key === 'a') await store.put('a', text('meanwhile'));
      if (key === 'b') await store.del('b');
    });
    await store.rewrap({ through });
    expect(await valueOf(store, 'a')).toBe('meanwhile');
    expect(await valueOf(store, 'b')).toBeUndefined();
    expect(await valueOf(store, 'c')).toBe('before');
    expect(await store.keysInUse()).toEqual(new Map([[idOf('b'), 2]]));
  });

  it('are changed to an end in a second go, when the first was ended', async () => {
    const ring = ringOf(['a']);
    const store = encrypted(memory('beneath'), ring);
    for (let at = 0; at < 20; at++) await store.put(`k${at}`, text(String(at)));
    ring.replace([keyOf('b'), keyOf('a')]);
    const ended = new AbortController();
    const onProgress = ({ rewrapped }: { rewrapped: number }): void => {
      if (rewrapped === 7) ended.abort();
    };
    await expect(store.rewrap({ signal: ended.signal, onProgress })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(await store.keysInUse()).toEqual(
      new Map([
        [idOf('a'), 13],
        [idOf('b'), 7],
      ]),
    );
    expect(await store.rewrap()).toEqual({ values: 20, rewrapped: 13, left: 0 });
  });

  it('of tiers are changed through the tiers, which stay alike', async () => {
    const raw = memories();
    const rings = { primary: ringOf(['a']), backup: ringOf(['x']) };
    const primary = encrypted(raw.primary, rings.primary);
    const backup = encrypted(raw.backup, rings.backup);
    const stores = { ...raw, primary, backup };
    const first = await openTiers({ ...raw, primary, backup });
    for (const key of ['cache/1', 'k1', 'k2', 'k3']) await first.put(key, text(key));
    const [, before] = await gather(first.entries());
    await first.close();
    // From now on a key is ephemeral whose copy in the primary is left to be.
    const tiers = await openTiers(stores, {
      rules: [{ prefix: 'cache/' }],
      onRulesChange: 'migrate',
    });
    await primary.put('cache/stale', text('old copy'), {
      stamp: { seq: 1, version: 1, epoch: 0 },
    });
    rings.primary.replace([keyOf('b'), keyOf('a')]);
    rings.backup.replace([keyOf('y'), keyOf('x')]);
    const report = await primary.rewrap({ through: tiers });
    expect(report.left).toBe(0);
    await backup.rewrap({ through: tiers });
    expect([...(await primary.keysInUse()).keys()]).toEqual([idOf('b')]);
    expect([...(await backup.keysInUse()).keys()]).toEqual([idOf('y')]);
    expect(await primary.getEntry('cache/stale')).toMatchObject({ seq: 1, version: 1 });
    expect(await gather(tiers.verify())).toEqual([]);
    rings.primary.replace([keyOf('b')]);
    rings.backup.replace([keyOf('y')]);
    await tiers.put('k4', text('k4'));
    expect(await gather(tiers.keys())).toEqual(['cache/1', 'k1', 'k2', 'k3', 'k4']);
    expect(await tiers.getEntry('k1')).toMatchObject({ seq: before?.seq, value: text('k1') });
    await tiers.close();
    const again = await openTiers(stores, { rules: [{ prefix: 'cache/' }] });
    expect(await valueOf(again, 'k2')).toBe('k2');
    await again.close();
  });

  it('leave behind what no tiers know and no batch replaces, and say so', async () => {
    const objects = new MemoryObjectStore(COMPONENTS);
    const ring = ringOf(['a']);
    const beneath = await openS3KvStore({ ...COMPONENTS, objects }, { id: 'objects' });
    const store = encrypted(beneath, ring);
    await store.put('known', text('1'));
    await store.put('unknown', text('1'));
    ring.replace([keyOf('b'), keyOf('a')]);
    const through = onRead(store, async () => {});
    const knowing = new Proxy(through, {
      get: (target, name: keyof KvStore) =>
        name === 'getEntry'
          ? async (key: string) => (key === 'known' ? target.getEntry(key) : undefined)
          : target[name],
    });
    expect(await store.rewrap({ through: knowing })).toEqual({ values: 2, rewrapped: 1, left: 1 });
    expect(await store.rewrap()).toEqual({ values: 2, rewrapped: 1, left: 0 });
    await beneath.close();
  });

  it('are not changed where nothing can be written on a condition', async () => {
    const store = encrypted(memory('beneath'));
    const through = new Proxy(store as KvStore, {
      get: (target, name: keyof KvStore) =>
        name === 'capabilities' ? { ...target.capabilities, compareAndSet: false } : target[name],
    });
    await expect(store.rewrap({ through })).rejects.toMatchObject({ code: 'KV_UNSUPPORTED' });
  });
});
