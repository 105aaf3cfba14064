/** Snapshots in a repository that is damaged, stale, slow or shared: what is named, what stays. */
import { sleep } from '@holdfast/core';
import { type ObjectStore, RetryingObjectStore } from '@holdfast/objects';
import { SeededRandom } from '@holdfast/testkit';
import { describe, expect, it, vi } from 'vitest';
import { WriterFence } from '../src/backup/archive/writer-fence.ts';
import { DatabaseSnapshots } from '../src/backup/snapshot/database-snapshots.ts';
import type { Repository } from '../src/backup/repository/repository.ts';
import { ringOf } from './archive-fixtures.ts';
import { errorOf, fill, within } from './snapshot-fixtures.ts';

const DAY = 86_400_000;

async function bytesOf({ store }: Repository, key: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of (await store.get(key)).body) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function keysOf({ store, names }: Repository): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list({ after });
    keys.push(...page.objects.map(({ key }) => key));
    after = page.after;
    if (after === undefined) return keys.filter((key) => key !== names.lease);
  }
}

async function partsOf(snapshots: DatabaseSnapshots, id: string): Promise<string[]> {
  const { files } = await snapshots.get(id);
  return files.flatMap(({ parts }) => parts.map(({ hash }) => hash));
}

describe('verifying a snapshot', () => {
  it('names each part that is missing, damaged or of another size, with its file', () =>
    within({ snapshotPartBytes: 4_000 }, async ({ engine, snapshots, repository, objects }) => {
      await fill(engine, 0, 30);
      const { snapshotId, partCount } = await snapshots.create();
      const [missing, damaged, short, ...others] = await partsOf(snapshots, snapshotId);
      const keys = [missing, damaged, short].map((hash) => repository.names.part(hash as string));
      const [missingKey = '', damagedKey = '', shortKey = ''] = keys;
      await objects.delete(missingKey);
      const flipped = await bytesOf(repository, damagedKey);
      flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1;
      await objects.put(damagedKey, flipped);
      await objects.put(shortKey, (await bytesOf(repository, shortKey)).subarray(1));
      const report = await snapshots.verify(snapshotId);
      const found = report.problems.map(({ kind, key }) => `${kind} ${key}`).sort();
      expect(found).toEqual([`damaged ${damagedKey}`, `missing ${missingKey}`, `size ${shortKey}`]);
      expect(report.parts).toBe(partCount);
      const { files } = await snapshots.get(snapshotId);
      for (const { file, key } of report.problems) {
        const { parts = [] } = files.find(({ name }) => name === file) ?? {};
        expect(parts.map(({ hash }) => repository.names.part(hash))).toContain(key);
      }
      expect(others.length).toBeGreaterThan(0);
    }));

  it('names parts that were swapped, in the store and in the manifest', () =>
    within({ snapshotPartBytes: 4_000 }, async ({ engine, snapshots, repository, objects }) => {
      await fill(engine, 0, 30);
      const { snapshotId } = await snapshots.create();
      const manifest = await snapshots.get(snapshotId);
      const large = manifest.files.find(({ parts }) => parts.length > 2);
      const [one, other, ...rest] = large?.parts ?? [];
      const swapped = manifest.files.map((file) =>
        file === large ? { ...file, parts: [other, one, ...rest] } : file,
      );
      const id = repository.names.snapshotId(manifest.lsn, Buffer.alloc(8, 9));
      await repository.putSnapshot({ ...manifest, snapshotId: id, files: swapped } as never);
      expect((await snapshots.verify(id)).problems).toMatchObject([
        { kind: 'contents', file: large?.name },
      ]);
      const keys = [one, other].map((part) => repository.names.part(part?.hash as string));
      const [first, second] = await Promise.all(keys.map((key) => bytesOf(repository, key)));
      await objects.put(keys[0] as string, second as Buffer);
      await objects.put(keys[1] as string, first as Buffer);
      const kinds = (await snapshots.verify(snapshotId)).problems.map(({ kind }) => kind);
      expect(kinds).toEqual(['damaged', 'damaged']);
    }));

  it('names a list of files that is not the one of the database’s manifest', () =>
    within({}, async ({ engine, snapshots, repository }) => {
      await fill(engine, 0, 30);
      const { snapshotId } = await snapshots.create();
      const manifest = await snapshots.get(snapshotId);
      const [dropped, ...files] = manifest.files;
      const totalBytes = manifest.totalBytes - (dropped?.bytes ?? 0);
      const id = repository.names.snapshotId(manifest.lsn, Buffer.alloc(8, 9));
      await repository.putSnapshot({ ...manifest, snapshotId: id, files, totalBytes });
      expect((await snapshots.verify(id)).problems).toMatchObject([
        { kind: 'contents', message: expect.stringContaining(dropped?.name as string) as string },
      ]);
      const without = files.filter(({ name }) => !name.startsWith('manifest-'));
      const lost = repository.names.snapshotId(manifest.lsn, Buffer.alloc(8, 8));
      const bytes = without.reduce((sum, file) => sum + file.bytes, 0);
      await repository.putSnapshot({
        ...manifest,
        ...{ snapshotId: lost, files: without, totalBytes: bytes },
      });
      expect((await snapshots.verify(lost)).problems).toMatchObject([{ kind: 'missing' }]);
    }));

  it('refuses a manifest that is another one, an older one, cut off or damaged anywhere', () =>
    within({ keys: ringOf(3) }, async ({ engine, snapshots, repository, objects }) => {
      await fill(engine, 0, 5);
      const one = await snapshots.create();
      await fill(engine, 5, 5);
      const two = await snapshots.create();
      const key = repository.names.snapshot(two.snapshotId);
      const right = await bytesOf(repository, key);
      const older = await bytesOf(repository, repository.names.snapshot(one.snapshotId));
      const flipped = Buffer.from(right);
      flipped[200] = (flipped[200] as number) ^ 1;
      for (const wrong of [older, right.subarray(0, -1), flipped, Buffer.alloc(0)]) {
        await objects.put(key, wrong);
        expect(await errorOf(snapshots.verify(two.snapshotId))).toMatchObject({
          code: 'CHECKSUM_MISMATCH',
          details: { path: key },
        });
      }
      await objects.put(key, right);
      expect((await snapshots.verify(two.snapshotId)).problems).toEqual([]);
    }));

  it('cannot tell when the store does not answer, and says so', () => {
    let isShort = false;
    const store = (inner: ObjectStore): ObjectStore =>
      override(inner, {
        get: async (key, options) => {
          const content = await inner.get(key, options);
          if (!isShort || !key.includes('/parts/')) return content;
          return { ...content, body: shortened(content.body) };
        },
      });
    return within({ store }, async ({ engine, snapshots }) => {
      await fill(engine, 0, 5);
      const { snapshotId } = await snapshots.create();
      isShort = true;
      expect(await errorOf(snapshots.verify(snapshotId))).toMatchObject({ retryable: true });
    });
  });

  it('says of what is not there that it is not there', () =>
    within({}, async ({ snapshots }) => {
      for (const id of ['0000000000000001-0123456789abcdef', '../../x', '']) {
        for (const work of [snapshots.get(id), snapshots.verify(id), snapshots.delete(id)]) {
          expect(await errorOf(work)).toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
        }
      }
    }));
});

