/** What tiers do beside single calls: rules, fallback, limits, lag, verify, repair, promote, export. */
import { sleep } from '@holdfast/core';
import {
  exportEntries,
  importEntries,
  type KvStore,
  openTieredKvStore,
  restoreTier,
  type TieredEntry,
} from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { gather, text, valueOf } from './tiered-stores.ts';
import { keysIn, world } from './tier-world.ts';

const CACHE = { rules: [{ prefix: 'cache/' }] };

describe('rules', () => {
  it(
    'that are not those of the data are refused, or the entries are moved, in their order',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      for (const key of ['cache/b', 'b', 'temp/a', 'cache/a', 'a']) await store.put(key, text(key));
      await store.close();
      const other = { rules: [{ prefix: 'temp/' }] };
      await expect(tiers.open(other)).rejects.toMatchObject({ code: 'TIER_RULES_CHANGED' });
      const moved = await tiers.open({ ...other, onRulesChange: 'migrate' });
      expect(await keysIn(tiers.stores.ephemeral.inner)).toEqual(['temp/a']);
      for (const each of [tiers.stores.primary, tiers.stores.backup]) {
        expect(await keysIn(each.inner)).toEqual(['a', 'b', 'cache/a', 'cache/b']);
      }
      const { entries } = await moved.page({ order: 'created' });
      expect(entries.map(({ key }) => key)).toEqual(['a', 'cache/a', 'temp/a', 'b', 'cache/b']);
      await moved.close();
      const again = await tiers.open(other);
      expect(await keysIn(again)).toHaveLength(5);
      await again.close();
    }),
  );

  it('are moved to an end when the move was cut short at any call', async () => {
    for (let failing = 1; failing < 30; failing++) {
      const done = await world(async (tiers) => {
        const store = await tiers.open(CACHE);
        for (const key of ['cache/b', 'b', 'cache/a', 'a']) await store.put(key, text(key));
        await store.close();
        const other = { rules: [{ glob: '?' }], onRulesChange: 'migrate' } as const;
        for (const each of [tiers.stores.primary, tiers.stores.backup, tiers.stores.ephemeral]) {
          each.failAfter(failing);
        }
        await tiers.open({ ...other, retry: false }).then(
          (opened) => opened.close(),
          () => undefined,
        );
        for (const each of Object.values(tiers.stores)) each.heal();
        const again = await tiers.open(other);
        await again.drain();
        expect(await keysIn(tiers.stores.ephemeral.inner)).toEqual(['a', 'b']);
        expect(await keysIn(tiers.stores.primary.inner)).toEqual(['cache/a', 'cache/b']);
        expect(await gather(again.verify())).toEqual([]);
        const { entries } = await again.page({ order: 'created' });
        expect(entries.map(({ key }) => key)).toEqual(['a', 'cache/a', 'b', 'cache/b']);
        await again.close();
      }, failing)();
      expect(done).toBeUndefined();
    }
  });

  it(
    'that do not name a tier that is there, or make no sense, are refused',
    world(async (tiers) => {
      const { primary, local } = tiers.stores;
      const open = (rules: never[]): Promise<unknown> =>
        openTieredKvStore(tiers, { primary, local }, { id: 'x', rules });
      await expect(open([{ prefix: 'a' }] as never)).rejects.toMatchObject({
        code: 'INVALID_SETTINGS',
      });
      await expect(open([{ prefix: '' }] as never)).rejects.toMatchObject({
        code: 'INVALID_SETTINGS',
      });
    }),
  );
});

