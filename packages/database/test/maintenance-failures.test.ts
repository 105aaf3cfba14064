/** Checkpoints and merges whose calls fail or whose inputs are damaged: what the node does then. */
import { type FileSystem, type Logger, onCut, SILENT } from '@holdfast/core';
import { type Fault, SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeExtentRef, type ExtentRef } from '@holdfast/tables';
import {
  type CollectingShard,
  type Database,
  type DatabaseSettings,
  type MovedExtent,
  openDatabase,
  rebalanceDatabase,
  type Shard,
} from '../src/index.ts';
import { RowEngine, type RowOperation } from './row-engine.ts';

/** One database on one simulated disk, life after life. */
class Bench {
  readonly random: SeededRandom;
  readonly events: string[] = [];
  fs: SimFs;
  clock: SimClock;
  rows: RowEngine = new RowEngine();

  constructor(seed = 1, interleaved = false) {
    this.random = new SeededRandom(seed);
    this.clock = new SimClock(this.random);
    this.fs = new SimFs(interleaved ? { yieldPoint: () => this.clock.yieldPoint() } : {});
  }

  async open(settings: Partial<DatabaseSettings> = {}, rows = new RowEngine()): Promise<Database> {
    this.rows = rows;
    const note = (event: string): void => void this.events.push(event);
    const logger: Logger = { ...SILENT, warn: note, error: note };
    const opening = openDatabase(
      { fileSystem: this.fs, clock: this.clock, random: this.random, logger },
      { dir: '/data', shardCount: 1, diskReserveBytes: 0, ...settings },
      [this.rows],
    );
    return this.run(opening);
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  write(key: string, value?: string): Promise<unknown> {
    const bytes = value === undefined ? undefined : Buffer.from(value);
    return this.run(this.rows.write(new Map([[key, bytes]])));
  }

  async read(key: string): Promise<string | undefined> {
    return (await this.run(this.rows.get(key)))?.toString();
  }

  powerCut(): void {
    this.clock = this.clock.nextIncarnation();
    this.fs = this.fs.powerCut(this.random);
  }

  files(pattern: RegExp): string[] {
    return this.fs.disk.paths().filter((path) => pattern.test(path));
  }

  fail(fault: Fault): { readonly fired: number; remove(): void } {
    return this.fs.disk.faults.plan(fault);
  }

  async flip(path: string, position: number): Promise<void> {
    const handle = await this.run((this.fs as FileSystem).open(path, 'write'));
    const byte = Buffer.alloc(1);
    await this.run(handle.read(byte, position));
    await this.run(handle.write(Buffer.from([(byte[0] as number) ^ 1]), position));
    await this.run(handle.datasync());
    await this.run(handle.close());
  }
}

/** Writes the row of every extent again at each collect, as it is. */
class Restless extends RowEngine {
  readonly #refs = new Map<string, ExtentRef>();

