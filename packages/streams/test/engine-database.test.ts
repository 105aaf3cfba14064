/** The engine in a real database: power cuts, checkpoints, rewritten extents, other shards. */
import { HoldfastError, MemoryFileSystem, NodeClock, NodeRandom, SILENT } from '@holdfast/core';
import { type Database, openDatabase, rebalanceDatabase } from '@holdfast/database';
import { SeededRandom, SimFs } from '@holdfast/testkit';
import { describe, expect, test } from 'vitest';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import { body, textOf } from './engine-fixture.ts';

const DIR = '/data';
const SMALL = { segmentTargetBytes: 64 * 1024, preallocateBytes: 16 * 1024, diskReserveBytes: 0 };

interface Opened {
  readonly engine: StreamEngine;
  readonly database: Database;
}

function newEngine(): StreamEngine {
  const components = { clock: new NodeClock(), random: new NodeRandom(), logger: SILENT };
  return createStreamEngine(components, { tailCacheBytesPerStream: 500, readPieceBytes: 1000 });
}

async function open(fileSystem: SimFs | MemoryFileSystem, shardCount?: number): Promise<Opened> {
  const engine = newEngine();
  const database = await openDatabase(
    { fileSystem, clock: new NodeClock(), random: new NodeRandom() },
    { dir: DIR, ...SMALL, ...(shardCount === undefined ? {} : { shardCount }) },
    [engine],
  );
  return { engine, database };
}

async function text(engine: StreamEngine, path: string): Promise<string> {
  return textOf(await engine.read({ path, from: 'start', maxBytes: 1e9 }));
}

/** Producers that write numbered messages, and try again after each power cut. */
class Writers {
  readonly #random: SeededRandom;
  /** What each stream must hold, in order; acknowledged or not. */
  readonly sent = new Map<string, string[]>();
  readonly acknowledged = new Map<string, number>();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async run(opened: Opened, path: string, until: () => boolean): Promise<void> {
    const { engine, database } = opened;
    const sent = this.sent.get(path) ?? [];
    this.sent.set(path, sent);
    await engine.create({ path, closed: false, contentType: 'text/plain' });
    let seq = this.acknowledged.get(path) ?? 0;
    while (!until()) {
      sent[seq] ??= `${path}:${seq}${'.'.repeat(this.#random.integer(400))};`;
      const result = await engine.append({
        path,
        messages: body(sent[seq] as string),
        close: false,
        producer: { id: 'w', epoch: 0, seq },
      });
      expect(result.producer?.seq).toBeGreaterThanOrEqual(seq);
      this.acknowledged.set(path, ++seq);
      if (this.#random.chance(0.02)) await database.checkpoint();
    }
  }
}

describe('a power cut', () => {
  test.each([1, 2, 3, 4])(
    'takes nothing acknowledged and doubles nothing, seed %i',
    async (seed) => {
      const random = new SeededRandom(seed);
      const writers = new Writers(random);
      const paths = ['a', 'b', 'c', 'd', 'e'];
      let fileSystem = new SimFs();
      for (let life = 0; life < 8; life++) {
        const opened = await open(fileSystem);
        for (const [path, count] of writers.acknowledged) {
          const stored = await text(opened.engine, path);
          const sent = writers.sent.get(path) as string[];
          expect([sent.slice(0, count).join(''), sent.join('')]).toContain(stored);
        }
        let cut = false;
        let left = 40 + random.integer(200);
        const running = paths.map((path) =>
          writers
            .run(opened, path, () => cut || --left < 0)
            .catch((error: unknown) => {
              if (!cut) throw error;
            }),
        );
        while (left > 10) await new Promise((resolve) => setImmediate(resolve));
        cut = true;
        fileSystem = fileSystem.powerCut(random);
        opened.engine.close();
        await Promise.race([
          Promise.all(running),
          new Promise((resolve) => setTimeout(resolve, 20)),
        ]);
      }
    },
  );

  test('between the steps of a cascade leaves every fork with its source', async () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 12; round++) {
      let fileSystem = new SimFs();
      let opened = await open(fileSystem);
      const paths = ['0', '1', '2', '3'];
      for (const path of paths) {
        const depth = Number(path);
        await opened.engine.create({
          path,
          closed: false,
          ...(depth === 0 ? {} : { fork: { source: `${depth - 1}`, subOffset: 0 } }),
        });
        await opened.engine.append({ path, close: false, messages: body(path) });
      }
      if (random.chance(0.5)) await opened.database.checkpoint();
      for (const path of ['0', '1', '2']) await opened.engine.delete(path);
      const last = opened.engine.delete('3');
      last.catch(() => {});
      for (let i = random.integer(6); i > 0; i--) await Promise.resolve();
      fileSystem = fileSystem.powerCut(random);
      opened.engine.close();
      opened = await open(fileSystem);
      const { engine } = opened;
      const left = engine.list({ limit: 9 }).map(({ path }) => path);
      if (left.length > 0) {
        expect(left).toEqual(['3']);
        expect(await text(engine, '3')).toBe('0123');
        await engine.delete('3');
      }
      for (const path of paths) {
        expect(() => engine.stat(path)).toThrow(
          expect.objectContaining({ code: 'STREAM_NOT_FOUND' }),
        );
      }
      await opened.database.close();
    }
  });
});