describe('read fallback', () => {
  it(
    'answers from the backup only when the primary cannot, marks it, and never says absent',
    world(async (tiers) => {
      const store = await tiers.open({ ...CACHE, readFallback: 'if-unavailable' });
      await store.put('a', text('1'));
      await store.put('cache/x', text('1'));
      expect(await store.getEntry('a')).not.toHaveProperty('stale');
      tiers.stores.primary.fail('error-before');
      const entry = (await store.getEntry('a')) as TieredEntry;
      expect(entry).toMatchObject({ source: 'backup', stale: true });
      expect(await valueOf(store, 'a')).toBe('1');
      await expect(store.get('none')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      tiers.stores.ephemeral.fail('error-before');
      await expect(store.get('cache/x')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      tiers.stores.primary.heal();
      expect(await store.get('none')).toBeUndefined();
      expect(store.stats().fallbackReads).toBe(2);
      await store.close();
    }),
  );

  it(
    'hedged asks the backup when the primary is slow',
    world(async (tiers) => {
      const store = await tiers.open({ readFallback: { hedgedAfterMs: 10 } });
      await store.put('a', text('1'));
      expect(await store.getEntry('a')).not.toHaveProperty('stale');
      tiers.stores.primary.fail('slow');
      expect(await store.getEntry('a')).toMatchObject({ stale: true });
      expect(await store.get('none')).toBeUndefined(); // the primary's own word, later
      tiers.stores.backup.fail('error-before');
      expect(await store.getEntry('a')).not.toHaveProperty('stale');
      await store.close();
    }),
  );
});

describe('ephemeral limits', () => {
  it(
    'drop what was used longest ago, tell those who watch, and touch nothing durable',
    world(async (tiers) => {
      const store = await tiers.open({ ...CACHE, ephemeralLimits: { maxEntries: 2 } });
      await store.put('durable', text('1'));
      for (const key of ['cache/a', 'cache/b']) await store.put(key, text('1'));
      await store.get('cache/a');
      const since = await store.lastChange();
      await store.put('cache/c', text('1'));
      await store.flush();
      expect(await keysIn(store)).toEqual(['cache/a', 'cache/c', 'durable']);
      const heard: string[] = [];
      for await (const { type, key } of store.watch({ since })) {
        heard.push(`${type} ${key}`);
        if (heard.length === 2) break;
      }
      expect(heard).toEqual(['put cache/c', 'del cache/b']);
      await store.close();
      const again = await tiers.open({ ...CACHE, ephemeralLimits: { maxBytes: 20 } });
      await again.put('cache/d', text('1'));
      await again.flush();
      expect(await keysIn(again)).toEqual(['cache/c', 'cache/d', 'durable']);
      await again.close();
    }),
  );
});

describe('an async backup', () => {
  const ASYNC = { backupMode: 'async' } as const;

  it(
    'is brought what was written, the newest of each key once',
    world(async (tiers) => {
      const store = await tiers.open(ASYNC);
      tiers.stores.backup.fail('error-before');
      for (let at = 0; at < 10; at++) await store.put(`k${at % 3}`, text(String(at)));
      await store.del('k0');
      expect(store.status().owed.operations).toBe(3);
      tiers.stores.backup.heal();
      await store.drain();
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['k1', 'k2']);
      expect(store.stats().drained).toBeLessThanOrEqual(6);
      await store.close();
    }),
  );

  it(
    'that is owed too much blocks writes until it is owed less',
    world(async (tiers) => {
      const store = await tiers.open({ ...ASYNC, maxOwedOperations: 2 });
      tiers.stores.backup.fail('error-before');
      await store.put('a', text('1'));
      await store.put('b', text('1'));
      let ended = false;
      const put = store.put('c', text('1')).then(() => {
        ended = true;
      });
      await sleep(tiers.clock, 5_000);
      expect(ended).toBe(false);
      tiers.stores.backup.heal();
      await put;
      await store.drain();
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b', 'c']);
      tiers.stores.backup.fail('error-before');
      await store.put('a', text('2'));
      await store.put('b', text('2'));
      const waiting = store.put('d', text('1'));
      const closing = store.close();
      await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
      await closing;
    }),
  );

  it(
    'that is owed for too long, or too many bytes, counts as much',
    world(async (tiers) => {
      const store = await tiers.open({
        ...ASYNC,
        maxOwedBytes: 2_000,
        maxOwedAgeMs: 60_000,
        onOwedLimit: 'fail',
      });
      tiers.stores.backup.fail('error-before');
      await store.put('a', text('x'.repeat(3_000)));
      await expect(store.put('b', text('1'))).rejects.toMatchObject({ code: 'LAG_LIMIT' });
      await store.put('a', text('short'));
      await store.put('b', text('1'));
      await sleep(tiers.clock, 61_000);
      await expect(store.put('c', text('1'))).rejects.toMatchObject({ code: 'LAG_LIMIT' });
      await store.close();
    }),
  );

  it(
    'that degrades is left behind, and filled when it answers again; also over a restart',
    world(async (tiers) => {
      const settings = { ...ASYNC, maxOwedOperations: 2, onOwedLimit: 'degrade' } as const;
      const store = await tiers.open(settings);
      await store.put('gone', text('1'));
      await store.drain();
      tiers.stores.backup.fail('error-before');
      await store.del('gone');
      for (const key of ['a', 'b', 'c', 'd']) await store.put(key, text('1'));
      expect(store.status().tiers.backup).toMatchObject({ behind: true, state: 'down' });
      expect(store.status().owed.operations).toBe(0);
      await store.close();
      const again = await tiers.open(settings);
      await again.put('e', text('1'));
      expect(again.status().tiers.backup).toMatchObject({ behind: true });
      await expect(again.promote()).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
      tiers.stores.backup.heal();
      await sleep(tiers.clock, 60_000);
      expect(again.status().tiers.backup).toMatchObject({ behind: false });
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b', 'c', 'd', 'e']);
      await again.close();
    }),
  );

  it(
    'whose intent has rotted is filled from the primary',
    world(async (tiers) => {
      const store = await tiers.open(ASYNC);
      tiers.stores.backup.fail('error-before');
      await store.put('a', text('1'));
      await store.put('b', text('1'));
      await store.close();
      const local = tiers.stores.local.inner;
      const [first] = await gather(local.keys({ prefix: 'op-' }));
      const bytes = Buffer.from((await local.get(first as string)) as Uint8Array);
      bytes[5] = (bytes[5] ?? 0) ^ 1;
      await local.put(first as string, bytes);
      const again = await tiers.open(ASYNC);
      tiers.stores.backup.heal();
      await sleep(tiers.clock, 60_000);
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b']);
      expect(again.status().tiers.backup).toMatchObject({ behind: false, state: 'ok' });
      await again.close();
    }),
  );
});

describe('verify and repair', () => {
  async function diverge(primary: KvStore, backup: KvStore): Promise<void> {
    await primary.del('only-backup');
    await backup.del('only-primary');
    const entry = await backup.getEntry('older');
    const stamp = { seq: entry?.seq ?? 0, version: (entry?.version ?? 0) + 1, epoch: 1 };
    await primary.put('older', text('newer'), { stamp });
  }

  it(
    'find each difference, repair it by version, and say what they did',
    world(async (tiers) => {
      const store = await tiers.open();
      const keys = ['only-backup', 'only-primary', 'older', 'rotten', 'same'];
      for (const key of keys) await store.put(key, text(key));
      const { primary, backup } = tiers.stores;
      await diverge(primary.inner, backup.inner);
      backup.corrupted.add('rotten');
      expect(await gather(store.verify())).toEqual([
        { key: 'older', kind: 'different' },
        { key: 'only-backup', kind: 'only-backup' },
        { key: 'only-primary', kind: 'only-primary' },
        { key: 'rotten', kind: 'corrupt', tier: 'backup' },
      ]);
      const counts = {
        compared: 5,
        copiedToBackup: 3,
        copiedToPrimary: 1,
        removedFromBackup: 0,
        removedFromPrimary: 0,
      };
      expect(await store.repair({ dryRun: true })).toEqual(counts);
      expect(await store.repair()).toEqual(counts);
      expect(await gather(store.verify())).toEqual([]);
      expect(await valueOf(store, 'older')).toBe('newer');
      expect(await gather(backup.inner.entries({ gte: 'a' }))).toEqual(
        await gather(primary.inner.entries({ gte: 'a' })),
      );
      await store.close();
    }),
  );

  it(
    'take the side that they are told',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['only-backup', 'only-primary', 'older']) await store.put(key, text(key));
      const { primary, backup } = tiers.stores;
      await diverge(primary.inner, backup.inner);
      await store.repair({ direction: 'backup-wins' });
      expect(await keysIn(primary.inner)).toEqual(['older', 'only-backup']);
      expect(await valueOf(store, 'older')).toBe('older');
      await primary.inner.del('only-backup');
      await store.repair({ direction: 'primary-wins' });
      expect(await keysIn(backup.inner)).toEqual(['older']);
      await store.close();
    }),
  );

  it(
    'find rot in the primary and put the copy of the backup in its place',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'b', 'c']) await store.put(key, text(key));
      tiers.stores.primary.corrupted.add('b');
      await expect(store.get('b')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
      expect(await store.repair()).toMatchObject({ copiedToPrimary: 1, compared: 3 });
      expect(await valueOf(store, 'b')).toBe('b');
      await store.close();
    }),
  );

  it(
    'go at the rate that they are given, and end with their signal',
    world(async (tiers) => {
      const store = await tiers.open();
      for (let at = 0; at < 50; at++) await store.put(`k${at}`, text('1'));
      const sinceMs = tiers.clock.monotonicMs();
      await gather(store.verify({ rate: 10 }));
      expect(tiers.clock.monotonicMs() - sinceMs).toBeGreaterThan(4_800);
      const end = new AbortController();
      tiers.clock.after(500, () => end.abort(new Error('enough')));
      await expect(store.repair({ rate: 10, signal: end.signal })).rejects.toThrow('enough');
      await store.close();
    }),
  );

  it(
    'remove nothing for a primary that has nothing',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'b']) await store.put(key, text('1'));
      for (const key of ['a', 'b']) await tiers.stores.primary.inner.del(key);
      await expect(store.repair({ direction: 'primary-wins' })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
      expect(await keysIn(tiers.stores.backup.inner)).toEqual(['a', 'b']);
      await store.close();
    }),
  );

  it(
    'mend nothing that is written meanwhile',
    world(async (tiers) => {
      const store = await tiers.open();
      for (let at = 100; at < 400; at++) await store.put(`k${at}`, text('1'));
      for (let at = 100; at < 400; at += 3) await tiers.stores.backup.inner.del(`k${at}`);
      const repaired = store.repair({ rate: 1_000 });
      for (let at = 100; at < 400; at += 7) {
        await sleep(tiers.clock, 5);
        if (at % 2 === 0) await store.del(`k${at}`);
        else await store.put(`k${at}`, text('2'));
      }
      await repaired;
      await store.repair();
      expect(await gather(store.verify())).toEqual([]);
      for (let at = 100; at < 400; at += 7) {
        expect(await valueOf(store, `k${at}`)).toBe(at % 2 === 0 ? undefined : '2');
      }
      await store.close();
    }),
  );
});

