/** The stores that bench/kv.bench.ts puts beside each other, each by its quickest public way. */
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { type Database, openDatabase } from '@holdfast/database';
import { KvEngine, type KvEngineSettings, type KvStore } from '@holdfast/kv';
import { NodeCompactor } from '@holdfast/tables';

export interface KvSubject {
  readonly name: string;
  /** A promise only where there is no other way. */
  get(key: string): unknown;
  /** Resolves, or returns, when it is durable. */
  put(key: string, value: Buffer): unknown;
  /** All of them in one step. */
  batch(keys: readonly string[], value: Buffer): unknown;
  /** Takes every key and value behind a prefix; returns how many. */
  scan(prefix: string): number | Promise<number>;
  /** `count` entries in key order from `key` on. */
  page(key: string, count: number): unknown;
  /** Puts again what was put last under this key, if it is still that. */
  putIfSame(key: string, value: Buffer): unknown;
  close(): Promise<void>;
}

/** The drivers that the tests of kv have. */
const KV_REQUIRE = createRequire(new URL('../packages/kv/package.json', import.meta.url));

export const seams = {
  clock: new NodeClock(),
  random: new NodeRandom(),
  fileSystem: new NodeFileSystem(),
};

export class EngineSubject implements KvSubject {
  readonly name: string;
  readonly engine: KvEngine;
  readonly store: KvStore;
  readonly #database: Database;
  readonly #compactor: NodeCompactor;
  readonly #versions = new Map<string, number>();

  private constructor(
    name: string,
    engine: KvEngine,
    database: Database,
    compactor: NodeCompactor,
  ) {
    this.name = name;
    this.#compactor = compactor;
    this.engine = engine;
    this.store = engine.store('main');
    this.#database = database;
  }

  static async open(
    name: string,
    dir: string,
    settings: Partial<KvEngineSettings> & { readonly blockCacheBytes?: number } = {},
  ): Promise<EngineSubject> {
    const { blockCacheBytes, ...rest } = settings;
    const engine = new KvEngine(seams, rest);
    const cache = blockCacheBytes === undefined ? {} : { blockCacheBytes };
    const compactor = new NodeCompactor(); // as in a node: merges have a thread of their own
    const components = { ...seams, compactor };
    const database = await openDatabase(components, { dir, ...cache }, [engine]);
    return new EngineSubject(name, engine, database, compactor);
  }

  get(key: string): Promise<unknown> {
    return this.store.get(key);
  }

  put(key: string, value: Buffer): Promise<unknown> {
    return this.store.put(key, value);
  }

  batch(keys: readonly string[], value: Buffer): Promise<unknown> {
    return this.store.batch(keys.map((key) => ({ type: 'put' as const, key, value })));
  }

  async scan(prefix: string): Promise<number> {
    let count = 0;
    for await (const [, value] of this.store.iterator({ prefix })) if (value.length > 0) count++;
    return count;
  }

  page(key: string, count: number): Promise<unknown> {
    const behind = { seq: 0, key };
    return this.store.page({ order: 'key', limit: count, behind });
  }

  async putIfSame(key: string, value: Buffer): Promise<void> {
    const ifVersion = this.#versions.get(key);
    const condition = ifVersion === undefined ? { ifAbsent: true } : { ifVersion };
    this.#versions.set(key, (await this.store.put(key, value, condition)).version);
  }

  async close(): Promise<void> {
    await this.engine.close();
    await this.#database.close();
    await this.#compactor.close();
  }
}

interface RawLmdb {
  openDB(settings: object): RawLmdb;
  getBinary(key: string): Buffer | undefined;
  put(key: string, value: Buffer, version?: number, ifVersion?: number): Promise<boolean>;
  getRange(range: object): Iterable<{ readonly key: string; readonly value: Buffer }>;
  transactionSync<T>(act: () => T): T;
  putSync(key: string, value: Buffer): unknown;
  readonly flushed: PromiseLike<unknown>;
  close(): Promise<void>;
}

/** `put` and `flushed`, `getBinary`, `getRange`: nothing is checked, no order of creation is kept. */
export class LmdbSubject implements KvSubject {
  readonly name = 'lmdb';
  readonly #root: RawLmdb;
  readonly #entries: RawLmdb;
  readonly #versioned: RawLmdb;
  readonly #versions = new Map<string, number>();

  private constructor(root: RawLmdb) {
    this.#root = root;
    this.#entries = root.openDB({ name: 'entries', encoding: 'binary' });
    this.#versioned = root.openDB({ name: 'versioned', encoding: 'binary', useVersions: true });
  }

