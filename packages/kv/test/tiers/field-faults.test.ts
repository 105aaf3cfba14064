/**
 * What was found wrong with tiers elsewhere, each as a test that this one does better: the designs of
 * the TierStore of the Lightning Dev Kit, and the tiers of JavaScript's stores.
 */
import { sleep } from '@holdfast/core';
import { restoreTier } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { gather, text, valueOf } from './tiered-stores.ts';
import { keysIn, world } from './tier-world.ts';

const CACHE = { rules: [{ prefix: 'cache/' }] };
const PARTIAL = { code: 'PARTIAL_WRITE', effect: 'unknown' };

describe('the faults of TierStore', () => {
  it(
    'routing was three fixed keys: here it is rules by prefix, glob and predicate',
    world(async (tiers) => {
      const store = await tiers.open({
        rules: [
          { prefix: 'network/' },
          { glob: 'peers/*/score' },
          { id: 'tmp', matches: (key) => key.endsWith('.tmp') },
        ],
      });
      const ephemeral = ['a.tmp', 'network/graph', 'peers/1/score'];
      const durable = ['a', 'network', 'peers/1/2/score', 'peers/1/score/x'];
      for (const key of [...ephemeral, ...durable]) await store.put(key, text('1'));
      expect(await keysIn(tiers.stores.ephemeral.inner)).toEqual(ephemeral);
      expect(await keysIn(tiers.stores.primary.inner)).toEqual(durable);
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(durable);
      expect(await keysIn(store)).toEqual([...ephemeral, ...durable].toSorted());
      await store.close();
    }),
  );

  it(
    'a missing ephemeral value is not the old copy in the primary, in reads and in lists',
    world(async (tiers) => {
      await tiers.stores.primary.inner.put('cache/x', text('old'));
      await tiers.stores.ephemeral.inner.put('durable', text('decoy'));
      const store = await tiers.open(CACHE);
      await tiers.stores.primary.inner.put('cache/y', text('old'));
      await store.del('cache/x'); // opening had moved it to where it belongs
      expect(await store.get('cache/y')).toBeUndefined();
      expect(await keysIn(store)).toEqual([]);
      expect((await store.page({ order: 'created' })).entries).toEqual([]);
      await store.close();
    }),
  );

  it.each([
    ['primary', 'backup'],
    ['backup', 'primary'],
  ] as const)(
    'which tier failed was not told: here it is %s, and what comes next is told too',
    (down, up) =>
      world(async (tiers) => {
        const store = await tiers.open();
        await store.put('a', text('1'));
        tiers.stores[down].fail('error-after');
        await expect(store.put('a', text('2'))).rejects.toMatchObject({
          ...PARTIAL,
          details: { [down]: 'queued', [up]: 'done' },
        });
        expect(store.status()).toMatchObject({
          divergent: 1,
          tiers: { [down]: { owedOperations: 1 }, [up]: { owedOperations: 0 } },
        });
        tiers.stores[down].heal();
        await store.drain();
        for (const each of [tiers.stores.primary, tiers.stores.backup]) {
          expect(await valueOf(each.inner, 'a')).toBe('2');
        }
        expect(store.status()).toMatchObject({ divergent: 0 });
        await store.close();
      })(),
  );

  it(
    'a superseded older write was acknowledged though it and the newer one failed',
    world(async (tiers) => {
      const store = await tiers.open();
      tiers.stores.backup.fail('slow', 1);
      const first = store.put('a', text('0'));
      const older = store.put('a', text('1'));
      const newer = store.put('a', text('2'));
      await first;
      tiers.stores.backup.fail('error-after');
      await expect(newer).rejects.toMatchObject(PARTIAL);
      await expect(older).rejects.toMatchObject(PARTIAL);
      expect(store.stats().superseded).toBe(1);
      tiers.stores.backup.heal();
      await store.drain();
      expect(await valueOf(tiers.stores.backup.inner, 'a')).toBe('2');
      await store.close();
    }),
  );

  it(
    'an older write acknowledged with a newer one is gone only because the newer one is there',
    world(async (tiers) => {
      const store = await tiers.open();
      const puts = Array.from({ length: 20 }, (_, at) => store.put('a', text(String(at))));
      const acks = await Promise.all(puts);
      expect(store.stats().superseded).toBe(18);
      const versions = acks.map(({ version }) => version);
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      for (const each of [tiers.stores.primary, tiers.stores.backup]) {
        expect(await valueOf(each.inner, 'a')).toBe('19');
      }
      await store.close();
    }),
  );

  it(
    'a read said "not found" because a backup was missing: here absent is never unavailable',
    world(async (tiers) => {
      const first = await tiers.open(CACHE);
      await first.put('a', text('1'));
      await first.put('cache/x', text('1'));
      tiers.stores.backup.fail('error-before');
      await expect(first.put('new', text('1'))).rejects.toMatchObject(PARTIAL);
      await first.close();
      // With something owed to a backup that is away, after a restart too.
      const store = await tiers.open(CACHE);
      expect(await valueOf(store, 'a')).toBe('1');
      expect(await valueOf(store, 'new')).toBe('1');
      tiers.stores.backup.heal();
      for (const [down, key] of [
        ['primary', 'a'],
        ['primary', 'none'],
        ['ephemeral', 'cache/x'],
        ['ephemeral', 'cache/none'],
      ] as const) {
        tiers.stores[down].fail('error-before');
        await expect(store.get(key)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
        tiers.stores[down].heal();
      }
      await store.close();
    }),
  );

  it(
    'one failed create or remove blocked its namespace: here a backup outage stops no read',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('ns/a', text('1'));
      await store.put('ns/b', text('1'));
      tiers.stores.backup.fail('time-out');
      await expect(store.put('ns/new', text('1'))).rejects.toMatchObject(PARTIAL);
      await expect(store.del('ns/b')).rejects.toMatchObject(PARTIAL);
      expect(await valueOf(store, 'ns/a')).toBe('1');
      expect(await keysIn(store)).toEqual(['ns/a', 'ns/new']);
      expect((await store.page({ order: 'created' })).entries).toHaveLength(2);
      tiers.stores.backup.heal();
      await store.put('ns/c', text('1'));
      await store.drain();
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['ns/a', 'ns/c', 'ns/new']);
      await store.close();
    }),
  );

  it(
    'an ephemeral outage stops nothing that has no ephemeral keys',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      await store.put('ns/a', text('1'));
      tiers.stores.ephemeral.fail('error-before');
      await store.put('ns/b', text('1'));
      expect(await gather(store.keys({ prefix: 'ns/' }))).toEqual(['ns/a', 'ns/b']);
      await expect(gather(store.keys())).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      await expect(store.put('cache/x', text('1'))).rejects.toMatchObject({
        code: 'STORAGE_UNAVAILABLE',
      });
      await store.close();
    }),
  );

  it(
    'updates were not journaled: here a divergence by an update survives a restart',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('a', text('1'));
      tiers.stores.backup.fail('error-before');
      await expect(store.put('a', text('2'))).rejects.toMatchObject(PARTIAL);
      await store.close();
      const again = await tiers.open();
      expect(again.status()).toMatchObject({ divergent: 1 });
      tiers.stores.backup.heal();
      await again.drain();
      expect(await valueOf(tiers.stores.backup.inner, 'a')).toBe('2');
      await again.close();
    }),
  );

  it(
    'order and page tokens died with a local index: here another machine continues the pages',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      for (const key of ['c', 'cache/a', 'b', 'cache/d', 'a']) await store.put(key, text('1'));
      await store.put('c', text('2'));
      const page = await store.page({ order: 'created', limit: 2 });
      expect(page.entries.map(({ key }) => key)).toEqual(['a', 'cache/d']);
      await store.close();
      const elsewhere = await tiers.open(
        { ...CACHE, takeOver: true },
        { local: tiers.store('local of another machine') },
      );
      const rest = await elsewhere.page({ order: 'created', limit: 9, token: page.next });
      expect(rest.entries.map(({ key }) => key)).toEqual(['b', 'cache/a', 'c']);
      await elsewhere.put('newest', text('1'));
      const [newest] = (await elsewhere.page({ order: 'created', limit: 1 })).entries;
      expect(newest?.key).toBe('newest');
      await elsewhere.close();
    }),
  );

  it(
    'a key of the primary that the index did not know could never be written again',
    world(async (tiers) => {
      await tiers.stores.primary.inner.put('before', text('1'));
      const store = await tiers.open();
      await store.put('before', text('2'));
      await store.del('before');
      await store.put('before', text('3'), { ifAbsent: true });
      await sleep(tiers.clock, 1000);
      await store.drain();
      expect(await valueOf(tiers.stores.backup.inner, 'before')).toBe('3');
      await store.close();
    }),
  );

  it(
    'retries nested, and had no deadline: here there is one layer, with one',
    world(async (tiers) => {
      const { primary } = tiers.stores;
      const store = await tiers.open();
      await store.put('a', text('1'));
      primary.fail('error-before');
      const sinceMs = tiers.clock.monotonicMs();
      await expect(store.get('a')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      expect(tiers.clock.monotonicMs() - sinceMs).toBeLessThan(250);
      const { retries = 0 } = store.stats().tiers.primary ?? {};
      expect(retries).toBeGreaterThan(2);
      // Down already: nobody waits again.
      await expect(store.get('a')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      expect(store.stats().tiers.primary?.retries).toBe(retries);
      await store.close();
    }),
  );

  it(
    'a full queue was logged and dropped: here it is LAG_LIMIT, and nothing is written',
    world(async (tiers) => {
      const store = await tiers.open({ maxOwedOperations: 3 });
      tiers.stores.backup.fail('error-after');
      for (const key of ['a', 'b', 'c']) {
        await expect(store.put(key, text('1'))).rejects.toMatchObject(PARTIAL);
      }
      await expect(store.put('d', text('1'))).rejects.toMatchObject({
        code: 'LAG_LIMIT',
        effect: 'none',
      });
      expect(await keysIn(store)).toEqual(['a', 'b', 'c']);
      // What is owed for a key already is replaced.
      await expect(store.put('a', text('2'))).rejects.toMatchObject(PARTIAL);
      expect(store.status().owed.operations).toBe(3);
      tiers.stores.backup.heal();
      await store.drain();
      await store.put('d', text('1'));
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b', 'c', 'd']);
      await store.close();
    }),
  );

  it(
    'an empty backup beside an old primary stayed empty: here it is filled',
    world(async (tiers) => {
      const alone = await tiers.open({}, { backup: undefined });
      for (const key of ['a', 'b', 'c']) await alone.put(key, text('1'));
      await alone.close();
      const store = await tiers.open();
      expect(store.status().tiers.backup).toMatchObject({ behind: true });
      await sleep(tiers.clock, 1000);
      expect(store.status().tiers.backup).toMatchObject({ behind: false, state: 'ok' });
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b', 'c']);
      await store.close();
    }),
  );

  it(
    'a backup that was off for a while stayed stale: here it is brought up to date, deletes too',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'b', 'c']) await store.put(key, text('1'));
      await store.close();
      const without = await tiers.open({}, { backup: undefined });
      await without.put('a', text('2'));
      await without.del('b');
      await without.close();
      const again = await tiers.open();
      await sleep(tiers.clock, 1000);
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'c']);
      expect(await valueOf(tiers.stores.backup.inner, 'a')).toBe('2');
      await again.close();
    }),
  );

  it(
    'there was no way back from a backup: here the primary is restored, in its order',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['c', 'a', 'b']) await store.put(key, text(key), { ttlMs: 1e9 });
      await store.put('c', text('again'));
      const before = await gather(store.entries());
      await store.close();
      const replacement = tiers.store('primary');
      // An empty primary is not taken for the truth.
      await expect(tiers.open({}, { primary: replacement })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b', 'c']);
      await gather(restoreTier({ from: tiers.stores.backup.inner, to: replacement.inner }));
      const again = await tiers.open({}, { primary: replacement });
      expect(await gather(again.entries())).toEqual(before);
      const { entries } = await again.page({ order: 'created' });
      expect(entries.map(({ key }) => key)).toEqual(['b', 'a', 'c']);
      await again.close();
    }),
  );

  it(
    'a migration lost the order of creation: here it is kept, and writes go on',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['c', 'a', 'b']) await store.put(key, text(key));
      const to = tiers.store('new primary');
      const progress = [];
      for await (const step of store.migrate({ to })) {
        progress.push(step.phase);
        if (step.phase === 'copy') {
          await store.put('d', text('d'));
          await store.del('a');
        }
      }
      expect(progress).toEqual(['copy', 'verify', 'done']);
      const { entries } = await store.page({ order: 'created' });
      expect(entries.map(({ key }) => key)).toEqual(['d', 'b', 'c']);
      expect(await keysIn(to.inner)).toEqual(['b', 'c', 'd']);
      await store.put('e', text('e'));
      expect(await keysIn(tiers.stores.primary.inner)).toEqual(['b', 'c', 'd']);
      expect(await gather(store.verify())).toEqual([]);
      await store.close();
      await expect(tiers.open()).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
      const again = await tiers.open({}, { primary: to });
      expect(await keysIn(again)).toEqual(['b', 'c', 'd', 'e']);
      await again.close();
    }),
  );

  it(
    'a restored device overwrote what was newer: here the old writer is fenced',
    world(async (tiers) => {
      const old = await tiers.open();
      await old.put('a', text('1'));
      const other = { local: tiers.store('local of another machine') };
      await expect(tiers.open({}, other)).rejects.toMatchObject({ code: 'FENCED' });
      const next = await tiers.open({ takeOver: true }, other);
      await expect(old.put('a', text('late'))).rejects.toMatchObject({ code: 'FENCED' });
      await expect(old.del('a')).rejects.toMatchObject({ code: 'FENCED' });
      await expect(old.put('b', text('late'))).rejects.toMatchObject({ code: 'FENCED' });
      expect(old.status().fenced).toBe(true);
      await next.put('a', text('2'));
      expect(await valueOf(next, 'a')).toBe('2');
      expect(await keysIn(next)).toEqual(['a']);
      await old.close();
      await next.close();
      await expect(tiers.open()).rejects.toMatchObject({ code: 'FENCED' });
    }),
  );
});

