/**
 * The drill: the primary is wiped, restored from the backup, and is what it was: every byte, every
 * place, and pages that somebody had begun.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeFileSystem } from '@holdfast/core';
import {
  type KvEntry,
  type KvOperation,
  type KvPage,
  type KvStore,
  restoreTier,
} from '@holdfast/kv';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { expect, it } from 'vitest';
import { EngineLife } from '../engine-life.ts';
import { COMPONENTS, gather, openTiers } from './tiered-stores.ts';

const ENTRIES = Number(
  process.env['HOLDFAST_DRILL_ENTRIES'] ?? (process.env['CI'] ? 100_000 : 5_000),
);
const VALUE_BYTES = 1_024;

/** Everything about every entry, in order; as text, because comparing bytes one by one takes long. */
async function all(entries: AsyncIterable<KvEntry>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { value, ...facts } of entries) {
    if (facts.key.startsWith('_holdfast')) continue;
    const digest = createHash('sha256').update(value).digest('base64');
    lines.push(JSON.stringify([facts, value.length, digest]));
  }
  return lines;
}

it(`restores ${ENTRIES} entries into an empty primary`, { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-drill-'));
  const components = { ...COMPONENTS, fileSystem: new NodeFileSystem() };
  const life = await EngineLife.open(components, {
    dir: `${directory}/engine`,
    segmentTargetBytes: 64 * 1024 ** 2,
  });
  const lmdb = (name: string): Promise<KvStore> =>
    openLmdbKvStore(components, { id: 'lmdb', directory: join(directory, name) });
  try {
    const backup = life.engine.store('backup');
    const local = life.engine.store('local');
    const first = await lmdb('first');
    const store = await openTiers({ primary: first, backup, local }, { callTimeoutMs: 60_000 });
    await fill(store);
    const keys = (await gather(store.keys())).length;
    const page = await store.page({ order: 'created', limit: 700 });
    const rest = await store.page({ order: 'created', limit: 1_000, token: page.next });
    const before = await all(first.entries());
    await store.close();
    await first.close();
    await rm(join(directory, 'first'), { recursive: true, force: true });

    const second = await lmdb('second');
    const sinceMs = performance.now();
    const steps = await gather(restoreTier({ from: backup, to: second }));
    const seconds = (performance.now() - sinceMs) / 1000;
    expect(steps.at(-1)).toMatchObject({ phase: 'done', entries: keys });
    process.stdout.write(
      `restore drill: ${keys} entries of 1 KiB in ${seconds.toFixed(2)} s, ` +
        `${Math.round(keys / seconds)}/s, compared\n`,
    );
    const after = await all(second.entries());
    expect(after.length).toBe(before.length);
    expect(after.filter((line, at) => line !== before[at])).toEqual([]);
    const again = await openTiers({ primary: second, backup, local }, { callTimeoutMs: 60_000 });
    const continued = await again.page({ order: 'created', limit: 1_000, token: page.next });
    const places = ({ entries }: KvPage): string[] =>
      entries.map(({ key, seq, version }) => `${key} ${seq} ${version}`);
    expect(places(continued)).toEqual(places(rest));
    expect(continued.entries).toHaveLength(1_000);
    await again.close();
    await second.close();
  } finally {
    await life.close();
    await rm(directory, { recursive: true, force: true });
  }
});

/** Out of order, some with an expiry, some written again, some deleted. */
async function fill(store: KvStore): Promise<void> {
  const together = 500;
  for (let at = 0; at < ENTRIES; at += together) {
    const batch = Array.from({ length: Math.min(together, ENTRIES - at) }, (_, offset) => {
      const number = at + offset;
      const key = `key-${(number * 7_919) % ENTRIES}`;
      const value = Buffer.alloc(VALUE_BYTES, `${number} `);
      return { type: 'put', key, value, ...(number % 10 === 0 ? { ttlMs: 1e9 } : {}) } as const;
    });
    await store.batch(batch satisfies KvOperation[]);
  }
  await store.put('key-1', Buffer.from('again'));
  await store.del('key-2');
  await store.put('key-2', Buffer.from('anew'));
}
