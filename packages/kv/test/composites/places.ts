/** Places of every kind for one store each, on servers that are started once. */
import { MemoryFileSystem } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openNatsKvStore } from '@holdfast/kv/backends/nats';
import { openPostgresKvStore } from '@holdfast/kv/backends/postgres';
import { openRedisKvStore } from '@holdfast/kv/backends/redis';
import { openS3KvStore } from '@holdfast/kv/backends/s3';
import { type ObjectStore, openS3ObjectStore } from '@holdfast/objects';
import {
  findRealNats,
  findRealPostgres,
  findRealRedis,
  findRealS3Server,
  RealNats,
  RealPostgres,
  RealRedis,
  RealS3Server,
} from '@holdfast/testkit';
import { removeScratch, scratch } from '../backends/servers.ts';
import { EngineLife } from '../engine-life.ts';
import { COMPONENTS, memory } from '../tiers/tiered-stores.ts';

export const PLACE_KINDS = [
  'memory',
  'engine',
  'lmdb',
  'files',
  'postgres',
  's3',
  'redis',
  'nats',
] as const;
export type PlaceKind = (typeof PLACE_KINDS)[number];

export const PROGRAMS: Partial<Record<PlaceKind, string | undefined>> = {
  postgres: findRealPostgres(),
  s3: findRealS3Server(),
  redis: findRealRedis(),
  nats: findRealNats(),
};

/** Opens the store that rests there, again and again. */
export type Place = () => Promise<KvStore>;

export class Places {
  readonly #root = scratch();
  readonly #folders: string[] = [this.#root];
  readonly #objects: ObjectStore[] = [];
  #engine: EngineLife | undefined;
  #postgres: RealPostgres | undefined;
  #s3: RealS3Server | undefined;
  #redis: RealRedis | undefined;
  #nats: RealNats | undefined;
  #count = 0;

  async start(): Promise<void> {
    const { postgres, s3, redis, nats } = PROGRAMS;
    const directory = (): string => {
      const folder = scratch();
      this.#folders.push(folder);
      return folder;
    };
    this.#engine = await EngineLife.open(
      { ...COMPONENTS, fileSystem: new MemoryFileSystem() },
      {},
      { purgeIntervalMs: 20, purgeStartGraceMs: 0 },
    );
    if (postgres !== undefined) this.#postgres = await RealPostgres.start(postgres, directory());
    if (s3 !== undefined) {
      this.#s3 = await RealS3Server.start({ program: s3, directory: directory() });
    }
    if (redis !== undefined) {
      this.#redis = await RealRedis.start({ program: redis, directory: directory() });
    }
    if (nats !== undefined) this.#nats = await RealNats.start(nats, directory());
  }

  async stop(): Promise<void> {
    for (const objects of this.#objects) await objects.close();
    await this.#engine?.close();
    await this.#postgres?.stop();
    await this.#s3?.kill(); // it would wait for connections
    await this.#redis?.stop();
    await this.#nats?.stop();
    for (const folder of this.#folders) removeScratch(folder);
  }

  /** Of the engine, and new. */
  local(): KvStore {
    return (this.#engine as EngineLife).engine.store(`local-${++this.#count}`);
  }

  /** A new one. */
  async make(kind: PlaceKind): Promise<Place> {
    const name = `place_${++this.#count}`;
    const id = `${kind} ${name}`;
    switch (kind) {
      case 'memory': {
        const store = memory(id);
        return async () => store;
      }
      case 'engine': {
        const { engine } = this.#engine as EngineLife;
        return async () => engine.store(name);
      }
      case 'lmdb':
        return () => openLmdbKvStore(COMPONENTS, { id, directory: `${this.#root}/${name}` });
      case 'files': {
        const components = { ...COMPONENTS, fileSystem: new MemoryFileSystem() };
        return () => openFilesKvStore(components, { id, directory: name });
      }
      case 'postgres': {
        const { url } = this.#postgres as RealPostgres;
        return () => openPostgresKvStore(COMPONENTS, { id, url, table: name });
      }
      case 's3': {
        const { bucket, endpoint, region, credentials } = this.#s3 as RealS3Server;
        const where = { bucket, endpoint, region, credentials, prefix: name };
        const objects = await openS3ObjectStore(where, COMPONENTS);
        this.#objects.push(objects);
        return () => openS3KvStore({ ...COMPONENTS, objects }, { id });
      }
      case 'redis': {
        const { url } = this.#redis as RealRedis;
        return () => openRedisKvStore(COMPONENTS, { id, url, name });
      }
      case 'nats': {
        const { url } = this.#nats as RealNats;
        return () => openNatsKvStore(COMPONENTS, { id, servers: url, bucket: name });
      }
    }
  }
}