describe('a bad network', () => {
  it('costs attempts, not snapshots: refusals, and answers that get lost', () => {
    const random = new SeededRandom(5);
    let lost = 0;
    return within(
      {
        snapshotPartBytes: 4_000,
        store: (inner, clock) => {
          const flaky = override(inner, {
            put: async (key, body, options) => {
              const dice = key.includes('/archive/') ? 9 : random.integer(4);
              if (dice === 0) throw unavailable('none');
              const result = await inner.put(key, body, options);
              if (dice === 1 && lost++ >= 0) throw unavailable('unknown');
              return result;
            },
          });
          return new RetryingObjectStore(flaky, { clock, random }, { attempts: 12, retryMs: 10 });
        },
      },
      async ({ engine, snapshots }) => {
        await fill(engine, 0, 30);
        const made = await snapshots.create();
        expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
        expect(lost).toBeGreaterThan(0);
      },
    );
  });
});

describe('a sweep', () => {
  it('takes what only a deleted snapshot needed, and nothing that is young', () =>
    within({}, async ({ engine, snapshots, repository, clock }) => {
      await fill(engine, 0, 20);
      const one = await snapshots.create();
      await fill(engine, 0, 20); // everything anew
      const two = await snapshots.create();
      await snapshots.delete(one.snapshotId);
      const young = await snapshots.sweep();
      expect(young).toMatchObject({ parts: 0, dryRun: false });
      expect(young.tooYoung).toBeGreaterThan(0);
      await sleep(clock, 2 * 3_600_000);
      const planned = await snapshots.sweep({ dryRun: true });
      expect(planned.parts).toBeGreaterThan(0);
      const before = await keysOf(repository);
      const done = await snapshots.sweep();
      expect(done).toEqual({ ...planned, dryRun: false });
      expect((await keysOf(repository)).length).toBe(before.length - done.parts - done.pieces);
      const left = new Set<string>();
      for await (const { hash } of repository.parts()) left.add(hash);
      expect(left).toEqual(new Set(await partsOf(snapshots, two.snapshotId)));
      expect((await snapshots.verify(two.snapshotId)).problems).toEqual([]);
    }));

  it('takes archive pieces and restore points behind the oldest snapshot', () =>
    within({ archivePieceBytes: 2_000 }, async ({ engine, snapshots, repository, database }) => {
      await fill(engine, 0, 10);
      const early = await database.mark('early');
      await fill(engine, 0, 10);
      await database.archive?.flush();
      const { lsn } = await snapshots.create();
      await fill(engine, 0, 10);
      const late = await database.mark('late');
      await database.archive?.flush();
      expect((await repository.restorePoints()).map((point) => point.lsn)).toEqual([early, late]);
      const report = await snapshots.sweep({ graceMs: 0 });
      expect(report.restorePoints).toBe(1);
      expect(report.pieces).toBeGreaterThan(2);
      expect((await repository.restorePoints()).map((point) => point.lsn)).toEqual([late]);
      const ranges: [number, number][] = [];
      for await (const piece of repository.pieces()) ranges.push([piece.firstLsn, piece.lastLsn]);
      for (const [, lastLsn] of ranges) expect(lastLsn).toBeGreaterThan(lsn);
      expect(ranges[0]?.[0]).toBeLessThanOrEqual(lsn + 1);
      expect(ranges.at(-1)?.[1]).toBe(late);
    }));

  it('leaves the archive alone while there is no snapshot', () =>
    within({ archivePieceBytes: 2_000 }, async ({ engine, snapshots, database, repository }) => {
      await fill(engine, 0, 10);
      await database.archive?.flush();
      const before = await keysOf(repository);
      expect(await snapshots.sweep({ graceMs: 0 })).toMatchObject({ parts: 0, pieces: 0 });
      expect(await keysOf(repository)).toEqual(before);
    }));

  it('deletes nothing when one manifest, or a claim, cannot be read; and prune neither', () =>
    within({}, async ({ engine, snapshots, repository, objects }) => {
      await fill(engine, 0, 20);
      const one = await snapshots.create();
      await fill(engine, 0, 20);
      await snapshots.create();
      const third = await snapshots.create();
      await snapshots.delete(third.snapshotId);
      for (const key of [repository.names.snapshot(one.snapshotId), repository.names.claim(1)]) {
        const right = await bytesOf(repository, key);
        await objects.put(key, right.subarray(1));
        const before = await keysOf(repository);
        expect(await errorOf(snapshots.sweep({ graceMs: 0 }))).toMatchObject({
          code: 'CHECKSUM_MISMATCH',
          details: { path: key },
        });
        expect(await keysOf(repository)).toEqual(before);
        await objects.put(key, right);
      }
      const key = repository.names.snapshot(one.snapshotId);
      const right = await bytesOf(repository, key);
      await objects.put(key, Buffer.alloc(100));
      const fresh = shelfOf(repository);
      const before = await keysOf(repository);
      expect(await errorOf(fresh.prune({ keepLast: 1 }, { graceMs: 0 }))).toMatchObject({
        code: 'CHECKSUM_MISMATCH',
      });
      expect(await keysOf(repository)).toEqual(before);
      const { snapshots: whole, unreadable } = await fresh.list();
      expect(whole).toHaveLength(1);
      expect(unreadable).toMatchObject([{ snapshotId: one.snapshotId }]);
      await objects.put(key, right);
      await fresh.prune({ keepLast: 1 }, { graceMs: 0 });
      expect((await fresh.list()).snapshots).toHaveLength(1);
    }));

  it.each(['the first', 'the second', 'every'])(
    'deletes nothing that is needed when %s listing is stale',
    (which) => {
      let listings = 0;
      let hidden = '';
      const store = (inner: ObjectStore): ObjectStore =>
        override(inner, {
          list: async (options) => {
            const page = await inner.list(options);
            if (hidden === '' || options?.prefix?.endsWith('/snapshots/') !== true) return page;
            const nth = ++listings;
            const isStale = which === 'every' || nth === (which === 'the first' ? 1 : 2);
            if (!isStale) return page;
            return { ...page, objects: page.objects.filter(({ key }) => !key.endsWith(hidden)) };
          },
        });
      return within({ store }, async ({ engine, snapshots }) => {
        await fill(engine, 0, 20);
        const one = await snapshots.create();
        await fill(engine, 0, 20);
        await snapshots.create();
        hidden = one.snapshotId;
        const swept = await snapshots.sweep({ graceMs: 0 }).catch((error: unknown) => error);
        if (which !== 'the first') expect(swept).toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
        hidden = '';
        expect((await snapshots.verify(one.snapshotId)).problems).toEqual([]);
      });
    },
  );

  it('beside a snapshot on its way is refused, or waits', () =>
    within({}, async ({ engine, snapshots, repository }) => {
      await fill(engine, 0, 20);
      const other = shelfOf(repository); // of another process
      const creating = snapshots.create();
      while (snapshots.stats().underWay === undefined) await sleepTurn();
      expect(await errorOf(other.sweep({ graceMs: 0 }))).toMatchObject({
        code: 'REPOSITORY_BUSY',
        details: { purpose: 'create' },
      });
      const [made, report] = await Promise.all([
        creating,
        other.sweep({ graceMs: 0, waitMs: 600_000 }),
      ]);
      expect(report.parts).toBe(0);
      expect((await snapshots.verify(made.snapshotId)).problems).toEqual([]);
    }));

  it('is not for who is no longer the writer', () =>
    within({}, async ({ engine, snapshots, repository, objects, database }) => {
      await fill(engine, 0, 20);
      const { snapshotId } = await snapshots.create();
      const claim = (await repository.claims())[0];
      await objects.put(repository.names.claim(2), Buffer.from('somebody'));
      expect(claim).toBeDefined();
      for (const work of [
        () => snapshots.sweep({ graceMs: 0 }),
        () => snapshots.delete(snapshotId),
        () => snapshots.prune({ keepLast: 1 }),
        () => snapshots.create(),
      ]) {
        expect(['WRITER_FENCED', 'NODE_FAILED']).toContain((await errorOf(work())).code);
      }
      expect((await repository.snapshots()).map(({ id }) => id)).toEqual([snapshotId]);
      expect(database.state).toBe('failed');
    }));
});

