/**
 * Crash histories of the continuous archive: a database on a simulated disk, an object store behind
 * a bad network, the process killed or the power cut between any two calls to either, puts that
 * land after their process ended, starts while the store is away.
 *
 * The oracle: after every crash the history in the repository is consecutive from its beginning,
 * its chain holds, it is the history that was committed, and it reaches at least as far as a flush
 * ever said. The log never lost a record before the archive had it. At the end the repository holds
 * exactly what the log holds, and applying it gives the state of the engine.
 */
import { hasCode, isHoldfastError, onCut, sleep, systemError } from '@holdfast/core';
import { type Logger, type Lsn, SILENT, systemErrorCode } from '@holdfast/core';
import { openLog, type StoredRecord } from '@holdfast/log';
import { MemoryObjectStore, type ObjectStore, openFsObjectStore } from '@holdfast/objects';
import {
  type HistoryRange,
  isSimDead,
  runHistories,
  SeededRandom,
  SimClock,
  SimFs,
} from '@holdfast/testkit';
import type { Repository } from '../src/backup/repository/repository.ts';
import { readLayout } from '../src/layout.ts';
import {
  archivedHistory,
  openArchived,
  type OpenedDatabase,
  repositoryOf,
  ringOf,
} from './archive-fixtures.ts';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { RowEngine, type RowOperation } from './row-engine.ts';

export interface ArchiveHistoryTotals {
  histories: number;
  crashes: number;
  commits: number;
  flushes: number;
  /** Flushes that said why they could not. */
  refusals: number;
  marks: number;
  epochs: number;
  /** Starts while the store was away. */
  lonelyStarts: number;
}

export type CutWay = 'kill' | 'power cut' | 'throw' | 'delay';

export interface ArmedCut {
  readonly point: string;
  readonly way: CutWay;
  /** The how-manieth time it is passed. */
  readonly nth: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only backup --histories 1 --seed';
const GENERATIONS = 5;
const STEPS = 12;
const DELAY_MS = 3_000;
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'ABORTED']);

