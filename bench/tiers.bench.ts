/**
 * Question: what do tiers cost beside the stores they are made of, and how fast does a lost primary
 * come back?
 *
 *   node --conditions x-source --import tsx bench/tiers.bench.ts [--quick]
 *
 * Success: a `get` takes at most 3 us more than that of the primary alone (processor time, the
 * median of rounds that take turns); restore puts at least 30 000 entries of 1 KiB a second into
 * LMDB. Speed of light: the same calls on the bare stores.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import {
  KvEngine,
  type KvStore,
  openMemoryKvStore,
  openTieredKvStore,
  restoreTier,
} from '@holdfast/kv';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { median, now } from './measure.ts';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const ENTRIES = flags.quick ? 5_000 : 100_000;
const GETS = flags.quick ? 50_000 : 200_000;
const PUTS = flags.quick ? 1_000 : 6_000;
const ROUNDS = 5;
const AT_ONCE = 64;
const VALUE = Buffer.alloc(1_024, 1);

const seams = {
  clock: new NodeClock(),
  random: new NodeRandom(),
  fileSystem: new NodeFileSystem(),
};
const keys = Array.from({ length: 20_000 }, (_, at) => `key-${at}`);

/** Microseconds of processor for one `get`. */
async function getMicros(store: KvStore): Promise<number> {
  const before = process.cpuUsage();
  for (let at = 0; at < GETS; at++) await store.get(keys[(at * 7_919) % keys.length] as string);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / GETS;
}

async function putsPerSecond(store: KvStore, name: string): Promise<number> {
  const sinceMs = now();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < PUTS) await store.put(`${name}-${next++}`, VALUE);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return (PUTS * 1_000) / (now() - sinceMs);
}

async function fill(store: KvStore, count: number): Promise<void> {
  for (let at = 0; at < count; at += 500) {
    await store.batch(
      Array.from({ length: 500 }, (_, offset) => ({
        type: 'put' as const,
        key: `key-${at + offset}`,
        value: VALUE,
      })),
    );
  }
}

const directory = mkdtempSync(path.join(os.tmpdir(), 'holdfast-bench-'));
const engine = new KvEngine(seams);
const database = await openDatabase(seams, { dir: path.join(directory, 'engine') }, [engine]);
const lmdb = (name: string): Promise<KvStore> =>
  openLmdbKvStore(seams, { id: name, directory: path.join(directory, name) });
const memory = (id: string): KvStore => openMemoryKvStore(seams, { id });

const primaries = [memory('memory'), engine.store('main'), await lmdb('lmdb')];
for (const primary of primaries) {
  const local = engine.store(`local-${primary.id.replace(':', '-')}`);
  const stores = { primary, backup: memory('backup'), ephemeral: memory('ephemeral'), local };
  const tiers = await openTieredKvStore(seams, stores, { id: 'tiers', rules: [{ prefix: 'c/' }] });
  await fill(tiers, keys.length);
  const alone: number[] = [];
  const within: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await getMicros(primary));
    within.push(await getMicros(tiers));
  }
  const more = median(within) - median(alone);
  console.log(
    `get, ${primary.id}: ${median(alone).toFixed(2)} us, tiers ${more.toFixed(2)} us more`,
  );
  await tiers.close();
}

const primary = await lmdb('primary');
const backup = engine.store('backup');
const tiers = await openTieredKvStore(
  seams,
  { primary, backup, local: engine.store('local') },
  { id: 'tiers' },
);
for (const [name, store] of Object.entries({ primary, backup, tiers })) {
  const rate = await putsPerSecond(store, name);
  console.log(`durable puts, ${AT_ONCE} at once, ${name}: ${Math.round(rate)}/s`);
}
await tiers.close();

const source = memory('source');
await fill(source, ENTRIES);
const target = await lmdb('restored');
const sinceMs = now();
for await (const { phase } of restoreTier({ from: source, to: target })) {
  if (phase !== 'done') continue;
  const rate = (ENTRIES * 1_000) / (now() - sinceMs);
  console.log(`restore into LMDB, compared: ${Math.round(rate)} entries of 1 KiB a second`);
}

for (const store of [...primaries, primary, target]) await store.close();
await engine.close();
await database.close();
rmSync(directory, { recursive: true, force: true });