describe('promote', () => {
  it(
    'makes a backup the primary while the old one is away, with what was owed to it',
    world(async (tiers) => {
      const store = await tiers.open();
      await store.put('a', text('1'));
      tiers.stores.backup.fail('error-before', 3);
      await store.put('b', text('1')).catch(() => undefined);
      tiers.stores.backup.heal();
      tiers.stores.primary.fail('error-before');
      expect(await store.promote()).toEqual({ epoch: 2 });
      await store.put('c', text('1'));
      expect(await keysIn(store)).toEqual(['a', 'b', 'c']);
      expect(store.status().tiers).not.toHaveProperty('backup');
      await store.close();
      await expect(tiers.open()).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
      // The old primary comes back as the backup, and is filled.
      tiers.stores.primary.heal();
      const { primary, backup } = tiers.stores;
      const swapped = await tiers.open({}, { primary: backup, backup: primary });
      await sleep(tiers.clock, 1_000);
      expect(await keysIn(primary.inner)).toEqual(['a', 'b', 'c']);
      expect(swapped.status().tiers.backup).toMatchObject({ behind: false });
      await swapped.close();
    }),
  );

  it(
    'on another machine fences the old writer at the backup, though its primary still answers it',
    world(async (tiers) => {
      const old = await tiers.open();
      await old.put('a', text('1'));
      const next = await tiers.open(
        { takeOver: true },
        { primary: tiers.stores.backup, backup: undefined, local: tiers.store('elsewhere') },
      );
      await expect(old.put('a', text('late'))).rejects.toMatchObject({
        code: 'FENCED',
        effect: 'unknown',
      });
      await expect(old.put('b', text('late'))).rejects.toMatchObject({ code: 'FENCED' });
      expect(await valueOf(next, 'a')).toBe('1');
      await old.close();
      await next.close();
    }),
  );

  it(
    'happens to one of two that try at once',
    world(async (tiers) => {
      const first = await tiers.open();
      await first.put('a', text('1'));
      await first.close();
      const opened = await Promise.allSettled(
        ['one', 'other'].map((name) =>
          tiers.open({ takeOver: true }, { local: tiers.store(name), backup: undefined }),
        ),
      );
      const stores = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      const writes = await Promise.allSettled(stores.map((store) => store.put('a', text('2'))));
      expect(writes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const store of stores) await store.close();
    }),
  );
});

