import { BlockCodec, HoldfastError, type Lsn, SILENT, sleep } from '@holdfast/core';
import { type Log, openLog } from '@holdfast/log';
import { MemoryObjectStore, type ObjectBody } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { ArchiveMemory } from './archive-state.ts';
import { Archiver } from './archiver.ts';
import { type ListedPiece, Repository } from '../repository/repository.ts';
import { repositoryId } from '../repository/repository-names.ts';
import type { WriterClaim } from '../repository/writer-claim.ts';
import { WriterFence } from './writer-fence.ts';

const DATABASE_ID = Buffer.alloc(16, 7);
const PIECE_BYTES = 1_000;

/** An archiver over a real log, whose entry is what the test says. */
class Bench {
  readonly clock = new SimClock(new SeededRandom(1));
  readonly random = new SeededRandom(2);
  readonly fileSystem = new SimFs();
  readonly store = new MemoryObjectStore({ clock: this.clock });
  readonly codec = new BlockCodec(DATABASE_ID);
  readonly repository = new Repository(this.store, this.codec, repositoryId(DATABASE_ID));
  readonly failures: HoldfastError[] = [];
  entries = 0;
  from = (): Lsn => 1 as Lsn;
  log!: Log;
  archiver!: Archiver;

  async open(archivedLsn = 0): Promise<void> {
    const { clock, random, fileSystem, repository, codec } = this;
    await fileSystem.makeDirectory('/data/log');
    this.log = await openLog(
      { clock, random, fileSystem, logger: SILENT },
      {
        ...{ dir: '/data/log', databaseId: DATABASE_ID, diskReserveBytes: 0 },
        ...{ segmentTargetBytes: 16 * 1024, preallocateBytes: 8 * 1024 },
      },
    );
    const place = { fileSystem, codec, dir: '/data' };
    const memory = await ArchiveMemory.open(place, repository.names.id, false);
    await memory.save({ ...memory.current, archivedLsn: archivedLsn as Lsn });
    const fence = new WriterFence(repository, () => undefined);
    this.archiver = new Archiver(
      {
        ...{ repository, memory, fence, clock, random, log: this.log, logger: SILENT },
        enter: () => this.#enter(),
        prepare: async () => undefined,
        fail: (error) => void this.failures.push(error),
        archived: () => undefined,
      },
      { intervalMs: 5_000, pieceBytes: PIECE_BYTES, fenceCheckIntervalMs: 5_000 },
    );
    this.log.onBatch((lsn) => this.archiver.settled(lsn));
  }

  async #enter(): Promise<WriterClaim> {
    const claim = {
      ...{ epoch: ++this.entries, claimId: 'a'.repeat(32), parent: 0, from: this.from() },
      ...{ shardCount: 1, claimedAtMs: 0 },
    };
    await this.repository.putClaim(claim);
    return claim;
  }

  async append(...sizes: number[]): Promise<void> {
    for (const size of sizes) {
      const parts = [Buffer.alloc(size, 'x')];
      await this.log.append({ type: 1, shard: 0, tenant: 0, parts });
    }
  }

  async pieces(): Promise<ListedPiece[]> {
    const pieces: ListedPiece[] = [];
    for await (const piece of this.repository.pieces()) pieces.push(piece);
    return pieces;
  }

  async close(): Promise<void> {
    await this.archiver.close();
    await this.log.close();
  }
}

function bench(work: (bench: Bench) => Promise<void>): () => Promise<void> {
  const made = new Bench();
  return () => made.clock.run(work(made));
}

function away(): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', 'not now', { effect: 'unknown' });
}

