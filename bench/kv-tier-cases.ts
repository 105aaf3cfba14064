/** What tiers cost beside the stores they are made of, and how fast a lost primary comes back. */
import path from 'node:path';
import { type KvStore, openMemoryKvStore, openTieredKvStore, restoreTier } from '@holdfast/kv';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';
import type { KvScale } from './kv-cases.ts';
import { sampleCalls, sampleWalk } from './kv-sample.ts';
import { EngineSubject, seams } from './kv-subjects.ts';
import type { Metrics } from './measure.ts';

export interface TierCase {
  readonly id: string;
  readonly label: string;
  readonly goal?: { readonly least?: number; readonly most?: number; readonly of: string };
  sample(round: number): Promise<Metrics>;
}

const AT_ONCE = 64;
const VALUE = Buffer.alloc(1_024, 1);
const GET_KEYS = 20_000;

export class TierStores {
  readonly #directory: string;
  readonly #scale: KvScale;
  readonly #subject: EngineSubject;
  readonly #open: KvStore[] = [];

  private constructor(directory: string, scale: KvScale, subject: EngineSubject) {
    this.#directory = directory;
    this.#scale = scale;
    this.#subject = subject;
  }

  static async open(directory: string, scale: KvScale): Promise<TierStores> {
    const subject = await EngineSubject.open('holdfast', path.join(directory, 'tiers'));
    return new TierStores(directory, scale, subject);
  }

  async cases(): Promise<readonly TierCase[]> {
    const cases: TierCase[] = [];
    for (const primary of [this.#memory('memory'), this.#engine('get'), await this.#lmdb('get')]) {
      cases.push(await this.#getCase(primary));
    }
    const pairs = [
      [this.#engine('primary-1'), await this.#lmdb('backup-1')],
      [await this.#lmdb('primary-2'), await this.#lmdb('backup-2')],
    ] as const;
    for (const [at, [primary, backup]] of pairs.entries()) {
      cases.push(...(await this.#putCases(at, primary, backup)));
    }
    const source = this.#memory('source');
    await fill(source, this.#scale.tierEntries);
    cases.push(this.#restoreCase('LMDB', source, (name) => this.#lmdb(name)));
    const sqlite = await this.#sqlite('probe').catch(() => undefined);
    if (sqlite !== undefined) {
      cases.push(this.#restoreCase('SQLite', source, (name) => this.#sqlite(name)));
    }
    cases.push(this.#restoreCase('the engine', source, async (name) => this.#engine(name)));
    return cases;
  }

  async close(): Promise<void> {
    for (const store of this.#open.reverse()) await store.close();
    await this.#subject.close();
  }

  /** Processor time alone and within tiers, in turns. */
  async #getCase(primary: KvStore): Promise<TierCase> {
    const local = this.#engine(`local-${this.#open.length}`);
    const stores = { primary, ephemeral: this.#memory('ephemeral'), local };
    const tiers = this.#kept(
      await openTieredKvStore(
        seams,
        { ...stores, backup: this.#memory('backup') },
        { id: 'tiers', rules: [{ prefix: 'c/' }] },
      ),
    );
    await fill(tiers, GET_KEYS);
    const gets = (store: KvStore): Promise<Metrics> =>
      sampleCalls({ count: this.#scale.gets, atOnce: 1 }, (at) =>
        store.get(`key-${(at * 7_919) % GET_KEYS}`),
      );
    return {
      id: `tier-get-${primary.id}`,
      label: `what tiers add to a get, primary ${primary.id}`,
      goal: { most: 3, of: 'moreUs' },
      sample: async () => {
        const alone = (await gets(primary))['cpuUs'] as number;
        const within = (await gets(tiers))['cpuUs'] as number;
        return { cpuUs: within, aloneUs: alone, moreUs: within - alone };
      },
    };
  }

  async #putCases(at: number, primary: KvStore, backup: KvStore): Promise<TierCase[]> {
    const local = this.#engine(`local-put-${at}`);
    const tiers = this.#kept(
      await openTieredKvStore(seams, { primary, backup, local }, { id: 'tiers' }),
    );
    const count = this.#scale.puts / 2;
    const name = `${primary.id.split(/[:-]/)[0]}+${backup.id.split(/[:-]/)[0]}`;
    const puts = (of: string, store: KvStore): TierCase => ({
      id: `tier-put-${at}-${of}`,
      label: `durable put of 1 KiB, ${AT_ONCE} at once, ${name}: ${of}`,
      sample: (round) =>
        sampleCalls({ count, atOnce: AT_ONCE, latency: true }, (key) =>
          store.put(`${of}-${round}-${key}`, VALUE),
        ),
    });
    return [puts('primary alone', primary), puts('backup alone', backup), puts('tiers', tiers)];
  }

  #restoreCase(
    name: string,
    source: KvStore,
    openTarget: (name: string) => Promise<KvStore>,
  ): TierCase {
    return {
      id: `restore-${name}`,
      label: `restore of entries of 1 KiB into ${name}, compared in the end`,
      goal: { least: 30_000, of: 'perSecond' },
      sample: async (round) => {
        const target = await openTarget(`restored-${name.replace(' ', '-')}-${round}`);
        return sampleWalk(this.#scale.tierEntries, async () => {
          let done = 0;
          for await (const { phase, entries } of restoreTier({ from: source, to: target })) {
            if (phase === 'done') done = entries;
          }
          return done;
        });
      },
    };
  }

  #kept<Store extends KvStore>(store: Store): Store {
    this.#open.push(store);
    return store;
  }

  #memory(id: string): KvStore {
    return this.#kept(openMemoryKvStore(seams, { id }));
  }

  #engine(name: string): KvStore {
    return this.#kept(this.#subject.engine.store(name));
  }

  async #lmdb(name: string): Promise<KvStore> {
    const directory = path.join(this.#directory, `tier-lmdb-${name}`);
    return this.#kept(await openLmdbKvStore(seams, { id: `lmdb-${name}`, directory }));
  }

  async #sqlite(name: string): Promise<KvStore> {
    const directory = path.join(this.#directory, `tier-sqlite-${name}`);
    return this.#kept(await openSqliteKvStore(seams, { id: `sqlite-${name}`, directory }));
  }
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
