/** What bench/kv.bench.ts asks of every store, and what the specification wants beside raw LMDB. */
import { cpSync } from 'node:fs';
import path from 'node:path';
import { sampleCalls, sampleWalk } from './kv-sample.ts';
import { EngineSubject, type KvSubject, LmdbSubject, SqliteSubject } from './kv-subjects.ts';
import type { Metrics } from './measure.ts';

export interface KvScale {
  readonly rounds: number;
  readonly entries: number;
  readonly gets: number;
  readonly puts: number;
  readonly tierEntries: number;
}

export interface KvCase {
  readonly id: string;
  readonly label: string;
  /** Least share of raw LMDB's rate. */
  readonly goal?: number;
  readonly subjects: readonly KvSubject[];
  sample(subject: KvSubject, round: number): Promise<Metrics>;
}

const AT_ONCE = 64;
const BATCH = 100;
const PAGE = 50;
/** Fit with their values into the cache of entries. */
const WORKING_SET = 20_000;
const KEY_PREFIX = 'key-';
const SMALL = Buffer.alloc(100, 1);
const LARGE = Buffer.alloc(1_024, 1);

export interface KvStores {
  readonly cases: readonly KvCase[];
  close(): Promise<void>;
}

/** Fills all of them with the same entries of 1 KiB. */
export async function openStores(directory: string, scale: KvScale): Promise<KvStores> {
  const at = (name: string): string => path.join(directory, name);
  const filled = await EngineSubject.open('holdfast', at('engine'));
  await fill(filled, scale.entries);
  await filled.close();
  for (const name of ['rows', 'disk']) cpSync(at('engine'), at(name), { recursive: true });
  const engine = await EngineSubject.open('holdfast', at('engine'));
  const rows = await EngineSubject.open('holdfast', at('rows'), { entryCacheBytes: 0 });
  const blockCacheBytes = 1_024 * 1_024;
  const disk = await EngineSubject.open('holdfast', at('disk'), {
    entryCacheBytes: 0,
    blockCacheBytes,
  });
  const peers: KvSubject[] = [LmdbSubject.open(at('lmdb'))];
  const sqlite = SqliteSubject.open(at('sqlite'));
  if (sqlite !== undefined) peers.push(sqlite);
  for (const peer of peers) await fill(peer, scale.entries);
  return {
    cases: casesOf({ engine, rows, disk, peers }, scale),
    close: async () => {
      for (const store of [engine, rows, disk, ...peers]) await store.close();
    },
  };
}

interface Opened {
  readonly engine: KvSubject;
  readonly rows: KvSubject;
  readonly disk: KvSubject;
  readonly peers: readonly KvSubject[];
}

function casesOf(opened: Opened, scale: KvScale): readonly KvCase[] {
  return [...readCases(opened, scale), ...writeCases(opened, scale), ...walkCases(opened, scale)];
}

function readCases(
  { engine, rows, disk, peers }: Opened,
  { entries, gets }: KvScale,
): readonly KvCase[] {
  const working = Math.min(WORKING_SET, entries);
  const getting = (keys: number, count: number, atOnce = 1) => {
    return (subject: KvSubject): Promise<Metrics> =>
      sampleCalls({ count, atOnce }, (at) => subject.get(keyOf((at * 7_919) % keys)));
  };
  return [
    {
      id: 'get-cached',
      label: `get, ${working} entries of 1 KiB in memory`,
      goal: 0.5,
      subjects: [engine, ...peers],
      sample: getting(working, gets),
    },
    {
      id: 'get-rows',
      label: 'the same from rows, their blocks in memory',
      goal: 0.1,
      subjects: [rows, ...peers],
      sample: getting(working, gets / 4),
    },
    {
      id: 'get-disk',
      label: `get, any of ${entries} entries, ${AT_ONCE} at once, from files in the page cache`,
      subjects: [disk, ...peers],
      sample: getting(entries, gets / 8, AT_ONCE),
    },
  ];
}

function writeCases({ engine, peers }: Opened, { puts }: KvScale): readonly KvCase[] {
  const subjects = [engine, ...peers];
  const putting = (count: number, atOnce: number, value: Buffer, name: string) => {
    return (subject: KvSubject, round: number): Promise<Metrics> =>
      sampleCalls({ count, atOnce, latency: true }, (at) =>
        subject.put(`${name}-${round}-${(at * 7_919) % count}`, value),
      );
  };
  return [
    {
      id: 'put-64',
      label: `durable put of 100 B, ${AT_ONCE} at once`,
      goal: 1,
      subjects,
      sample: putting(puts, AT_ONCE, SMALL, 'small'),
    },
    {
      id: 'put-64-large',
      label: `durable put of 1 KiB, ${AT_ONCE} at once`,
      goal: 1,
      subjects,
      sample: putting(puts, AT_ONCE, LARGE, 'large'),
    },
    {
      id: 'put-1',
      label: 'durable put of 100 B, one at a time',
      subjects,
      sample: putting(puts / 20, 1, SMALL, 'single'),
    },
    {
      id: 'batch',
      label: `durable batch of ${BATCH} puts of 100 B`,
      subjects,
      sample: (subject, round) =>
        sampleCalls({ count: puts / BATCH, atOnce: 1, latency: true }, (at) => {
          const keys = Array.from({ length: BATCH }, (_, key) => `batch-${round}-${at}-${key}`);
          return subject.batch(keys, SMALL);
        }),
    },
    {
      id: 'put-if-same',
      label: `durable conditional put of 100 B, ${AT_ONCE} at once`,
      subjects,
      sample: (subject) =>
        sampleCalls({ count: puts, atOnce: AT_ONCE, latency: true }, (at) =>
          subject.putIfSame(`same-${at % 2_000}`, SMALL),
        ),
    },
  ];
}

function walkCases({ rows, peers }: Opened, { entries, gets }: KvScale): readonly KvCase[] {
  const subjects = [rows, ...peers];
  return [
    {
      id: 'page',
      label: `page of ${PAGE} entries in key order`,
      subjects,
      sample: (subject) =>
        sampleCalls({ count: gets / 200, atOnce: 1 }, (at) =>
          subject.page(keyOf((at * 7_919) % (entries - PAGE)), PAGE),
        ),
    },
    {
      id: 'scan',
      label: `scan of ${entries} entries of 1 KiB`,
      goal: 0.5,
      subjects,
      sample: (subject) => sampleWalk(entries, () => subject.scan(KEY_PREFIX)),
    },
  ];
}

function keyOf(at: number): string {
  return `${KEY_PREFIX}${String(at).padStart(8, '0')}`;
}

async function fill(subject: KvSubject, entries: number): Promise<void> {
  for (let at = 0; at < entries; at += 500) {
    await subject.batch(
      Array.from({ length: 500 }, (_, offset) => keyOf(at + offset)),
      LARGE,
    );
  }
}
