/** Who may open which tiers: what places say of themselves, and promotions that were cut short. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError, onCut } from '@holdfast/core';
import {
  type FencedKvStore,
  leavePlace,
  readPlaceMark,
  readTierMemory,
  takeOverNext,
  type TieredKvStore,
} from '@holdfast/kv';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMPONENTS, memory, openTiers, text, valueOf } from './tiered-stores.ts';

let root: string;
const places: FencedKvStore[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-claims-'));
});
afterEach(async () => {
  for (const place of places.splice(0)) await place.close();
  await rm(root, { recursive: true, force: true });
});

/** A store that is fenced by itself, opened anew as after a restart. */
async function place(name: string, epoch = 0): Promise<FencedKvStore> {
  const at = places.findIndex(({ id }) => id === name);
  if (at >= 0) await places.splice(at, 1)[0]?.close();
  const store = await openFilesKvStore(COMPONENTS, {
    id: name,
    directory: join(root, name),
    epoch,
  });
  places.push(store);
  return store;
}

const mismatch = (message: RegExp): object => ({
  code: 'TIER_MISMATCH',
  message: expect.stringMatching(message) as unknown,
});

describe('places', () => {
  it('say whose they are and which part, and another one is refused', async () => {
    const [primary, backup] = [memory('primary'), memory('backup')];
    const store = await openTiers({ primary, backup, local: memory('local') });
    await store.put('a', text('b'));
    await store.close();
    const { store: id } = (await readPlaceMark(primary)) ?? {};
    expect(await readPlaceMark(primary)).toEqual({ store: id, role: 'primary', since: 1 });
    expect(await readPlaceMark(backup)).toMatchObject({ store: id, role: 'backup' });
    const other = { id: 'another', takeOver: true };
    const local = memory('new');
    await expect(openTiers({ primary, local }, other)).rejects.toMatchObject(
      mismatch(/the primary belongs to another store/),
    );
    await expect(openTiers({ primary: backup, local })).rejects.toMatchObject(
      mismatch(/the primary is the backup of this store/),
    );
  });

  it('that were left are no primary for anybody, whoever takes over', async () => {
    const [primary, backup, local] = [memory('primary'), memory('backup'), memory('local')];
    const store = await openTiers({ primary, backup, local });
    await store.put('a', text('b'));
    await store.promote();
    await store.close();
    for (const choice of [{}, { takeOver: true }]) {
      const stores = { primary, backup: memory('other'), local: memory('new') };
      await expect(openTiers(stores, choice)).rejects.toMatchObject(
        mismatch(/was left for another one .*primary=backup/),
      );
    }
    // The other way round, too: what was made the primary is no backup.
    const fresh = { primary: memory('fresh'), backup, local: memory('new') };
    await expect(openTiers(fresh, { takeOver: true })).rejects.toMatchObject(
      mismatch(/the backup was made the primary/),
    );
  });

  it('can be left later, when they answer', async () => {
    const [primary, local] = [memory('primary'), memory('local')];
    const store = await openTiers({ primary, local });
    await store.put('a', text('b'));
    const { store: id = '' } = (await readPlaceMark(primary)) ?? {};
    await leavePlace(COMPONENTS, primary, { store: id, since: 1, to: 'elsewhere' });
    await expect(store.put('a', text('c'))).rejects.toMatchObject({ code: 'FENCED' });
    await store.close();
  });
});

describe('a writer', () => {
  async function begun(): Promise<{ store: TieredKvStore; local: ReturnType<typeof memory> }> {
    const local = memory('local');
    const stores = { primary: await place('one'), backup: await place('two'), local };
    const store = await openTiers(stores);
    await store.put('a', text('b'));
    return { store, local };
  }

  it.each(['tiers.promote', 'tiers.promoted'])(
    'whose promotion ended at %s is not taken for another one, over stores with fences of their own',
    async (point) => {
      const { store, local } = await begun();
      const forget = onCut((name) => {
        if (name === point) throw new HoldfastError('STORAGE_UNAVAILABLE', 'ended');
      });
      await expect(store.promote()).rejects.toThrow('ended');
      forget();
      await store.close().catch(() => undefined);
      const { epoch } = await readTierMemory(local);
      const stores = {
        primary: await place('one', epoch),
        backup: await place('two', epoch),
        local,
      };
      const again = await openTiers(stores);
      expect(await valueOf(again, 'a')).toBe('b');
      await again.put('c', text('d'));
      expect(again.status().fenced).toBe(false);
      await again.close();
    },
  );

  it('that took over once does not do so again at the next opening', async () => {
    const { store, local } = await begun();
    await store.close();
    await takeOverNext(local);
    const { epoch } = await readTierMemory(local);
    const first = { primary: await place('one', epoch), backup: await place('two', epoch), local };
    await (await openTiers(first)).close();
    // Somebody else does, in between.
    const stolen = await place('one', (await readTierMemory(local)).epoch);
    await stolen.fence.claim((await stolen.fence.newest()) + 1);
    const now = (await readTierMemory(local)).epoch;
    const second = { primary: await place('one', now), backup: await place('two', now), local };
    await expect(openTiers(second)).rejects.toMatchObject({ code: 'FENCED' });
  });
});
