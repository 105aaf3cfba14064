/**
 * Crash histories of snapshots: a database on a simulated disk, an object store behind a bad
 * network; snapshots made, deleted, pruned and swept, also at the same time, while the process is
 * killed or the power cut between any two calls, and what was on its way to the store lands later.
 *
 * The oracle: after every crash each listed snapshot is whole, byte for byte, down to the manifest
 * of the database in it; every snapshot that was acknowledged and never deleted is listed; what a
 * listed one holds had been committed. At the end a sweep leaves exactly what is needed.
 */
import { isHoldfastError, onCut, sleep, systemError, systemErrorCode } from '@holdfast/core';
import { MemoryObjectStore, type ObjectStore, RetryingObjectStore } from '@holdfast/objects';
import {
  type HistoryRange,
  isSimDead,
  runHistories,
  SeededRandom,
  SimClock,
  SimFs,
} from '@holdfast/testkit';
import type { DatabaseSnapshots } from '../src/backup/snapshot/database-snapshots.ts';
import type { Repository } from '../src/backup/repository/repository.ts';
import { verifySnapshot } from '../src/backup/snapshot/snapshot-verify.ts';
import { readLayout } from '../src/layout.ts';
import { openArchived, type OpenedDatabase, repositoryOf, ringOf } from './archive-fixtures.ts';
import { FaultyObjectStore } from './faulty-object-store.ts';
import type { RowEngine } from './row-engine.ts';

export interface SnapshotHistoryTotals {
  histories: number;
  crashes: number;
  made: number;
  /** Attempts that failed or were ended. */
  failed: number;
  deleted: number;
  sweeps: number;
  verified: number;
}

export type CutWay = 'kill' | 'power cut' | 'throw' | 'delay';

