/** The public suite of abstract-level, as it comes, over the adapter. */
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { KvLevel } from '@holdfast/kv/adapters/abstract-level';
import { type KvStore, openMemoryKvStore, viewOf } from '@holdfast/kv';
import { describe, expect, it } from 'vitest';
import { COMPONENTS } from '../tiers/tiered-stores.ts';
import { ADAPTED_STORES } from './adapted-stores.ts';

interface Assertion {
  readonly type: string;
  readonly ok?: boolean;
  readonly name?: string;
  readonly actual?: unknown;
  readonly expected?: unknown;
}

interface Harness {
  (title: string, run: unknown): unknown;
  createStream(options: { objectMode: true }): NodeJS.EventEmitter;
}

const require = createRequire(import.meta.url);
const tape = require('tape') as { createHarness(): Harness };
const suite = require('abstract-level/test') as (options: object) => void;

/** How many assertions held, and what did not. */
async function run(store: KvStore): Promise<{ held: number; failed: string[] }> {
  // tape looks for its caller in every assertion, which costs ten times what the suite does.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const harness = tape.createHarness();
  const stream = harness.createStream({ objectMode: true });
  let databases = 0;
  suite({
    test: harness,
    factory: (options: object) => new KvLevel(viewOf(store, `${databases++}-`), options),
  });
  let held = 0;
  const failed: string[] = [];
  stream.on('data', ({ type, ok, name, actual, expected }: Assertion) => {
    if (type !== 'assert') return;
    if (ok === true) held++;
    else failed.push(`${name}: ${String(actual)} instead of ${String(expected)}`);
  });
  await once(stream, 'end');
  Error.stackTraceLimit = stackTraceLimit;
  return { held, failed };
}

describe.each(ADAPTED_STORES)('a database of abstract-level over $title', ({ open }) => {
  it('passes the public suite', { timeout: 120_000 }, async () => {
    const { store, close } = await open();
    const { held, failed } = await run(store);
    await close();
    expect(failed).toEqual([]);
    expect(held).toBeGreaterThan(4_000);
  });
});

describe('a database of abstract-level', () => {
  it('keeps the order of bytes, with the empty key first, and says what it cannot', async () => {
    const store = openMemoryKvStore(COMPONENTS, { id: 'memory' });
    const level = new KvLevel<Buffer, Buffer>(store, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
    });
    const keys = [[], [0], [0, 0], [1], [127], [128], [128, 255], [254], [255], [255, 0]];
    for (const key of keys.toReversed()) await level.put(Buffer.from(key), Buffer.from(key));
    expect((await level.keys().all()).map((key) => [...key])).toEqual(keys);
    const iterator = level.iterator({ gt: Buffer.from([0]), lte: Buffer.from([254]) });
    iterator.seek(Buffer.from([128]));
    expect((await iterator.all()).map(([key]) => [...key])).toEqual([[128], [128, 255], [254]]);
    await expect(level.put(Buffer.alloc(3_000), Buffer.alloc(1))).rejects.toMatchObject({
      code: 'INVALID_ENTRY_KEY',
    });
    await level.close();
    expect(await store.has('l')).toBe(true);
  });
});