describe('the faults of tiers in JavaScript', () => {
  it(
    'cacheable acknowledged a set while the durable tier was down, and lost it',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('a', text('1'));
      for (const down of ['primary', 'backup'] as const) {
        tiers.stores[down].fail('error-before');
        await expect(store.put('a', text('2'))).rejects.toMatchObject({ code: 'PARTIAL_WRITE' });
        tiers.stores[down].heal();
        await store.drain();
        expect(await valueOf(store, 'a')).toBe('2');
        await store.put('a', text('1'));
      }
      await store.close();
    }),
  );

  it(
    'cacheable acknowledged a delete, and the deleted value came back',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('a', text('1'));
      tiers.stores.backup.fail('error-before');
      await expect(store.del('a')).rejects.toMatchObject({ code: 'PARTIAL_WRITE' });
      expect(await store.get('a')).toBeUndefined();
      tiers.stores.backup.heal();
      await store.drain();
      expect(await keysIn(tiers.stores.backup.inner)).toEqual([]);
      const report = await store.repair();
      expect(report).toMatchObject({ copiedToPrimary: 0, copiedToBackup: 0 });
      expect(await store.get('a')).toBeUndefined();
      await store.close();
    }),
  );

  it(
    'unstorage kept a marker for what is deleted: here no value makes a key vanish',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      for (const key of ['a', 'cache/a']) {
        await store.put(key, text('__OVERLAY_REMOVED__'));
        expect(await valueOf(store, key)).toBe('__OVERLAY_REMOVED__');
        await store.del(key);
      }
      for (const each of [tiers.stores.primary, tiers.stores.backup, tiers.stores.ephemeral]) {
        expect(await keysIn(each.inner)).toEqual([]);
      }
      await store.close();
    }),
  );

  it(
    'the time to live was not the same in all tiers: here it is one moment',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('a', text('1'), { ttlMs: 5_000 });
      const one = await tiers.stores.primary.inner.getEntry('a');
      expect(await tiers.stores.backup.inner.getEntry('a')).toEqual(one);
      await sleep(tiers.clock, 5_001);
      expect(await store.get('a')).toBeUndefined();
      expect(await keysIn(tiers.stores.backup.inner)).toEqual([]);
      await store.close();
    }),
  );
});