describe('an archiver', () => {
  it(
    'fills pieces up to their size; one larger record stands alone',
    bench(async (b) => {
      await b.open();
      await b.append(400, 400, 400, 3_000, 10, 10);
      b.archiver.start();
      await b.archiver.flush();
      expect((await b.pieces()).map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn])).toEqual([
        ...[[1, 2], [3, 3], [4, 4], [5, 6]], // prettier-ignore
      ]);
      expect(b.archiver.stats()).toMatchObject({ archivedLsn: 6, pieces: 4, lagRecords: 0 });
      await b.close();
    }),
  );

  it(
    'does not wait for its interval when a piece is full',
    bench(async (b) => {
      await b.open();
      b.archiver.start();
      await b.archiver.flush();
      await sleep(b.clock, 10);
      await b.append(600, 600);
      await sleep(b.clock, 10);
      expect(b.archiver.stats()).toMatchObject({ archivedLsn: 1, lagRecords: 1 }); // what is left waits
      await b.append(600);
      await sleep(b.clock, 10);
      expect(b.archiver.stats().archivedLsn).toBe(2);
      await sleep(b.clock, 5_000);
      expect(b.archiver.stats().lagRecords).toBe(0);
      await sleep(b.clock, 10);
      await b.append(3_000);
      await sleep(b.clock, 10);
      expect(b.archiver.stats().lagRecords).toBe(0); // full by itself
      await b.close();
    }),
  );

  it(
    'puts a piece again exactly as it was, whatever became durable meanwhile',
    bench(async (b) => {
      await b.open();
      await b.append(50);
      const puts: { key: string; body: ObjectBody }[] = [];
      const put = b.store.put.bind(b.store);
      b.store.put = async (key, body, options) => {
        if (!key.includes('/archive/')) return put(key, body, options);
        puts.push({ key, body });
        const result = await put(key, body, options);
        if (puts.length < 3) throw away();
        return result;
      };
      b.archiver.start();
      await expect(b.archiver.flush()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
      expect(b.archiver.stats()).toMatchObject({ state: 'behind', archivedLsn: 0 });
      await b.append(60);
      await sleep(b.clock, 30_000);
      expect(b.archiver.stats()).toMatchObject({ state: 'archiving', archivedLsn: 2 });
      expect(puts.map(({ key }) => key)).toEqual([
        ...[puts[0]?.key, puts[0]?.key, puts[0]?.key, puts[3]?.key],
      ]);
      expect(puts[1]?.body).toBe(puts[0]?.body);
      expect((await b.pieces()).map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn])).toEqual([
        [1, 1],
        [2, 2],
      ]);
      await b.close();
    }),
  );

  it(
    'asks a store that is away less and less often, and never stops the database for it',
    bench(async (b) => {
      await b.open();
      let asked = 0;
      b.store.list = async () => {
        asked++;
        throw away();
      };
      await b.append(50);
      b.archiver.start();
      await sleep(b.clock, 3_600_000);
      expect(asked).toBeGreaterThan(100);
      expect(asked).toBeLessThan(600);
      expect(b.failures).toEqual([]);
      expect(b.archiver.stats()).toMatchObject({ state: 'behind', lagRecords: 1 });
      expect(b.archiver.stats().lagSeconds).toBeGreaterThan(3_590);
      await b.close();
    }),
  );

  it(
    'goes on under another claim where the log was let go before it was archived',
    bench(async (b) => {
      await b.open(40);
      for (let i = 0; i < 60; i++) await b.append(2_000);
      await b.log.truncateBefore();
      const oldest = b.log.segments()[0]?.firstLsn as Lsn;
      expect(oldest).toBeGreaterThan(1);
      b.from = () => (b.entries === 1 ? (1 as Lsn) : oldest);
      b.archiver.start();
      await sleep(b.clock, 30_000);
      expect(b.archiver.stats()).toMatchObject({ state: 'archiving', epoch: 2, archivedLsn: 60 });
      expect((await b.pieces())[0]).toMatchObject({ epoch: 2, firstLsn: oldest });
      await b.close();
    }),
  );

  it(
    'that is closed is done with: nothing waits, nothing is put',
    bench(async (b) => {
      await b.open();
      b.archiver.start();
      await b.archiver.flush();
      let puts = 0;
      b.store.put = () => {
        puts++;
        return new Promise((_, reject) => void b.clock.after(50, () => reject(away())));
      };
      await b.append(50);
      const flushed = b.archiver.flush().catch((error: unknown) => error);
      await sleep(b.clock, 10);
      await b.archiver.close();
      expect(await flushed).toMatchObject({ code: 'CLOSED' });
      await sleep(b.clock, 60_000);
      expect(puts).toBe(1);
      expect(b.archiver.stats().state).toBe('closed');
      await expect(b.archiver.flush()).rejects.toMatchObject({ code: 'CLOSED' });
      await b.log.close();
    }),
  );
});