  override collect(shard: CollectingShard): void {
    super.collect({
      ...bound(shard),
      writeExtent: (owner, parts) => {
        const ref = shard.writeExtent(owner, parts);
        this.#refs.set(owner.toString(), ref);
        return ref;
      },
      delete: (key) => {
        this.#refs.delete(key.toString());
        shard.delete(key);
      },
    });
    for (const [owner, ref] of this.#refs) shard.put(Buffer.from(owner), encodeExtentRef(ref));
  }

  override extentsMoved(shard: Shard, moves: readonly MovedExtent[]): void {
    super.extentsMoved(shard, moves);
    for (const { owner, to } of moves) this.#refs.set(owner.toString(), to);
  }
}

function bound(shard: CollectingShard): CollectingShard {
  return {
    id: shard.id,
    get: (key) => shard.get(key),
    getAtHand: (key) => shard.getAtHand(key),
    scan: (range) => shard.scan(range),
    scanBatches: (range) => shard.scanBatches(range),
    readExtent: (ref, offset, length) => shard.readExtent(ref, offset, length),
    put: (key, value) => shard.put(key, value),
    delete: (key) => shard.delete(key),
    writeExtent: (owner, parts) => shard.writeExtent(owner, parts),
    freeExtent: (ref) => shard.freeExtent(ref),
  };
}

const large = (digit: number): string => String(digit).repeat(20_000);

describe('a checkpoint', () => {
  for (const kind of ['extent', 'table']) {
    it(`that cannot open its new ${kind} file is tried again and names nothing twice`, async () => {
      const bench = new Bench();
      const database = await bench.open();
      await bench.write('a', large(1));
      const ofKind = (path: string): boolean => path.includes(`/${kind}-`);
      const fault = bench.fail({ effect: 'EMFILE', operations: ['open'], nth: 2, path: ofKind });
      await expect(bench.run(database.checkpoint())).rejects.toThrow();
      expect(fault.fired).toBe(1);
      expect(database.state).toBe('open');
      await bench.run(database.checkpoint());
      await bench.write('b', large(2));
      await bench.run(database.checkpoint());
      bench.powerCut();
      const again = await bench.open();
      expect(await bench.read('a')).toBe(large(1));
      expect(await bench.read('b')).toBe(large(2));
      expect(await bench.run(again.verify())).toEqual([]);
    });
  }

  it('that is tried again and again on a full disk does not itself fill it', async () => {
    const bench = new Bench();
    const database = await bench.open();
    await bench.write('a', large(1));
    const isManifest = (path: string): boolean => path.includes('/manifest-');
    const fault = bench.fail({
      effect: 'ENOSPC',
      operations: ['rename'],
      times: 5,
      path: isManifest,
    });
    for (let i = 0; i < 5; i++) await expect(bench.run(database.checkpoint())).rejects.toThrow();
    expect(fault.fired).toBe(5);
    expect(bench.files(/\/table-/)).toHaveLength(1);
    expect(bench.files(/\/extent-/)).toHaveLength(1);
    await bench.run(database.checkpoint());
    expect(await bench.read('a')).toBe(large(1));
  });

  it('comes before the copying of extents when there is not room for both', async () => {
    const bench = new Bench();
    const database = await bench.open({ segmentTargetBytes: 64 * 1024 });
    for (let i = 0; i < 8; i++) await bench.write(`k${i}`, large(i));
    await bench.run(database.checkpoint());
    for (let i = 3; i < 8; i++) await bench.write(`k${i}`);
    await bench.run(database.checkpoint());
    for (let i = 0; i < 4; i++) await bench.write('new', large(i).repeat(2));
    // 60 KB of the sparse file are alive, 40 KB are new.
    bench.fs.disk.capacityBytes = bench.fs.disk.usedBytes + 80 * 1024;
    await bench.run(database.checkpoint());
    expect(await bench.read('new')).toBe(large(3).repeat(2));
    await bench.run(database.checkpoint());
    expect(await bench.read('k0')).toBe(large(0));
    await bench.run(database.close());
  });

  it('keeps a row that was written anew over an extent that is being copied', async () => {
    const bench = new Bench();
    const rows = new Restless();
    const database = await bench.open({}, rows);
    for (let i = 0; i < 8; i++) await bench.write(`k${i}`, large(i));
    await bench.run(database.checkpoint());
    for (let i = 3; i < 8; i++) await bench.write(`k${i}`);
    for (let i = 0; i < 3; i++) {
      await bench.write('other', String(i));
      await bench.run(database.checkpoint());
    }
    expect(database.stats().extentFiles).toBe(1);
    await bench.run(database.close());
    await bench.open();
    for (let i = 0; i < 3; i++) expect(await bench.read(`k${i}`)).toBe(large(i));
  });

  it('whose manifest may or may not be on disk is never written again', async () => {
    const bench = new Bench();
    const database = await bench.open({ checkpointLogBytes: 4096 });
    await bench.write('a', large(1));
    bench.fail({
      effect: 'EIO',
      operations: ['syncDirectory'],
      nth: 2,
      path: (path) => path === '/data',
    });
    const writes: Promise<unknown>[] = [];
    let touched = 0;
    database.onFailed(() => {
      bench.fs.disk.onCall = ({ operation, path }) => {
        if (operation !== 'read' && /\/(table|extent)-/.test(path)) touched++;
      };
    });
    for (let i = 0; i < 40; i++) {
      writes.push(bench.rows.write(new Map([['b', Buffer.from(large(2))]])).catch(() => undefined));
    }
    await bench.run(Promise.all(writes));
    await bench.run(database.checkpoint().catch(() => undefined));
    await bench.clock.advance(10_000);
    expect(database.state).toBe('failed');
    expect(touched).toBe(0);
  });

  it('never takes in a record that an engine could not apply', async () => {
    class Broken extends RowEngine {
      override apply(operation: RowOperation): void {
        if (operation.key === 'bad') throw new Error('a bug');
        super.apply(operation);
      }
    }
    for (let seed = 1; seed <= 30; seed++) {
      const bench = new Bench(seed, true);
      const database = await bench.open({}, new Broken());
      await bench.write('before', 'x');
      const outcomes = Promise.allSettled([
        database.checkpoint(),
        bench.rows.write(new Map([['bad', Buffer.from('1')]])),
        bench.rows.write(new Map([['after', Buffer.from('2')]])),
      ]);
      const [, bad, after] = await bench.run(outcomes);
      expect(bad).toMatchObject({ status: 'rejected', reason: { effect: 'unknown' } });
      expect(after).toMatchObject({ status: 'rejected', reason: { effect: 'unknown' } });
      await bench.run(database.close());
      await bench.open();
      expect(await bench.read('bad')).toBe('1');
      expect(await bench.read('after')).toBe('2');
    }
  });
});

describe('damage found on the way', () => {
  it('in both copies of a table stops neither writing nor merging: it stays as it is, and is named', async () => {
    const bench = new Bench();
    const database = await bench.open();
    for (let i = 0; i < 3; i++) {
      await bench.write(`k${i}`, `v${i}`);
      await bench.run(database.checkpoint());
    }
    await bench.run(database.scrub());
    const victim = bench.files(/\.hft$/)[1] as string;
    await bench.flip(victim, 80);
    await bench.flip(`${victim}.mirror`, 80);
    await bench.write('k3', 'v3');
    await bench.run(database.checkpoint());
    await bench.run(database.compact());
    expect(database.state).toBe('open');
    for (let pass = 0; pass < 2; pass++) {
      const { integrity } = await bench.run(database.scrub());
      expect(integrity).toEqual({ found: 2, repaired: 0, quarantined: 2 });
    }
    expect(bench.events.filter((event) => event === 'database.fileDamaged')).toHaveLength(2);
    for (let i = 4; i < 20; i++) {
      await bench.write(`k${i}`, `v${i}`);
      await bench.run(database.checkpoint());
      await bench.run(database.compact());
    }
    expect(database.state).toBe('open');
    expect(database.stats().tables).toBeLessThan(10);
    expect(bench.files(/\/table-/)).toContain(victim);
    for (const i of [0, 2, 3, 9, 19]) expect(await bench.read(`k${i}`)).toBe(`v${i}`);
    const problems = await bench.run(database.verify());
    const copies = [victim, `${victim}.mirror`];
    expect(new Set(problems.map((problem) => problem.path))).toEqual(new Set(copies));
    await bench.run(database.close());
  });

  it('in an extent file costs its own bytes only: checkpoints go on, the rest is served', async () => {
    const bench = new Bench();
    const first = await bench.open();
    for (let i = 0; i < 10; i++) await bench.write(`k${i}`, large(i));
    await bench.run(first.close());
    const victim = bench.files(/\/extent-/)[0] as string;
    // In a block that k8 and k9 share.
    await bench.flip(victim, 190_000);
    const database = await bench.open();
    for (let i = 1; i < 8; i++) await bench.write(`k${i}`);
    for (let i = 0; i < 4; i++) {
      await bench.write('more', large(i));
      await bench.run(database.checkpoint());
    }
    expect(database.state).toBe('open');
    const { damages } = await bench.run(database.scrub());
    expect(damages).toMatchObject([
      { path: victim, owner: 'k8', state: 'quarantined', kind: 'damaged' },
      { path: victim, owner: 'k9', state: 'quarantined', kind: 'damaged' },
    ]);
    expect(bench.events).toContain('database.fileDamaged');
    expect(bench.files(/\/extent-/)).toContain(victim);
    expect(await bench.read('k0')).toBe(large(0));
    expect(await bench.read('more')).toBe(large(3));
    await expect(bench.read('k9')).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await bench.run(database.close());
  });
});

describe('a merge', () => {
  let off: () => void = () => undefined;
  afterEach(() => off());

  it('without space for its manifest is dropped and done later', async () => {
    const bench = new Bench();
    const database = await bench.open();
    for (let i = 0; i < 4; i++) {
      if (i === 3) {
        off = onCut((name) => {
          if (name !== 'database.compacted') return;
          bench.fail({ effect: 'ENOSPC', operations: ['write'] });
          off();
        });
      }
      await bench.write(`k${i}`, `v${i}`);
      await bench.run(database.checkpoint());
    }
    await bench.run(database.compact().catch(() => undefined));
    expect(database.state).toBe('open');
    await bench.run(database.compact());
    expect(database.stats().tables).toBe(1);
    expect(bench.files(/\.hft$/)).toHaveLength(1);
    await bench.run(database.close());
  });
});

it('a commit of more operations than can be read back is refused', async () => {
  const bench = new Bench();
  await bench.open();
  const changes = new Map<string, Buffer>();
  for (let i = 0; i < 4097; i++) changes.set(`k${i}`, Buffer.from('x'));
  await expect(bench.run(bench.rows.write(changes))).rejects.toMatchObject({
    code: 'RECORD_TOO_LARGE',
  });
  changes.delete('k0');
  await bench.run(bench.rows.write(changes));
  bench.powerCut();
  await bench.open();
  expect(bench.rows.keys()).toHaveLength(4096);
});

it('a rebalance without room says so, and leaves the old number of shards or the new one', async () => {
  let refused = 0;
  for (let spare = 0; spare < 12_000; spare += 400) {
    const bench = new Bench();
    const database = await bench.open({ shardCount: 2 });
    for (let i = 0; i < 6; i++) await bench.write(`k${i}`, large(i));
    await bench.run(database.close());
    const { disk } = bench.fs;
    disk.capacityBytes = disk.usedBytes + spare;
    const components = { fileSystem: bench.fs, clock: bench.clock, random: bench.random };
    const settings = { dir: '/data', shardCount: 4, diskReserveBytes: 0 };
    const done = await bench.run(
      rebalanceDatabase(components, settings, [new RowEngine()]).catch((error: unknown) => error),
    );
    if (done instanceof Error) {
      expect(done).toMatchObject({ code: 'DISK_FULL' });
      refused++;
    }
    disk.capacityBytes = Infinity;
    const again = await bench.open({ shardCount: done instanceof Error ? 2 : 4 });
    for (let i = 0; i < 6; i++) expect(await bench.read(`k${i}`)).toBe(large(i));
    await bench.run(again.close());
  }
  expect(refused).toBeGreaterThan(5);
});

it('a close on a full disk does not fail over the commits that were refused', async () => {
  const bench = new Bench();
  const database = await bench.open({ preallocateBytes: 8 * 1024 });
  await bench.write('a', large(1));
  bench.fs.disk.capacityBytes = bench.fs.disk.usedBytes;
  const refused = bench.rows.write(new Map([['b', Buffer.alloc(1_000_000)]]));
  const closing = database.close();
  await expect(bench.run(refused)).rejects.toMatchObject({ code: 'DISK_FULL', effect: 'none' });
  await bench.run(closing);
  bench.fs.disk.capacityBytes = Infinity;
  await bench.open();
  expect(await bench.read('a')).toBe(large(1));
});

it('an open with two engines for one record type gives the directory back', async () => {
  const bench = new Bench();
  const opening = openDatabase(
    { fileSystem: bench.fs, clock: bench.clock, random: bench.random },
    { dir: '/data' },
    [new RowEngine(), new RowEngine()],
  );
  await expect(bench.run(opening)).rejects.toThrow(TypeError);
  await bench.run((await bench.open()).close());
});
