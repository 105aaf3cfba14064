/**
 * Checks a database that nobody has open: every byte of manifest, tables, extent files and log,
 * each on its own, so that one damaged file does not hide the others. Reads only (but for
 * the leftover of an interrupted manifest commit, which opening removes).
 */
import {
  BlockCodec,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  type KeyRing,
  LIMITS,
} from '@holdfast/core';
import { verifyLog } from '@holdfast/log';
import {
  BlockCache,
  ExtentFile,
  extentFileName,
  type Manifest,
  ManifestStore,
  Table,
  tableFileName,
} from '@holdfast/tables';
import { checkArchiveState } from './backup/archive/archive-state.ts';
import { checkLayout, type Layout, readLayout } from './layout.ts';
import { assertKeysOf, isKeyError } from './layout-keys.ts';
import { problemOf, type StateProblem } from './state-verify.ts';

export interface DatabaseVerifyReport {
  /** Empty when everything is whole. */
  readonly problems: readonly StateProblem[];
  readonly files: number;
  readonly bytes: number;
  /** A torn, never acknowledged tail of the log that the next start will cut; not a problem. */
  readonly tornBytes: number;
}

type Verifiable = Pick<Table, 'verify' | 'retire'>;

/**
 * Rejects only when it could not look: no database there, somebody has it open, or the keys do not
 * fit.
 *
 * @param onProgress bytes checked so far and, as far as known, in all.
 */
export async function verifyDatabase(
  components: { readonly fileSystem: FileSystem; readonly keys?: KeyRing },
  settings: { readonly dir: string },
  onProgress: (bytes: number, total: number) => void = () => undefined,
): Promise<DatabaseVerifyReport> {
  const { fileSystem } = components;
  const { dir } = settings;
  if ((await fileSystem.stat(dir))?.kind !== 'directory') {
    throw new HoldfastError('FILE_MISSING', `there is no data directory here path=${dir}`);
  }
  const lock = await fileSystem.lockDirectory(dir);
  try {
    return await new DatabaseVerification(components, dir, onProgress).run();
  } finally {
    await lock.release();
  }
}

class DatabaseVerification {
  readonly #fileSystem: FileSystem;
  readonly #keys: KeyRing | undefined;
  readonly #dir: string;
  readonly #onProgress: (bytes: number, total: number) => void;
  readonly #problems: StateProblem[] = [];
  #files = 0;
  #bytes = 0;
  #total = 0;

  constructor(
    components: { readonly fileSystem: FileSystem; readonly keys?: KeyRing },
    dir: string,
    onProgress: (bytes: number, total: number) => void,
  ) {
    this.#fileSystem = components.fileSystem;
    this.#keys = components.keys;
    this.#dir = dir;
    this.#onProgress = onProgress;
  }

  async run(): Promise<DatabaseVerifyReport> {
    let tornBytes = 0;
    await this.#noting(`${this.#dir}/layout.json`, async () => {
      const layout = await readLayout(this.#fileSystem, this.#dir);
      if (layout === undefined) {
        throw new HoldfastError('FILE_MISSING', `directory has no layout.json path=${this.#dir}`);
      }
      // A mirror may be older than a rebalance: what is damaged shows in the layout itself.
      if (layout.damage !== undefined) this.#problems.push(problemOf(layout.damage, this.#dir));
      else await this.#layoutMirror(layout);
      assertKeysOf(layout, this.#keys, this.#dir);
      const codec = new BlockCodec(layout.databaseId, this.#keys);
      this.#total = await this.#logBytes();
      await this.#noting(this.#dir, () => this.#state(codec));
      tornBytes = await this.#log(codec);
    });
    return { problems: this.#problems, files: this.#files, bytes: this.#bytes, tornBytes };
  }

  async #state(codec: BlockCodec): Promise<void> {
    const shared = { fileSystem: this.#fileSystem, codec };
    const { manifest, store, damage } = await ManifestStore.open(shared, this.#dir);
    if (manifest === undefined) {
      throw new HoldfastError('FILE_MISSING', `directory has no manifest path=${this.#dir}`);
    }
    const copies = await store.check();
    if (damage !== undefined && copies.length === 0) copies.push(damage);
    this.#problems.push(...copies.map((error) => problemOf(error, this.#dir)));
    const archive = await checkArchiveState({ ...shared, dir: this.#dir });
    this.#problems.push(...archive.map((error) => problemOf(error, this.#dir)));
    this.#files++;
    this.#total += stateBytes(manifest);
    const components = { ...shared, cache: new BlockCache(LIMITS.blockCacheBytes) };
    for (const { tables } of manifest.shards) {
      for (const info of tables) {
        const path = `${this.#dir}/${tableFileName(info.fileId)}`;
        await this.#file(path, info.bytes, () => Table.open(components, path, info));
      }
    }
    for (const info of manifest.extentFiles) {
      const path = `${this.#dir}/${extentFileName(info.fileId)}`;
      await this.#file(path, info.bytes, () => ExtentFile.open(components, path, info));
    }
  }

  async #layoutMirror(layout: Layout): Promise<void> {
    for (const error of await checkLayout(this.#fileSystem, this.#dir, layout)) {
      this.#problems.push(problemOf(error, this.#dir));
    }
  }

  async #file(path: string, bytes: number, open: () => Promise<Verifiable>): Promise<void> {
    await this.#noting(path, async () => {
      const file = await open();
      try {
        await file.verify((problem) => this.#problems.push(problem));
      } finally {
        await file.retire();
      }
    });
    this.#files++;
    this.#bytes += bytes;
    this.#onProgress(this.#bytes, this.#total);
  }

  async #log(codec: BlockCodec): Promise<number> {
    const before = this.#bytes;
    const report = await verifyLog(
      { fileSystem: this.#fileSystem, codec },
      `${this.#dir}/log`,
      (bytes) => this.#onProgress(before + bytes, this.#total),
    );
    this.#problems.push(...report.problems);
    this.#files += report.segments;
    this.#bytes += report.bytes;
    return report.tornBytes;
  }

  async #logBytes(): Promise<number> {
    let bytes = 0;
    const dir = `${this.#dir}/log`;
    if ((await this.#fileSystem.stat(dir)) === undefined) return 0;
    for (const name of await this.#fileSystem.list(dir)) {
      bytes += (await this.#fileSystem.stat(`${dir}/${name}`))?.size ?? 0;
    }
    return bytes;
  }

  /** Runs a part; what is wrong with it becomes a problem, and the others go on. */
  async #noting(path: string, part: () => Promise<void>): Promise<void> {
    try {
      await part();
    } catch (error) {
      if (!isHoldfastError(error) || isKeyError(error)) throw error;
      this.#problems.push(problemOf(error, path));
    }
  }
}

function stateBytes(manifest: Manifest): number {
  const tables = manifest.shards.flatMap((shard) => shard.tables);
  return [...tables, ...manifest.extentFiles].reduce((sum, file) => sum + file.bytes, 0);
}
