/**
 * One bit of a small data directory with key-value stores turned around, and then everything asked of
 * them: each answer is what was kept, or an error that says so. Never less, never "there is none" of
 * what is there. And what is damaged is mended from what the log still has.
 */
import { isHoldfastError } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import { SeededRandom, SimFs, type SimDisk } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type HoldfastNode, openNode } from '../src/index.ts';
import { flipThrough, type Outcome } from './flip-through.ts';

/** `all`: a bit of every byte of every file. */
const WANTED = process.env['HOLDFAST_ROT'] === 'all' ? Infinity : 400;
const LARGE = 9_000;

function open(fileSystem: SimFs, segmentTargetBytes = 32_768): Promise<HoldfastNode> {
  return openNode(
    { dir: '/data', shardCount: 2 },
    { fileSystem, random: new SeededRandom(5) },
    {
      database: { segmentTargetBytes, preallocateBytes: 8_192, diskReserveBytes: 0 },
      kv: { entryCacheBytes: 0 },
    },
  );
}

const large = (word: string): Buffer => Buffer.from(`${word} `.repeat(LARGE).slice(0, LARGE));

/** Rows and extents of two checkpoints, and behind them what only the log has. */
async function write(node: HoldfastNode): Promise<void> {
  const [one, two] = [node.kv.store('one'), node.kv.store('two')];
  await one.put('small', Buffer.from('value'));
  await one.put('large', large('first'));
  await two.put('gone', Buffer.from('value'));
  await node.checkpoint();
  await one.put('large', large('second'));
  await one.put('other', large('other'), { ttlMs: 1e12 });
  await two.batch([
    { type: 'del', key: 'gone' },
    { type: 'put', key: 'a/b', value: Buffer.from('batch') },
  ]);
  await node.checkpoint();
  await one.put('small', Buffer.from('rewritten'));
  await two.put('late', large('late'));
}

const KEYS = { one: ['small', 'large', 'other'], two: ['a/b', 'gone', 'late'] };

/** Every question, with a way to ask it. */
const QUESTIONS: readonly (readonly [string, (node: HoldfastNode) => Promise<unknown>])[] = [
  ['stores', ({ kv }) => gather(kv.stores())],
  ...Object.entries(KEYS).flatMap(([name, keys]) => {
    const of = ({ kv }: HoldfastNode): KvStore => kv.store(name);
    return [
      ...keys.map((key) => [key, (node: HoldfastNode) => of(node).getEntry(key)] as const),
      ['entries', (node: HoldfastNode) => gather(of(node).entries())] as const,
      ['reverse', (node: HoldfastNode) => gather(of(node).keys({ reverse: true }))] as const,
      ['created', (node: HoldfastNode) => of(node).page({ order: 'created' })] as const,
      ['last', (node: HoldfastNode) => of(node).lastChange()] as const,
    ];
  }),
];

async function gather<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

async function answersOf(node: HoldfastNode): Promise<string[]> {
  const answers: string[] = [];
  for (const [what, ask] of QUESTIONS) answers.push(`${what} ${JSON.stringify(await ask(node))}`);
  return answers;
}

async function outcomeOf(disk: SimDisk, kept: readonly string[]): Promise<Outcome> {
  let node: HoldfastNode;
  try {
    node = await open(new SimFs({ disk }));
  } catch (error) {
    if (isHoldfastError(error) && error.kind === 'corrupt') return 'refused';
    throw error;
  }
  let outcome: Outcome = 'harmless';
  for (const [at, [what, ask]] of QUESTIONS.entries()) {
    try {
      expect(`${what} ${JSON.stringify(await ask(node))}`).toBe(kept[at]);
    } catch (error) {
      if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
      outcome = 'told';
    }
  }
  await node.close();
  return outcome;
}

describe.each([
  ['stopped', true],
  ['killed', false],
])(
  'the directory of a node with stores that was %s, with any one bit turned around',
  (_, stops) => {
    it('answers with what was kept, or with an error', { timeout: 3_600_000 }, async () => {
      const fs = new SimFs();
      const node = await open(fs);
      await write(node);
      const kept = await answersOf(node);
      if (stops) await node.close();
      const from = fs.disk.clone();
      if (!stops) await node.close();
      const flips = await flipThrough(from, WANTED, (disk) => outcomeOf(disk, kept));
      const { counts, total } = flips;
      console.log(`one bit of stores turned around, ${total} bytes: ${JSON.stringify(counts)}`);
      expect(counts.harmless).toBeGreaterThan(0);
      expect(counts.told + counts.refused).toBeGreaterThan(0);
    });
  },
);

describe('a damaged value', () => {
  it('is an error until a scrub has mended it from the log, and then what it was', async () => {
    const started = new SimFs();
    const first = await open(started, 1 << 20); // the log has all of it yet
    await write(first);
    const kept = await answersOf(first);
    const fs = started.kill();
    await first.close().catch(() => undefined);
    const { disk } = fs;
    const text = large('other').subarray(0, 200);
    const damaged = disk.paths().filter((path) => {
      const at = path.endsWith('.hfx') ? disk.content(path).indexOf(text) : -1;
      if (at >= 0) disk.flipBit(path, at + 100, 3);
      return at >= 0;
    });
    expect(damaged).toHaveLength(1);
    const node = await open(fs, 1 << 20);
    const code = 'CHECKSUM_MISMATCH';
    await expect(node.kv.store('one').get('other')).rejects.toMatchObject({ code });
    await node.scrub();
    expect(await answersOf(node)).toEqual(kept);
    const found = node.damages().map(({ path, state }) => `${path} ${state}`);
    expect(new Set(found)).toEqual(new Set([`${damaged[0]} repaired`]));
    await node.close();
    const again = await open(fs, 1 << 20);
    expect(await answersOf(again)).toEqual(kept);
    expect(await again.verify()).toEqual([]);
    await again.close();
  });
});