test('space of deleted streams comes back, and what is left is read from rewritten files', async () => {
  const fileSystem = new MemoryFileSystem();
  const { engine, database } = await open(fileSystem, 1);
  for (let i = 0; i < 20; i++) {
    const path = `${i}`;
    await engine.create({ path, closed: false });
    await engine.append({ path, close: false, messages: body(path.repeat(5000)) });
    await database.checkpoint();
  }
  const slice = await engine.read({ path: '19', from: 'start', maxBytes: 1e9 });
  const pieces = slice.pieces()[Symbol.asyncIterator]();
  const first = await pieces.next();
  for (let i = 0; i < 19; i++) await engine.delete(`${i}`);
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await engine.append({ path: '19', close: false, messages: body('+') });
    await database.checkpoint();
  }
  let read = Buffer.concat(first.value as Buffer[]).toString();
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    read += Buffer.concat([...next.value]).toString();
  }
  expect(read).toBe('19'.repeat(5000));
  expect(await text(engine, '19')).toBe(`${'19'.repeat(5000)}+++`);
  let extentBytes = 0;
  for (const name of await fileSystem.list(DIR)) {
    if (name.endsWith('.hfx')) extentBytes += (await fileSystem.stat(`${DIR}/${name}`))?.size ?? 0;
  }
  expect(extentBytes).toBeLessThan(30_000);
  expect(await database.verify()).toEqual([]);
  engine.close();
  await database.close();
});

test('another number of shards keeps every stream, fork and producer', async () => {
  const fileSystem = new MemoryFileSystem();
  let { engine, database } = await open(fileSystem, 2);
  const producer = { id: 'p', epoch: 0, seq: 0 };
  for (let i = 0; i < 30; i++) {
    await engine.create({ path: `${i}`, closed: false });
    await engine.append({ path: `${i}`, close: false, messages: body(`text ${i}`), producer });
    await engine.create({ path: `f${i}`, closed: false, fork: { source: `${i}`, subOffset: 0 } });
  }
  await engine.delete('29');
  await engine.delete('f28');
  const newest = engine.stat('f27').id;
  await database.close();
  engine.close();
  for (const shardCount of [8, 1, 4]) {
    const components = { fileSystem, clock: new NodeClock(), random: new NodeRandom() };
    await rebalanceDatabase(components, { dir: DIR, ...SMALL, shardCount }, [newEngine()]);
    ({ engine, database } = await open(fileSystem));
    expect(database.shardCount).toBe(shardCount);
    expect(await text(engine, 'f29')).toBe('text 29');
    for (let i = 0; i < 28; i++) {
      expect(await text(engine, `f${i}`)).toBe(`text ${i}`);
      const again = { path: `${i}`, close: false, messages: body('x'), producer };
      expect((await engine.append(again)).outcome).toBe('duplicate');
    }
    const { info } = await engine.create({ path: `new${shardCount}`, closed: false });
    expect(info.id).toBeGreaterThan(newest);
    await database.close();
    engine.close();
  }
});

test('a commit of a closed database is refused, and reads of memory go on', async () => {
  const { engine, database } = await open(new MemoryFileSystem());
  await engine.create({ path: 'a', closed: false });
  await database.close();
  await expect(engine.append({ path: 'a', close: false, messages: body('x') })).rejects.toThrow(
    HoldfastError,
  );
  expect(engine.stat('a').tail.bytes).toBe(0);
  engine.close();
});
