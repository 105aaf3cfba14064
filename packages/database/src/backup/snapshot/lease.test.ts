import { BlockCodec, type HoldfastError, LIMITS, SILENT, sleep } from '@holdfast/core';
import { MemoryObjectStore, type ObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { RepositoryLeases } from './lease.ts';
import { Repository } from '../repository/repository.ts';

const LEASE = LIMITS.repositoryLeaseMs;
const GRACE = LIMITS.repositoryLeaseGraceMs;

interface World {
  readonly clock: SimClock;
  readonly store: ObjectStore;
  readonly repository: Repository;
  /** Of one process each. */
  readonly process: () => { leases: RepositoryLeases; clock: SimClock };
}

function within(
  play: (world: World) => Promise<void>,
  wrap: (store: ObjectStore) => ObjectStore = (store) => store,
): Promise<void> {
  const random = new SeededRandom(1);
  const clock = new SimClock(random);
  const store = wrap(new MemoryObjectStore({ clock }));
  const repository = new Repository(store, new BlockCodec(Buffer.alloc(16, 1)), '0'.repeat(32));
  const process = (): { leases: RepositoryLeases; clock: SimClock } => {
    const own = clock.sibling();
    const components = { repository, clock: own, random, logger: SILENT };
    return { leases: new RepositoryLeases(components), clock: own };
  };
  return clock.run(play({ clock, store, repository, process }));
}

const withoutIfMatch = (store: ObjectStore): ObjectStore =>
  new Proxy(store, {
    get: (target, name) => {
      if (name === 'capabilities') return { ...target.capabilities, ifMatch: false };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });

async function errorOf(work: Promise<unknown>): Promise<HoldfastError> {
  return work.then(
    () => {
      throw new Error('it was expected to fail');
    },
    (error: HoldfastError) => error,
  );
}

describe.each([
  ['a store that replaces by etag', (store: ObjectStore) => store],
  ['a store that does not', withoutIfMatch],
])('a lease in %s', (_, wrap) => {
  it('is one holder’s at a time, and the next one’s once it was given back', () =>
    within(async ({ process }) => {
      const one = process();
      const other = process();
      const lease = await one.leases.take('create');
      expect(await errorOf(other.leases.take('sweep'))).toMatchObject({
        code: 'REPOSITORY_BUSY',
        details: { purpose: 'create' },
      });
      const waiting = other.leases.take('sweep', { waitMs: 10 * LEASE });
      await lease.release();
      await (await waiting).release();
      await (await one.leases.take('delete')).release();
    }, wrap));

  it('is renewed for as long as it is held', () =>
    within(async ({ process, clock }) => {
      const lease = await process().leases.take('create');
      const other = process();
      for (let i = 0; i < 10; i++) {
        await sleep(clock, LEASE);
        await lease.assertHeld();
        expect(await errorOf(other.leases.take('sweep'))).toMatchObject({
          code: 'REPOSITORY_BUSY',
        });
      }
      await lease.release();
    }, wrap));

  it('of a dead process ends after its time and the grace, not before', () =>
    within(async ({ process, clock }) => {
      const dead = process();
      await dead.leases.take('create');
      dead.clock.nextIncarnation();
      const other = process();
      await sleep(clock, LEASE + GRACE - 1_000);
      expect(await errorOf(other.leases.take('sweep'))).toMatchObject({ code: 'REPOSITORY_BUSY' });
      await sleep(clock, 2_000);
      await (await other.leases.take('sweep')).release();
    }, wrap));

  it('ends whatever the clock said of who wrote it, once it no longer changes', () =>
    within(async ({ process, clock, store, repository }) => {
      const endsAtMs = clock.now() + 1e12;
      const record = { holder: 'ab', purpose: 'create', renewals: 1, endsAtMs };
      await store.put(repository.names.lease, Buffer.from(JSON.stringify(record)));
      const { leases } = process();
      expect(await errorOf(leases.take('sweep'))).toMatchObject({ code: 'REPOSITORY_BUSY' });
      await sleep(clock, LEASE + GRACE + 1);
      await (await leases.take('sweep')).release();
    }, wrap));

  it.each(['', '[]', 'null', '{"holder":1}', 'x'.repeat(100_000)])(
    'that makes no sense ends likewise: %#',
    (text) =>
      within(async ({ process, store, repository }) => {
        await store.put(repository.names.lease, Buffer.from(text));
        const { leases } = process();
        expect(await errorOf(leases.take('sweep'))).toMatchObject({ code: 'REPOSITORY_BUSY' });
        await (await leases.take('sweep', { waitMs: LEASE + GRACE + 5_000 })).release();
      }, wrap),
  );

  it('that was taken over is noticed by who held it, before it does anything more', () =>
    within(async ({ process, store, repository }) => {
      const lease = await process().leases.take('create');
      const record = { holder: 'other', purpose: 'sweep', renewals: 1, endsAtMs: 2e12 };
      await store.put(repository.names.lease, Buffer.from(JSON.stringify(record)));
      expect(await errorOf(lease.assertHeld())).toMatchObject({ code: 'FENCED' });
      expect(lease.signal.aborted).toBe(true);
      await lease.release();
      const left = await repository.read(repository.names.lease, 1_000);
      expect(left?.toString()).toContain('other'); // not ours to take away
    }, wrap));

  it('that vanished is lost with the next renewal', () =>
    within(async ({ process, store, repository, clock }) => {
      const lease = await process().leases.take('create');
      await store.delete(repository.names.lease);
      await sleep(clock, LEASE / 2);
      expect(lease.signal.reason).toMatchObject({ code: 'FENCED' });
      await lease.release();
    }, wrap));

  it('is lost to its holder before anybody may take it, when the store is away', () => {
    let isAway = false;
    const away = (store: ObjectStore): ObjectStore =>
      new Proxy(wrap(store), {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) =>
            isAway && name !== 'close'
              ? Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }))
              : (value.apply(target, args) as unknown);
        },
      });
    return within(async ({ process, clock }) => {
      const startMs = clock.monotonicMs();
      const lease = await process().leases.take('create');
      isAway = true;
      while (!lease.signal.aborted) await sleep(clock, 100);
      expect(clock.monotonicMs() - startMs).toBeLessThanOrEqual(LEASE + 100);
      isAway = false;
      expect(await errorOf(process().leases.take('sweep'))).toMatchObject({
        code: 'REPOSITORY_BUSY',
      });
      await lease.release();
    }, away);
  });

  it('is left to end when a change may still come', () =>
    within(async ({ process, clock }) => {
      const lease = await process().leases.take('create');
      const lost = Object.assign(new Error('lost'), { name: 'HoldfastError' });
      Object.assign(lost, { code: 'STORAGE_UNAVAILABLE', effect: 'unknown' });
      await errorOf(lease.change(() => Promise.reject(lost)));
      await lease.release();
      const other = process();
      expect(await errorOf(other.leases.take('sweep'))).toMatchObject({ code: 'REPOSITORY_BUSY' });
      await sleep(clock, LEASE + GRACE + 1);
      await (await other.leases.take('sweep')).release();
    }, wrap));
});