describe('an export', () => {
  it(
    'gives every entry with its order and expiry, and is restored from',
    world(async (tiers) => {
      const store = await tiers.open(CACHE);
      for (const key of ['b', 'cache/x', 'a', 'ü\n"']) await store.put(key, text(`v ${key}`));
      await store.put('a', text('again'), { ttlMs: 1e9 });
      await store.put('empty', text(''));
      const lines = await gather(exportEntries(store));
      const whole = Buffer.from(lines.join(''));
      const chunks = async function* cut(): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < whole.length; at += 7) yield whole.subarray(at, at + 7);
      };
      const to = tiers.store('restored').inner;
      const steps = await gather(restoreTier({ from: importEntries('file', chunks()), to }));
      expect(steps.at(-1)).toMatchObject({ phase: 'done', entries: 5 });
      expect(await gather(to.entries())).toEqual(await gather(store.entries()));
      const since = (await store.getEntry('a'))?.version;
      expect(await gather(exportEntries(store, { since: since ?? 0 }))).toHaveLength(3);
      await store.close();
    }),
  );

  it(
    'that was cut off, changed or made longer anywhere is not believed',
    world(async (tiers) => {
      const store = await tiers.open();
      for (const key of ['a', 'b']) await store.put(key, text(key));
      const whole = (await gather(exportEntries(store))).join('');
      const tries = [whole.slice(0, -20), whole.replace('"YQ=="', '"Yg=="'), `${whole}{}\n`];
      tries.push(
        whole.split('\n').slice(0, -2).join('\n'),
        '',
        whole.replace('Export":1', 'Export":2'),
      );
      for (const content of tries) {
        const to = tiers.store('restored').inner;
        const chunks = async function* once(): AsyncGenerator<string> {
          yield content;
        };
        const restored = gather(restoreTier({ from: importEntries('file', chunks()), to }));
        await expect(restored, content).rejects.toMatchObject({ kind: 'corrupt' });
        // Nobody takes what came of it for a primary.
        const opened = tiers.open(
          {},
          { primary: to, local: tiers.store('new'), backup: undefined },
        );
        if (await to.has('a'))
          await expect(opened).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
        else await (await opened.catch(() => undefined))?.close();
      }
      await store.close();
    }),
  );
});

describe('a restore', () => {
  it(
    'refuses a target with entries, and goes on with one that it began',
    world(async (tiers) => {
      const store = await tiers.open();
      for (let at = 0; at < 3_000; at++) await store.put(`k${at}`, text(String(at)));
      const to = tiers.store('restored').inner;
      await to.put('other', text('1'));
      const from = tiers.stores.backup.inner;
      await expect(gather(restoreTier({ from, to }))).rejects.toMatchObject({
        code: 'RESTORE_TARGET_NOT_EMPTY',
      });
      await to.del('other');
      for await (const { phase } of restoreTier({ from, to })) if (phase === 'copy') break;
      const begun = await keysIn(to);
      expect(begun.length).toBeGreaterThan(500);
      expect(begun.length).toBeLessThan(3_000);
      await store.close();
      await expect(tiers.open({}, { primary: to, backup: undefined })).rejects.toMatchObject({
        code: 'TIER_MISMATCH',
      });
      const steps = await gather(restoreTier({ from, to }));
      expect(steps.at(-1)).toMatchObject({ phase: 'done', entries: 3_000 });
      expect(await gather(to.entries({ gte: 'k' }))).toEqual(
        await gather(from.entries({ gte: 'k' })),
      );
    }),
  );
});
