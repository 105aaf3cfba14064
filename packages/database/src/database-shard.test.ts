import type { ShardId } from '@holdfast/core';
import { type Row, type Table, UNREAD } from '@holdfast/tables';
import { expect, it } from 'vitest';
import { DatabaseShard } from './database-shard.ts';
import type { ExtentStore } from './extent-store.ts';
import { verifyState } from './state-verify.ts';

/** A table whose reads wait for `proceed`, and that a merge may take away once nobody holds it. */
class SlowTable {
  readonly #row: Row | undefined;
  readonly #gate: Promise<void>;
  #readers = 0;
  #retired = false;
  proceed: () => void = () => undefined;

  constructor(row: Row | undefined) {
    this.#row = row;
    this.#gate = new Promise((resolve) => {
      this.proceed = resolve;
    });
  }

  retain(): void {
    if (this.#retired && this.#readers === 0) throw new Error('retired');
    this.#readers++;
  }

  release(): void {
    this.#readers--;
  }

  retire(): void {
    this.#retired = true;
  }

  getCached(): typeof UNREAD {
    return UNREAD;
  }

  async get(): Promise<Row | undefined> {
    await this.#gate;
    return this.#row;
  }

  verify(): Promise<void> {
    return this.#gate;
  }
}

const key = Buffer.from('k');

function shardOf(tables: readonly SlowTable[]): DatabaseShard {
  const shard = new DatabaseShard(0 as ShardId, undefined as unknown as ExtentStore);
  shard.setTables(tables as unknown as Table[]);
  return shard;
}

it('a read of a row goes on when a merge replaces the tables it has not come to yet', async () => {
  const [newer, older] = [new SlowTable(undefined), new SlowTable({ key, value: key })];
  const shard = shardOf([newer, older]);
  const reading = shard.get(key);
  shard.setTables([]);
  older.retire();
  newer.proceed();
  older.proceed();
  expect(await reading).toEqual(key);
});

it('so does a verify', async () => {
  const [newer, older] = [new SlowTable(undefined), new SlowTable(undefined)];
  const shards = [shardOf([newer, older])];
  const state = { shards, extents: {}, manifest: { current: { extentFiles: [] } } };
  const verifying = verifyState(state as unknown as Parameters<typeof verifyState>[0]);
  older.retire();
  newer.proceed();
  older.proceed();
  expect(await verifying).toEqual([]);
});