describe('pruning', () => {
  it('keeps what the rules keep and gives the rest back', () =>
    within({}, async ({ engine, snapshots, clock, repository }) => {
      const made: string[] = [];
      for (let day = 0; day < 6; day++) {
        await fill(engine, 0, 5);
        made.push((await snapshots.create()).snapshotId);
        clock.jumpWallClock(DAY);
      }
      const report = await snapshots.prune({ keepDaily: 2, keepLast: 1 }, { graceMs: 0 });
      expect(report.deleted.length).toBe(4);
      expect(new Set(report.kept)).toEqual(new Set(made.slice(-2)));
      expect(report.sweep.parts).toBeGreaterThan(0);
      expect((await repository.snapshots()).map(({ id }) => id).sort()).toEqual(made.slice(-2));
      for (const id of made.slice(-2)) expect((await snapshots.verify(id)).problems).toEqual([]);
    }));
});

describe('snapshots by themselves', () => {
  it('are made at once for a history that none leads to', () =>
    within({ snapshotIntervalMs: DAY }, async ({ engine, snapshots, repository, clock }) => {
      const lsn = await fill(engine, 0, 3);
      const [claim] = await repository.claims();
      const manifest = await snapshots.get((await snapshots.create()).snapshotId);
      expect(await snapshots.newest()).toMatchObject({ lsn });
      // One of a history that ended: newer in time, and of no use to this one.
      await snapshots.delete(manifest.snapshotId);
      const beyond = (lsn + 1_000) as typeof lsn;
      const snapshotId = repository.names.snapshotId(beyond, Buffer.alloc(8, 5));
      await repository.putSnapshot({ ...manifest, snapshotId, lsn: beyond, epoch: 7 });
      expect(claim).toMatchObject({ epoch: 1 });
      expect(await snapshots.newest()).toBeUndefined();
      await sleep(clock, 200_000);
      expect(snapshots.stats().created).toBe(2);
      expect(await snapshots.newest()).toMatchObject({ lsn });
    }));

  it('whose repository is claimed anew meanwhile are not listed, and may be made again', () =>
    within({}, async ({ engine, snapshots }) => {
      await fill(engine, 0, 5);
      const check = vi.spyOn(WriterFence.prototype, 'check');
      try {
        check.mockResolvedValueOnce(41).mockResolvedValueOnce(42);
        expect(await errorOf(snapshots.create())).toMatchObject({
          code: 'REPOSITORY_BUSY',
          retryable: true,
        });
        expect((await snapshots.list()).snapshots).toEqual([]);
      } finally {
        check.mockRestore();
      }
      await snapshots.create();
      expect((await snapshots.list()).snapshots).toHaveLength(1);
    }));

  it('are made and pruned as the settings say', () =>
    within(
      { snapshotIntervalMs: 3_600_000, retention: { keepLast: 2 } },
      async ({ engine, snapshots, clock, database }) => {
        for (let hour = 0; hour < 5; hour++) {
          await fill(engine, 0, 3);
          await sleep(clock, 3_600_000);
        }
        expect(snapshots.stats().created).toBeGreaterThanOrEqual(4);
        expect((await snapshots.list()).snapshots).toHaveLength(2);
        expect(database.snapshotSchedule).toMatchObject({ failures: 0, everyMs: 3_600_000 });
      },
    ));
});

