import type { ShardId } from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import { describe, expect, it } from 'vitest';
import { KvReader } from './kv-reader.ts';
import { encodeEntryRow } from './kv-rows.ts';
import { StoreKeys } from './store-keys.ts';

const facts = { change: 1, seq: 1, version: 1, epoch: 0, expiresAtMs: undefined, extent: false };

/** Reads of rows that end when the test says so. */
class SlowRows {
  readonly waiting: ((row: Buffer) => void)[] = [];
  reads = 0;

  get host(): EngineHost {
    const get = (): Promise<Buffer> => {
      this.reads++;
      return new Promise((resolve) => this.waiting.push(resolve));
    };
    const host: Partial<EngineHost> = {
      shardOf: () => 0 as ShardId,
      shard: () =>
        ({ get, getAtHand: () => undefined }) as unknown as ReturnType<EngineHost['shard']>,
    };
    return host as EngineHost;
  }

  end(text: string): void {
    for (const resolve of this.waiting.splice(0)) resolve(encodeEntryRow(facts, Buffer.from(text)));
  }
}

async function textOf(read: ReturnType<KvReader['read']>): Promise<string> {
  return String((await read)?.value);
}

describe('reads of entries', () => {
  it('are kept, until the entry changes', async () => {
    const rows = new SlowRows();
    const reader = new KvReader(rows.host, 100_000);
    const keys = new StoreKeys('main', rows.host);
    const first = reader.read(keys, 'key');
    rows.end('old');
    expect(await textOf(first)).toBe('old');
    expect(await textOf(reader.read(keys, 'key'))).toBe('old');
    expect(rows.reads).toBe(1);
    reader.changed('main', 'key');
    const again = reader.read(keys, 'key');
    rows.end('new');
    expect(await textOf(again)).toBe('new');
  });

  it('that a change and a checkpoint overtook are given, and not kept', async () => {
    const rows = new SlowRows();
    const reader = new KvReader(rows.host, 100_000);
    const keys = new StoreKeys('main', rows.host);
    const slow = reader.read(keys, 'key');
    reader.changed('main', 'key');
    reader.collected();
    rows.end('old');
    expect(await textOf(slow)).toBe('old');
    const next = reader.read(keys, 'key');
    rows.end('new');
    expect(await textOf(next)).toBe('new');
  });

  it('that a change overtook are not kept either', async () => {
    const rows = new SlowRows();
    const reader = new KvReader(rows.host, 100_000);
    const keys = new StoreKeys('main', rows.host);
    const slow = reader.read(keys, 'key');
    const state = keys.stateOf('key');
    state.dirty = true;
    reader.changed('main', 'key');
    keys.setApplied(state, { facts, value: Buffer.from('new') });
    rows.end('old');
    expect(await textOf(slow)).toBe('old');
    expect(await textOf(reader.read(keys, 'key'))).toBe('new');
    keys.setCollected([state]);
    reader.collected();
    const next = reader.read(keys, 'key');
    rows.end('new');
    expect(await textOf(next)).toBe('new');
  });

  it('are kept within their bytes, least recently used first out', async () => {
    const rows = new SlowRows();
    const reader = new KvReader(rows.host, 4_000);
    const keys = new StoreKeys('main', rows.host);
    const read = async (key: string, bytes = 10): Promise<number> => {
      const { reads } = rows;
      const found = reader.read(keys, key);
      rows.end('x'.repeat(bytes));
      await found;
      return rows.reads - reads;
    };
    for (let at = 0; at < 30; at++) await read(`k${at}`);
    expect(await read('k29')).toBe(0);
    expect(await read('k0')).toBe(1);
    await read('huge', 3_000);
    expect(await read('huge', 3_000)).toBe(1);
    expect(await read('k29')).toBe(0);
  });
});
