/** A node that is restored to an older moment, while its tiers elsewhere went on. */
import type { KvStore } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { keysIn } from './tier-world.ts';
import { gather, memory, openTiers, text, valueOf } from './tiered-stores.ts';

const PATIENT = { callTimeoutMs: 60_000 };

/** The same store as it is now, for when it is put back. */
async function copyOf(store: KvStore): Promise<KvStore> {
  const copy = memory(store.id);
  for await (const { key, value, expiresAtMs, seq, version, epoch } of store.entries()) {
    await copy.put(key, value, { expiresAtMs, stamp: { seq, version, epoch } });
  }
  return copy;
}

interface PutBack {
  readonly primary: KvStore;
  readonly backup: KvStore;
  readonly local: KvStore;
}

/** Primary and local store are of a moment before the last writes; the backup has them. */
async function putBack(backupMode: 'sync' | 'async'): Promise<PutBack> {
  const [primary, backup, local] = [memory('primary'), memory('backup'), memory('local')];
  const store = await openTiers({ primary, backup, local }, { backupMode, ...PATIENT });
  await store.put('updated', text('1'));
  await store.put('deleted', text('1'));
  await store.drain();
  const before = { primary: await copyOf(primary), backup, local: await copyOf(local) };
  await store.put('updated', text('2'));
  await store.del('deleted');
  await store.put('created', text('2'));
  await store.drain();
  await store.close();
  return before;
}

describe.each(['sync', 'async'] as const)('a store that was put back, %s', (backupMode) => {
  it('is refused until somebody says that it goes on from there', async () => {
    const stores = await putBack(backupMode);
    const refused = openTiers(stores, { copyId: 'copy', backupMode, ...PATIENT });
    await expect(refused).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
    expect(await valueOf(stores.backup, 'created')).toBe('2');
    const again = openTiers(stores, { copyId: 'copy', backupMode, ...PATIENT });
    await expect(again).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
  });

  it('makes its backup equal to what was put back, and new writes win over what was lost', async () => {
    const stores = await putBack(backupMode);
    const settings = { copyId: 'copy', backupMode, ...PATIENT };
    const store = await openTiers(stores, { ...settings, takeOver: true });
    const { version } = await store.put('created', text('3'));
    const lost = await stores.backup.getEntry('updated');
    expect(version).toBeGreaterThan(lost?.version ?? Infinity);
    await store.repair();
    await store.drain();
    expect(await gather(store.verify())).toEqual([]);
    expect(await keysIn(stores.backup)).toEqual(['created', 'deleted', 'updated']);
    expect(await valueOf(stores.backup, 'updated')).toBe('1');
    expect(await valueOf(stores.backup, 'created')).toBe('3');
    await store.close();

    const next = await openTiers(stores, settings);
    expect(await valueOf(next, 'created')).toBe('3');
    await next.close();
    const original = openTiers(stores, { backupMode, ...PATIENT });
    await expect(original).rejects.toMatchObject({ code: 'TIER_MISMATCH' });
  });
});