/** As another process has it that only keeps the repository, and trusts that it may. */
function shelfOf(repository: Repository): DatabaseSnapshots {
  return new DatabaseSnapshots({
    repository,
    clock: immediateClock,
    random: new SeededRandom(77),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    writer: { check: async () => 1 },
  });
}

/** Timers do not matter to who uses it. */
const immediateClock = {
  now: () => 1_767_225_600_000,
  monotonicMs: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    if (delayMs > 5_000) return { cancel: () => undefined };
    const timer = setTimeout(callback, 1);
    return { cancel: () => clearTimeout(timer) };
  },
  immediate: (callback: () => void) => void setImmediate(callback),
};

function sleepTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function unavailable(effect: 'none' | 'unknown'): Error {
  const error = Object.assign(new Error('503'), { name: 'HoldfastError', details: {} });
  return Object.assign(error, { code: 'STORAGE_UNAVAILABLE', kind: 'unavailable', effect });
}

async function* shortened(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  for await (const piece of body) {
    yield piece.subarray(0, 10);
    throw Object.assign(unavailable('none'), { retryable: true });
  }
}

function override(store: ObjectStore, own: Partial<ObjectStore>): ObjectStore {
  return {
    capabilities: store.capabilities,
    put: (key, body, options) => store.put(key, body, options),
    get: (key, options) => store.get(key, options),
    head: (key, options) => store.head(key, options),
    delete: (key, options) => store.delete(key, options),
    list: (options) => store.list(options),
    removeLeftovers: (options) => store.removeLeftovers(options),
    close: () => store.close(),
    ...own,
  };
}
