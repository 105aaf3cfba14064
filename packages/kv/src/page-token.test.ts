import { LIMITS, NodeClock } from '@holdfast/core';
import { expect, it } from 'vitest';
import { openMemoryKvStore } from './memory-kv-store.ts';

it('a token and the prefix it goes with fit into one URL, however long both are', async () => {
  await using store = openMemoryKvStore({ clock: new NodeClock() }, { id: 'main' });
  for (const prefix of ['', '€'.repeat(300), '€'.repeat(682)]) {
    const left = LIMITS.maxEntryKeyBytes - Buffer.byteLength(prefix) - 2;
    const keys = ['1', '2', '3'].map((end) => `${prefix}${'x'.repeat(left)}${end}`);
    for (const key of keys) await store.put(key, Buffer.of(1));
    const given: string[] = [];
    let token: string | undefined;
    do {
      const url = `/v1/kv/${'s'.repeat(LIMITS.maxStoreNameBytes)}?order=created&reverse=true&limit=1`;
      const asked = new URLSearchParams({ prefix, token: token ?? '' });
      expect(`${url}&values=base64&${asked.toString()}`.length).toBeLessThan(LIMITS.maxUrlBytes);
      const page = await store.page({ order: 'created', reverse: true, prefix, token, limit: 1 });
      given.push(...page.entries.map(({ key }) => key));
      token = page.next;
    } while (token !== undefined);
    expect(given).toEqual(keys);
    await store.clear();
  }
});
