/** Damage in the bytes of streams: made good from memory or the log, or named, and never served. */
import { isHoldfastError, NodeClock, NodeRandom, SILENT } from '@holdfast/core';
import { type Database, openDatabase, verifyDatabase } from '@holdfast/database';
import { type SimDisk, SimFs } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { StreamSettings } from '../src/stream-settings.ts';
import { body, textOf } from './engine-fixture.ts';

const DIR = '/data';
const BLOCK = 64 * 1024 + 64;

interface Opened {
  readonly engine: StreamEngine;
  readonly database: Database;
}

async function open(
  disk: SimDisk,
  stream: Partial<StreamSettings> = {},
  segmentTargetBytes = 4 * 1024 * 1024,
): Promise<Opened> {
  const components = { clock: new NodeClock(), random: new NodeRandom(), logger: SILENT };
  const engine = createStreamEngine(components, stream);
  const database = await openDatabase(
    { ...components, fileSystem: new SimFs({ disk }) },
    {
      dir: DIR,
      shardCount: 1,
      diskReserveBytes: 0,
      preallocateBytes: 16 * 1024,
      segmentTargetBytes,
    },
    [engine],
  );
  return { engine, database };
}

/** What a stream holds, read a few messages at a time, so that every boundary counts. */
async function contentOf(engine: StreamEngine, path: string): Promise<string[]> {
  const slices: string[] = [];
  const { tail } = engine.stat(path);
  for (let from = { messages: 0, bytes: 0 }; from.messages < tail.messages;) {
    const slice = await engine.read({ path, from, maxBytes: 20_000 });
    slices.push(`${slice.to.messages}:${await textOf(slice)}`);
    from = slice.to;
  }
  return slices;
}

type Contents = Map<string, string[]>;

async function contentsOf({ engine }: Opened): Promise<Contents> {
  const contents: Contents = new Map();
  for (const { path } of engine.list({ limit: 100 })) {
    contents.set(path, await contentOf(engine, path));
  }
  return contents;
}

/** The paths whose reads are refused as damaged; every other one is as it was. */
async function refusedPaths(opened: Opened, expected: Contents): Promise<string[]> {
  const refused: string[] = [];
  for (const [path, content] of expected) {
    try {
      expect(await contentOf(opened.engine, path)).toEqual(content);
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      expect(error.kind).toBe('corrupt');
      refused.push(path);
    }
  }
  return refused;
}

/** JSON batches, small texts, one large message, a fork; two checkpoints, so extents join. */
async function fill({ engine, database }: Opened): Promise<void> {
  await engine.create({ path: 'json', closed: false, contentType: 'application/json' });
  await engine.create({ path: 'text', closed: false, contentType: 'text/plain' });
  await engine.create({ path: 'large', closed: false, contentType: 'text/plain' });
  for (let i = 0; i < 60; i++) {
    const items = Array.from({ length: 1 + (i % 7) }, (_, j) => `"${`${i}.${j}`.repeat(60)}"`);
    await engine.append({ path: 'json', close: false, messages: body(`[${items.join()}]`) });
    await engine.append({ path: 'text', close: false, messages: body(`${i}-`.repeat(200)) });
    if (i === 30) await database.checkpoint();
  }
  await engine.append({ path: 'large', close: false, messages: body('x'.repeat(150_000)) });
  const { tail } = engine.stat('text');
  await engine.create({
    path: 'fork',
    closed: false,
    fork: { source: 'text', at: { messages: 59, bytes: tail.bytes - 600 }, subOffset: 0 },
    initial: body('of its own'),
  });
  await engine.append({ path: 'fork', close: false, messages: body('and more '.repeat(99)) });
  await database.checkpoint();
}

function extentFiles(disk: SimDisk): string[] {
  return disk.paths().filter((path) => path.endsWith('.hfx'));
}

describe('a damaged block of an extent file', () => {
  it('wherever it lies, data or index, is made good from the log of a killed node', async () => {
    const { disk } = new SimFs();
    const first = await open(disk);
    await fill(first);
    const expected = await contentsOf(first);
    disk.halt();
    first.engine.close();
    let repaired = 0;
    for (const file of extentFiles(disk)) {
      const { length } = disk.content(file);
      for (let at = 70; at < length; at += BLOCK / 2) {
        const damaged = disk.clone();
        damaged.flipBit(file, Math.floor(at), 3);
        const opened = await open(damaged);
        await refusedPaths(opened, expected);
        const { integrity } = await opened.database.scrub();
        expect(integrity).toMatchObject({ quarantined: 0 });
        repaired += integrity.repaired;
        expect(await refusedPaths(opened, expected)).toEqual([]);
        opened.engine.close();
        await opened.database.close();
        const { problems } = await verifyDatabase(
          { fileSystem: new SimFs({ disk: damaged }) },
          { dir: DIR },
        );
        expect(problems).toEqual([]);
        const again = await open(damaged);
        expect(await refusedPaths(again, expected)).toEqual([]);
        again.engine.close();
        await again.database.close();
      }
    }
    expect(repaired).toBeGreaterThan(5);
  }, 60_000);

  it('is made good from the tail cache when the log has let go of it', async () => {
    const { disk } = new SimFs();
    const settings = { tailCacheBytesPerStream: 10_000_000 };
    const opened = await open(disk, settings, 32 * 1024);
    await fill(opened);
    const expected = await contentsOf(opened);
    for (const file of extentFiles(disk)) {
      const { length } = disk.content(file);
      for (let at = 70; at < length; at += BLOCK) disk.flipBit(file, at, 3);
    }
    const { integrity } = await opened.database.scrub();
    expect(integrity.quarantined).toBe(0);
    expect(integrity.repaired).toBeGreaterThan(4);
    opened.engine.close();
    await opened.database.close();
    const again = await open(disk); // nothing in memory: all of it comes from the disk
    expect(await refusedPaths(again, expected)).toEqual([]);
    again.engine.close();
    await again.database.close();
  });

  it('that nothing else holds costs the streams in it, by name; the others are served and written', async () => {
    const { disk } = new SimFs();
    const settings = { tailCacheBytesPerStream: 0 };
    const first = await open(disk, settings, 32 * 1024);
    await fill(first);
    const expected = await contentsOf(first);
    first.engine.close();
    await first.database.close();
    const [file] = extentFiles(disk).slice(-1) as [string];
    disk.flipBit(file, disk.content(file).length - 2_000, 1); // the large one lies last
    const opened = await open(disk, settings, 32 * 1024);
    await opened.engine.append({ path: 'text', close: false, messages: body('more') });
    await opened.database.checkpoint();
    const { damages } = await opened.database.scrub();
    const lost = damages.filter(({ state }) => state === 'quarantined');
    expect(lost.map(({ owner }) => owner)).toContain('large');
    expected.delete('text');
    const refused = await refusedPaths(opened, expected);
    expect(refused).toContain('large');
    expect(refused.every((path) => lost.some(({ owner }) => owner === path))).toBe(true);
    expect(refused).not.toContain('json');
    expect(opened.engine.stat('large').tail.bytes).toBe(150_000); // never less
    for (const path of refused) await opened.engine.delete(path);
    for (let i = 0; i < 3; i++) await opened.database.checkpoint();
    opened.engine.close();
    await opened.database.close();
  });
});