export interface ArmedCut {
  readonly point: string;
  readonly way: CutWay;
  readonly nth: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only snapshots --histories 1 --seed';
const GENERATIONS = 4;
const STEPS = 10;
const DELAY_MS = 100_000;
/** Longer than anything lands late, and than a lease of a dead process counts. */
const LATER_MS = 200_000;
const EXPECTED: ReadonlySet<string> = new Set([
  ...['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'ABORTED', 'CLOSED'],
  ...['REPOSITORY_BUSY', 'FENCED', 'SNAPSHOT_NOT_FOUND'],
]);

export async function runSnapshotHistories(range: HistoryRange): Promise<SnapshotHistoryTotals> {
  const totals = noTotals();
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

/** One history in which a cut point is armed. Returns whether it was reached. */
export async function runArmedSnapshotHistory(seed: number, armed: ArmedCut): Promise<boolean> {
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

function noTotals(): SnapshotHistoryTotals {
  return { histories: 0, crashes: 0, made: 0, failed: 0, deleted: 0, sweeps: 0, verified: 0 };
}

class History {
  fired = false;
  readonly #armed: ArmedCut | undefined;
  #passed = 0;
  #last = false;
  readonly #random: SeededRandom;
  readonly #totals: SnapshotHistoryTotals;
  readonly #world: SimClock;
  #clock: SimClock;
  #fs: SimFs;
  readonly #store: ObjectStore;
  readonly #keys: ReturnType<typeof ringOf> | undefined;
  readonly #partBytes: number;
  /** Nearly all it does is to make and to delete. */
  readonly #isHot: boolean;
  /** Acknowledged, and nobody ever asked to delete them. */
  readonly #made = new Set<string>();
  #commits = 0;
  #committedLsn = 0;

  constructor(seed: number, totals: SnapshotHistoryTotals, armed?: ArmedCut) {
    this.#armed = armed;
    this.#random = new SeededRandom(seed);
    this.#totals = totals;
    this.#world = new SimClock(this.#random);
    this.#clock = this.#world.sibling();
    this.#fs = new SimFs();
    this.#keys = this.#random.integer(3) === 0 ? ringOf(5) : undefined;
    this.#partBytes = [700, 3_000, 1 << 20][this.#random.integer(3)] as number;
    this.#isHot = this.#random.integer(2) === 0;
    const store = new MemoryObjectStore({ clock: this.#world });
    const plain = armed?.point === 'backup.leaseDeleted' || this.#random.integer(3) === 0;
    this.#store = plain ? withoutIfMatch(store) : store;
  }

  async run(): Promise<void> {
    for (let generation = 0; generation < GENERATIONS; generation++) {
      this.#last = generation === GENERATIONS - 1;
      const dies = !this.#last && this.#armed === undefined;
      const nth = 1 + this.#random.integer([300, 3_000][this.#random.integer(2)] as number);
      const performed = this.#random.integer(2) === 0;
      const fault = dies
        ? this.#fs.disk.faults.plan({ effect: 'halt', nth, performed })
        : undefined;
      await this.#clock.run(this.#live());
      fault?.remove();
      if (!this.#last) this.#crash();
      await this.#world.run(this.#checkRepository());
    }
  }

  passed(name: string): void | Promise<void> {
    const { point, way, nth } = this.#armed ?? {};
    if (name !== point || this.#last || this.fired || ++this.#passed !== nth) return;
    this.fired = true;
    if (way === 'throw') throw systemError('EIO', 'cut', name);
    if (way === 'delay') return sleep(this.#clock, DELAY_MS);
    this.#fs.disk.halt();
  }

  #crash(): void {
    this.#totals.crashes++;
    const { way } = this.fired ? (this.#armed ?? {}) : {};
    const keeps = way === 'kill' || (way !== 'power cut' && this.#random.integer(3) === 0);
    this.#fs = keeps ? this.#fs.kill() : this.#fs.powerCut(this.#random);
    this.#clock = this.#clock.nextIncarnation();
  }

  async #live(): Promise<void> {
    try {
      const opened = await this.#open();
      if (this.#last) return await this.#end(opened);
      for (let i = 0; i < STEPS; i++) await this.#step(opened);
      if (this.#random.integer(3) === 0) await opened.database.close();
    } catch (error) {
      if (this.#last || !isExpected(error)) throw error;
    }
  }

  async #open(): Promise<OpenedDatabase> {
    const clock = this.#clock;
    const network = new FaultyObjectStore({
      inner: this.#store,
      world: this.#world,
      clock,
      random: this.#random,
      alive: () => this.#fs.stat('/data'),
    });
    if (!this.#last) network.faults.failures = [0, 3, 15, 30][this.#random.integer(4)] as number;
    const isPatient = this.#random.integer(2) === 0;
    const sent = sentFirst(network);
    const objects = isPatient
      ? new RetryingObjectStore(sent, { clock, random: this.#random })
      : sent;
    return openArchived(
      {
        ...{ fileSystem: this.#fs, clock, random: this.#random, objects },
        ...(this.#keys === undefined ? {} : { keys: this.#keys }),
      },
      { archivePieceBytes: 2_000, snapshotPartBytes: this.#partBytes },
    );
  }

  async #step({ database, engine }: OpenedDatabase): Promise<void> {
    const snapshots = database.snapshots as DatabaseSnapshots;
    switch (this.#isHot ? [2, 2, 3, 5, 9][this.#random.integer(5)] : this.#random.integer(10)) {
      case 0:
        return database.checkpoint();
      case 1:
        return sleep(this.#clock, this.#random.integer(120_000));
      case 2:
        return this.#tolerated(this.#change(snapshots));
      case 3:
      case 4: {
        const work = [this.#create(snapshots), this.#burst(engine), this.#change(snapshots)];
        if (this.#random.integer(2) === 0) work.push(database.compact());
        await Promise.all(work.map((each) => this.#tolerated(each)));
        return;
      }
      case 5:
      case 6:
        return this.#tolerated(this.#create(snapshots));
      default:
        return this.#burst(engine);
    }
  }

  /** What a bad network or another one at work may do to it. */
  async #tolerated(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (isSimDead(error) || !isExpected(error)) throw error;
      this.#totals.failed++;
    }
  }

  async #create(snapshots: DatabaseSnapshots): Promise<void> {
    const abort = new AbortController();
    const abortAt = this.#random.integer(5) === 0 ? this.#random.integer(20_000) : Infinity;
    const { snapshotId } = await snapshots.create({
      kind: this.#random.integer(4) === 0 ? 'full' : 'incremental',
      waitMs: this.#random.integer(2) * 150_000,
      signal: abort.signal,
      onProgress: ({ bytes }) => {
        if (bytes > abortAt) abort.abort();
      },
    });
    this.#made.add(snapshotId);
    this.#totals.made++;
  }

  async #change(snapshots: DatabaseSnapshots): Promise<void> {
    const waitMs = this.#random.integer(2) * 150_000;
    const graceMs = this.#random.integer(2) * (this.#isHot ? 0 : 30_000);
    const dice = this.#random.integer(4);
    if (dice === 0) {
      const { snapshots: listed } = await snapshots.list();
      if (listed.length === 0) return;
      const { snapshotId } = this.#random.pick(listed);
      this.#made.delete(snapshotId);
      await snapshots.delete(snapshotId, { waitMs });
      this.#totals.deleted++;
    } else if (dice === 1) {
      this.#made.clear(); // what is made meanwhile is newer: any of now may go
      const { deleted, sweep } = await snapshots.prune({ keepLast: 2 }, { waitMs, graceMs });
      this.#totals.deleted += deleted.length;
      this.#totals.sweeps += sweep.dryRun ? 0 : 1;
    } else {
      await snapshots.sweep({ waitMs, graceMs, dryRun: dice === 2 });
      this.#totals.sweeps++;
    }
  }

  async #burst(engine: RowEngine): Promise<void> {
    for (let left = 1 + this.#random.integer(5); left > 0; left--) {
      const number = ++this.#commits;
      const length = [12, 60, 400, 2_000][this.#random.integer(4)] as number;
      const key = `k${this.#random.integer(9)}`;
      const lsn = await engine.write(new Map([[key, Buffer.alloc(length, `${number}.`)]]));
      this.#committedLsn = Math.max(this.#committedLsn, lsn);
    }
  }

  /** A good network: one more, the others go, and nothing is left that nobody needs. */
  async #end({ database, engine }: OpenedDatabase): Promise<void> {
    const snapshots = database.snapshots as DatabaseSnapshots;
    await this.#burst(engine);
    await sleep(this.#clock, LATER_MS); // nothing is on its way any more
    const { snapshotId } = await this.#atLast(() => snapshots.create({ waitMs: LATER_MS }));
    await this.#atLast(() => snapshots.prune({ keepLast: 1 }, { graceMs: 0 }));
    this.#made.clear();
    this.#made.add(snapshotId);
    const repository = await this.#repository();
    const ids = (await repository.snapshots()).map(({ id }) => id);
    if (ids.length !== 1 || ids[0] !== snapshotId) throw new Error(`left: ${ids.join()}`);
    const { files } = await snapshots.get(snapshotId);
    const needed = new Set(files.flatMap(({ parts }) => parts.map(({ hash }) => hash)));
    for await (const { hash } of repository.parts()) {
      if (!needed.has(hash)) throw new Error(`part is left hash=${hash}`);
    }
    await database.close();
    const lease = (await repository.read(repository.names.lease, 1 << 20))?.toString() ?? '{}';
    const { endsAtMs = 0 } = JSON.parse(lease) as { endsAtMs?: number };
    if (endsAtMs !== 0) throw new Error('the lease is left');
  }

  /** A lease may be lost to a call of a dead process that lands now; not for ever. */
  async #atLast<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let attempts = 0; ; attempts++) {
      try {
        return await work();
      } catch (error) {
        const { code } = error as { code?: string };
        if (attempts === 2 || (code !== 'FENCED' && code !== 'REPOSITORY_BUSY')) throw error;
        await sleep(this.#clock, LATER_MS);
      }
    }
  }

  async #repository(): Promise<Repository> {
    return repositoryOf(this.#fs, this.#store, this.#keys);
  }

  /** As somebody sees it who restores now: no listed snapshot lacks anything. */
  async #checkRepository(): Promise<void> {
    await sleep(this.#world, this.#random.integer(2) * LATER_MS);
    if ((await this.#fs.stat('/data')) === undefined) return;
    if ((await readLayout(this.#fs, '/data')) === undefined) return;
    const repository = await this.#repository();
    const listed = new Set<string>();
    for (const { id, lsn } of await repository.snapshots()) {
      const manifest = await repository.snapshot(id);
      if (manifest === undefined) throw new Error(`listed and not there id=${id}`);
      const { problems } = await verifySnapshot(repository, manifest);
      if (problems.length > 0) throw new Error(`half a snapshot id=${id}: ${problems[0]?.message}`);
      if (lsn > this.#commits) throw new Error(`holds what nobody committed id=${id}`);
      listed.add(id);
      this.#totals.verified++;
    }
    for (const id of this.#made) {
      if (!listed.has(id)) throw new Error(`acknowledged and not there id=${id}`);
    }
  }
}

function withoutIfMatch(store: ObjectStore): ObjectStore {
  return { ...delegating(store), capabilities: { ...store.capabilities, ifMatch: false } };
}

/** What lands late has left its sender before. */
function sentFirst(store: ObjectStore): ObjectStore {
  return {
    ...delegating(store),
    put: async (key, body, options) => {
      const pieces: Uint8Array[] = [];
      if (body instanceof Uint8Array) pieces.push(body);
      else for await (const piece of typeof body === 'function' ? body() : body) pieces.push(piece);
      return store.put(key, Buffer.concat(pieces), options);
    },
  };
}

function delegating(store: ObjectStore): ObjectStore {
  return {
    capabilities: store.capabilities,
    put: (key, body, options) => store.put(key, body, options),
    get: (key, options) => store.get(key, options),
    head: (key, options) => store.head(key, options),
    delete: (key, options) => store.delete(key, options),
    list: (options) => store.list(options),
    removeLeftovers: (options) => store.removeLeftovers(options),
    close: () => store.close(),
  };
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