export async function runArchiveHistories(range: HistoryRange): Promise<ArchiveHistoryTotals> {
  const totals = noTotals();
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

/** One history in which a cut point is armed. Returns whether it was reached. */
export async function runArmedArchiveHistory(seed: number, armed: ArmedCut): Promise<boolean> {
  const history = new History(seed, noTotals(), armed);
  const off = onCut((name) => history.passed(name));
  try {
    await history.run();
  } catch (cause) {
    throw new Error(`broken seed=${seed} ${JSON.stringify(armed)}: ${String(cause)}`, { cause });
  } finally {
    off();
  }
  return history.fired;
}

function noTotals(): ArchiveHistoryTotals {
  return {
    ...{ histories: 0, crashes: 0, commits: 0, flushes: 0, refusals: 0 },
    ...{ marks: 0, epochs: 0, lonelyStarts: 0 },
  };
}

class History {
  /** The armed point was reached. */
  fired = false;
  readonly #armed: ArmedCut | undefined;
  #passed = 0;
  #last = false;
  readonly #random: SeededRandom;
  readonly #totals: ArchiveHistoryTotals;
  readonly #world: SimClock;
  #clock: SimClock;
  #fs = new SimFs();
  #storeFs: SimFs | undefined;
  #store: ObjectStore;
  #network: FaultyObjectStore | undefined;
  readonly #encrypted: boolean;
  #rotated = false;
  readonly #pieceBytes: number;
  /** What each acknowledged record is: the number of a commit, or the name of a restore point. */
  readonly #known = new Map<Lsn, string>();
  #commits = 0;
  /** A flush said that everything up to here is in the repository. */
  #flushedLsn = 0;
  readonly #warnings: string[] = [];

  constructor(seed: number, totals: ArchiveHistoryTotals, armed?: ArmedCut) {
    this.#armed = armed;
    this.#random = new SeededRandom(seed);
    this.#totals = totals;
    this.#world = new SimClock(this.#random);
    this.#clock = this.#world.sibling();
    this.#encrypted = this.#random.integer(3) === 0;
    this.#pieceBytes = [200, 700, 5_000][this.#random.integer(3)] as number;
    if (this.#random.integer(3) === 0) this.#storeFs = new SimFs();
    this.#store = new MemoryObjectStore({ clock: this.#world });
  }

  async run(): Promise<void> {
    await this.#world.run(this.#openStore());
    for (let generation = 0; generation < GENERATIONS; generation++) {
      this.#last = generation === GENERATIONS - 1;
      const dies = !this.#last && (this.#armed === undefined || generation === 0);
      const nth = 1 + this.#random.integer(generation === 0 ? 500 : 400);
      const performed = this.#random.integer(2) === 0;
      const fault = dies
        ? this.#fs.disk.faults.plan({ effect: 'halt', nth, performed })
        : undefined;
      await this.#clock.run(this.#live());
      fault?.remove();
      if (!this.#last) await this.#world.run(this.#crash());
      await this.#world.run(this.#checkRepository());
    }
  }

  /** Hears of every cut point that is passed. */
  passed(name: string): void | Promise<void> {
    const { point, way, nth } = this.#armed ?? {};
    if (name !== point || this.#last || this.fired || ++this.#passed !== nth) return;
    this.fired = true;
    if (way === 'throw') throw systemError('EIO', 'cut', name);
    if (way === 'delay') return sleep(this.#clock, DELAY_MS);
    this.#fs.disk.halt();
  }

  async #openStore(): Promise<void> {
    const fileSystem = this.#storeFs;
    if (fileSystem === undefined) return;
    const components = { clock: this.#world, random: this.#random, fileSystem };
    this.#store = await openFsObjectStore({ directory: '/objects' }, components);
  }

  async #crash(): Promise<void> {
    this.#totals.crashes++;
    const { way } = this.fired ? (this.#armed ?? {}) : {};
    const kill = this.#random.integer(3) === 0;
    const keeps = way === 'kill' || (way !== 'power cut' && kill);
    this.#fs = keeps ? this.#fs.kill() : this.#fs.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
    if (this.#storeFs === undefined || this.#random.integer(2) === 0) return;
    this.#storeFs = this.#storeFs.powerCut(this.#random);
    await this.#openStore();
  }

  async #live(): Promise<void> {
    try {
      const opened = await this.#open();
      for (let i = 0; i < STEPS; i++) await this.#step(opened);
      if (this.#last || this.#random.integer(3) === 0) await this.#end(opened);
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  async #open(): Promise<OpenedDatabase> {
    const network = new FaultyObjectStore({
      inner: this.#store,
      world: this.#world,
      clock: this.#clock,
      random: this.#random,
      alive: () => this.#fs.stat('/data'),
    });
    this.#network = network;
    if (!this.#last) {
      network.faults.failures = [0, 0, 10, 30][this.#random.integer(4)] as number;
      network.faults.away = this.#random.integer(8) === 0;
      if (network.faults.away) this.#totals.lonelyStarts++;
    }
    const opened = await openArchived(
      {
        ...{ fileSystem: this.#fs, clock: this.#clock, random: this.#random, objects: network },
        ...(this.#encrypted ? { keys: this.#rotated ? ringOf(6, 5) : ringOf(5) } : {}),
        logger: this.#logger(),
      },
      { archivePieceBytes: this.#pieceBytes },
    );
    return opened;
  }

  #logger(): Logger {
    const warn = (event: string): void => {
      if (event === 'archive.gap' || event === 'archive.beginsAnew') this.#warnings.push(event);
    };
    return { ...SILENT, warn };
  }

  async #step({ database, engine }: OpenedDatabase): Promise<void> {
    if (this.#random.integer(2) === 0) await sleep(this.#clock, this.#random.integer(900));
    const dice = this.#random.integer(13);
    if (dice === 0) await database.checkpoint();
    else if (dice === 1) await this.#mark(database);
    else if (dice <= 3) await this.#flush(database);
    else if (dice === 4) await sleep(this.#clock, this.#random.integer(15_000));
    else if (dice === 5) this.#changeNetwork();
    else if (dice === 6) await this.#rotate(database);
    else await this.#burst(engine);
    const { archivedLsn } = database.archive?.stats() ?? {};
    if ((archivedLsn ?? 0) > database.appliedLsn) throw new Error('archived more than durable');
  }

  async #rotate(database: OpenedDatabase['database']): Promise<void> {
    if (!this.#encrypted || this.#rotated) return;
    this.#rotated = true;
    await database.rotateKeys(ringOf(6, 5).exportKeys());
  }

  #changeNetwork(): void {
    if (this.#last || this.#network === undefined) return;
    const { faults } = this.#network;
    if (faults.away) faults.away = false;
    else faults.away = this.#random.integer(3) === 0;
  }

  async #burst(engine: RowEngine): Promise<void> {
    const writes = Array.from({ length: 1 + this.#random.integer(4) }, async () => {
      const number = ++this.#commits;
      const length = [12, 60, 400, 3_000][this.#random.integer(4)] as number;
      const key = `k${this.#random.integer(7)}`;
      const lsn = await engine.write(new Map([[key, Buffer.alloc(length, `${number}.`)]]));
      this.#known.set(lsn, String(number));
      this.#totals.commits++;
    });
    for (const result of await Promise.allSettled(writes)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async #mark(database: OpenedDatabase['database']): Promise<void> {
    const name = `mark ${++this.#commits}`;
    this.#known.set(await database.mark(name), name);
    this.#totals.marks++;
  }

  async #flush(database: OpenedDatabase['database']): Promise<void> {
    const durable = database.appliedLsn;
    try {
      await database.archive?.flush();
      this.#flushedLsn = Math.max(this.#flushedLsn, durable);
      this.#totals.flushes++;
    } catch (error) {
      if (this.#last || isSimDead(error) || !hasCode(error, 'STORAGE_UNAVAILABLE')) throw error;
      this.#totals.refusals++;
    }
  }

  async #end({ database, engine }: OpenedDatabase): Promise<void> {
    if (this.#last) await this.#flush(database);
    const state = new Map<string, Buffer | undefined>();
    for (const key of engine.keys()) state.set(key, await engine.get(key));
    await database.close();
    if (!this.#last) return;
    await this.#checkAgainst(database.appliedLsn, state);
  }

  /** The repository after the last close, beside the log and the state. */
  async #checkAgainst(lsn: Lsn, state: ReadonlyMap<string, Buffer | undefined>): Promise<void> {
    const { records } = await archivedHistory(await this.#repository());
    if ((records.at(-1)?.lsn ?? 0) !== lsn) throw new Error(`archive ends early, wanted ${lsn}`);
    const log = await this.#records();
    for (const record of log) {
      const archived = records[record.lsn - 1];
      if (archived === undefined || !isSame(record, archived)) {
        throw new Error(`archive and log differ at ${record.lsn}`);
      }
    }
    const found = new Map<string, Buffer>();
    for (const { key, value } of operationsOf(records)) found.set(key, value as Buffer);
    if (found.size !== state.size) throw new Error('archive and state differ');
    for (const [key, value] of state) {
      if (value?.equals(found.get(key) as Buffer) !== true) throw new Error(`differs key=${key}`);
    }
  }

  async #records(): Promise<StoredRecord[]> {
    const layout = await readLayout(this.#fs, '/data');
    if (layout === undefined) throw new Error('no layout');
    const log = await openLog(
      {
        ...{ fileSystem: this.#fs, clock: this.#clock, random: this.#random, logger: SILENT },
        ...(this.#encrypted ? { keys: ringOf(6, 5) } : {}),
      },
      { dir: '/data/log', databaseId: layout.databaseId, diskReserveBytes: 0 },
    );
    const records: StoredRecord[] = [];
    for await (const record of log.replay()) records.push(record);
    await log.close();
    return records;
  }

  async #repository(): Promise<Repository> {
    return repositoryOf(this.#fs, this.#store, this.#encrypted ? ringOf(6, 5) : undefined);
  }

  /** As somebody sees it who restores now. */
  async #checkRepository(): Promise<void> {
    if (this.#warnings.length > 0) throw new Error(`the log went first: ${this.#warnings[0]}`);
    if ((await readLayoutIfAny(this.#fs)) === undefined) return;
    const repository = await this.#repository();
    const epochs = await repository.epochs();
    this.#totals.epochs += this.#last ? epochs.length : 0;
    if (epochs.length === 0) {
      if (this.#flushedLsn > 0) throw new Error('the claims are gone');
      return;
    }
    const { records, lineage } = await archivedHistory(repository);
    if (lineage.from !== 1) throw new Error(`history begins at ${lineage.from}`);
    if (records.length > 0 && records[0]?.lsn !== 1) throw new Error('the beginning is gone');
    const end = records.at(-1)?.lsn ?? 0;
    if (end < this.#flushedLsn) throw new Error(`lost: flushed=${this.#flushedLsn} found=${end}`);
    this.#checkRecords(records);
    if (this.#last) await this.#checkMarks(repository, records);
  }

  #checkRecords(records: readonly StoredRecord[]): void {
    let before = 0;
    for (const record of records) {
      const found = textOf(record);
      const known = this.#known.get(record.lsn);
      if (known !== undefined && known !== found) {
        throw new Error(`other record lsn=${record.lsn} wanted=${known} found=${found}`);
      }
      const number = Number(found.replace('mark ', ''));
      if (!(number > before && number <= this.#commits)) throw new Error(`from nowhere: ${found}`);
      before = number;
    }
  }

  async #checkMarks(repository: Repository, records: readonly StoredRecord[]): Promise<void> {
    const points = new Map((await repository.restorePoints()).map((point) => [point.lsn, point]));
    for (const record of records) {
      const found = textOf(record);
      if (!found.startsWith('mark ')) continue;
      if (points.get(record.lsn)?.name !== found) throw new Error(`no restore point for ${found}`);
    }
  }
}

async function readLayoutIfAny(fs: SimFs): Promise<unknown> {
  if ((await fs.stat('/data')) === undefined) return undefined;
  return readLayout(fs, '/data');
}

const decoder = new RowEngine();

function operationsOf(records: readonly StoredRecord[]): RowOperation[] {
  return records.flatMap(({ type, shard, payload }) =>
    decoder.recordTypes.includes(type) ? [decoder.decode(type, shard as never, payload)] : [],
  );
}

/** The number of the commit, or the name of the restore point. */
function textOf(record: StoredRecord): string {
  const [operation] = operationsOf([record]);
  if (operation === undefined) return record.payload.toString('utf8', 1);
  return operation.value?.toString().split('.')[0] ?? '';
}

function isSame(a: StoredRecord, b: StoredRecord): boolean {
  const { payload, ...rest } = a;
  return payload.equals(b.payload) && Object.entries(rest).every(([k, v]) => b[k as 'lsn'] === v);
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
