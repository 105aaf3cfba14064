/** What is used of the package `lmdb`. */
import { loadDriver } from '../load-driver.ts';

export interface LmdbRange {
  readonly start?: Buffer;
  readonly end?: Buffer;
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly exclusiveStart?: boolean;
  readonly inclusiveEnd?: boolean;
  readonly values?: boolean;
  readonly snapshot?: boolean;
}

export interface LmdbDatabase {
  getBinary(key: Buffer): Buffer | undefined;
  putSync(key: Buffer, value: Buffer): unknown;
  removeSync(key: Buffer): unknown;
  getRange(range: LmdbRange): Iterable<{ readonly key: Buffer; readonly value: Buffer }>;
}

export interface LmdbEnvironment {
  openDB(settings: object): LmdbDatabase;
  /** Runs within the turn; an error rolls back. */
  transactionSync<T>(act: () => T): T;
  /** Resolves once what was committed is on the disk. */
  readonly flushed: PromiseLike<unknown>;
  close(): Promise<void>;
}

interface LmdbModule {
  open(settings: object): LmdbEnvironment;
}

export async function openLmdb(path: string): Promise<LmdbEnvironment> {
  const lmdb = await loadDriver<LmdbModule>('LMDB', ['lmdb']);
  return lmdb.open({ path, noSubdir: true, maxDbs: 4, cache: false });
}