  static open(dir: string): LmdbSubject {
    mkdirSync(dir, { recursive: true });
    const lmdb = KV_REQUIRE('lmdb') as { open(settings: object): RawLmdb };
    const settings = { path: path.join(dir, 'raw.mdb'), noSubdir: true, maxDbs: 4 };
    return new LmdbSubject(lmdb.open(settings));
  }

  get(key: string): Buffer | undefined {
    return this.#entries.getBinary(key);
  }

  async put(key: string, value: Buffer): Promise<void> {
    await this.#entries.put(key, value);
    await this.#root.flushed;
  }

  async batch(keys: readonly string[], value: Buffer): Promise<void> {
    this.#root.transactionSync(() => {
      for (const key of keys) this.#entries.putSync(key, value);
    });
    await this.#root.flushed;
  }

  scan(prefix: string): number {
    let count = 0;
    const range = { start: prefix, end: `${prefix}\uffff` };
    for (const { value } of this.#entries.getRange(range)) if (value.length > 0) count++;
    return count;
  }

  page(key: string, count: number): readonly unknown[] {
    return Array.from(this.#entries.getRange({ start: key, limit: count + 1 }));
  }

  async putIfSame(key: string, value: Buffer): Promise<void> {
    const before = this.#versions.get(key);
    const version = (before ?? 0) + 1;
    const done =
      before === undefined
        ? await this.#versioned.put(key, value, version)
        : await this.#versioned.put(key, value, version, before);
    if (!done) throw new Error(`lmdb has another version of ${key}`);
    this.#versions.set(key, version);
    await this.#root.flushed;
  }

  close(): Promise<void> {
    return this.#root.close();
  }
}

interface SqliteStatement {
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  run(...values: unknown[]): { readonly changes: number | bigint };
  iterate(...values: unknown[]): Iterable<{ readonly value: Uint8Array }>;
}

interface SqliteDatabase {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

/** WAL with synchronous FULL. A commit of its own for each call: its API knows no waiting. */
export class SqliteSubject implements KvSubject {
  readonly name = 'sqlite';
  readonly #database: SqliteDatabase;
  readonly #get: SqliteStatement;
  readonly #put: SqliteStatement;
  readonly #page: SqliteStatement;
  readonly #scan: SqliteStatement;
  readonly #replace: SqliteStatement;
  readonly #versions = new Map<string, number>();

  private constructor(database: SqliteDatabase) {
    this.#database = database;
    database.exec('pragma journal_mode = wal; pragma synchronous = full');
    database.exec(
      'create table entries (key text unique not null, value blob not null, version integer not null default 0)',
    );
    this.#get = database.prepare('select value from entries where key = ?');
    this.#put = database.prepare(
      'insert into entries (key, value) values (?, ?) on conflict (key) do update set value = excluded.value',
    );
    this.#page = database.prepare(
      'select key, value from entries where key >= ? order by key limit ?',
    );
    this.#scan = database.prepare(
      'select key, value from entries where key >= ? and key < ? order by key',
    );
    this.#replace = database.prepare(
      'update entries set value = ?, version = ? where key = ? and version = ?',
    );
  }

  /** `undefined`: this Node has none. */
  static open(dir: string): SqliteSubject | undefined {
    mkdirSync(dir, { recursive: true });
    try {
      const { DatabaseSync } = KV_REQUIRE('node:sqlite') as {
        DatabaseSync: new (file: string) => SqliteDatabase;
      };
      return new SqliteSubject(new DatabaseSync(path.join(dir, 'raw.sqlite')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_BUILTIN_MODULE') return undefined;
      throw error;
    }
  }

  get(key: string): unknown {
    return this.#get.get(key);
  }

  put(key: string, value: Buffer): unknown {
    return this.#put.run(key, value);
  }

  batch(keys: readonly string[], value: Buffer): void {
    this.#database.exec('begin');
    for (const key of keys) this.#put.run(key, value);
    this.#database.exec('commit');
  }

  scan(prefix: string): number {
    let count = 0;
    for (const { value } of this.#scan.iterate(prefix, `${prefix}\uffff`))
      if (value.length > 0) count++;
    return count;
  }

  page(key: string, count: number): readonly unknown[] {
    return this.#page.all(key, count + 1);
  }

  putIfSame(key: string, value: Buffer): void {
    const before = this.#versions.get(key);
    if (before === undefined) this.#put.run(key, value);
    else if (this.#replace.run(value, before + 1, key, before).changes === 0) {
      throw new Error(`sqlite has another version of ${key}`);
    }
    this.#versions.set(key, before === undefined ? 0 : before + 1);
  }

  async close(): Promise<void> {
    this.#database.close();
  }
}
