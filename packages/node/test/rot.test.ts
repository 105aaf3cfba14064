/**
 * One bit of a small data directory turned around, and then everything asked over the routes: each
 * answer is what was kept, or an error that says so. Never a 200 with less, never a 404 for what is
 * there. The same in `database/test/rot.test.ts` for the bits of every kind of file.
 */
import { isHoldfastError } from '@holdfast/core';
import { SeededRandom, SimFs, type SimDisk } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { type HoldfastNode, openNode } from '../src/index.ts';
import { flipThrough, type Outcome } from './flip-through.ts';

/** `all`: a bit of every byte of every file. */
const WANTED = process.env['HOLDFAST_ROT'] === 'all' ? Infinity : 800;
const BASE = 'http://localhost/v1/stream/';
const JSON_TYPE = { 'content-type': 'application/json' };

interface Kept {
  readonly body: string;
  readonly nextOffset: string | null;
  readonly closed: string | null;
}

function open(fileSystem: SimFs): Promise<HoldfastNode> {
  return openNode(
    { dir: '/data', shardCount: 2 },
    { fileSystem, random: new SeededRandom(5) },
    { database: { segmentTargetBytes: 16_384, preallocateBytes: 8_192, diskReserveBytes: 0 } },
  );
}

async function send(node: HoldfastNode, method: string, path: string, init: RequestInit = {}) {
  const response = await node.fetch(new Request(BASE + path, { method, ...init }));
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** Extents and rows of two checkpoints, and behind them what only the log has. */
async function write(node: HoldfastNode): Promise<void> {
  const put = (path: string, headers: Record<string, string>, body = ''): Promise<unknown> =>
    send(node, 'PUT', path, { headers, body });
  const post = (path: string, headers: Record<string, string>, body: string): Promise<unknown> =>
    send(node, 'POST', path, { headers, body });
  await put('json', JSON_TYPE, '[{"n":1},{"n":2}]');
  await put('text', { 'content-type': 'text/plain' }, 'some text '.repeat(60));
  await node.checkpoint();
  await post('json', JSON_TYPE, '[{"n":3},12345678901234567890]');
  await put('fork', { ...JSON_TYPE, 'stream-forked-from': '/v1/stream/json' });
  await node.checkpoint();
  await post('fork', JSON_TYPE, '{"n":4}');
  await post('text', { 'content-type': 'text/plain', 'stream-closed': 'true' }, 'the end');
}

const PATHS = ['json', 'text', 'fork'];

async function keptBy(node: HoldfastNode): Promise<Map<string, Kept>> {
  const kept = new Map<string, Kept>();
  for (const path of PATHS) {
    const { status, headers, body } = await send(node, 'GET', path);
    expect(status, path).toBe(200);
    kept.set(path, {
      body,
      nextOffset: headers.get('stream-next-offset'),
      closed: headers.get('stream-closed'),
    });
  }
  return kept;
}

async function outcomeOf(disk: SimDisk, kept: ReadonlyMap<string, Kept>): Promise<Outcome> {
  let node: HoldfastNode;
  try {
    node = await open(new SimFs({ disk }));
  } catch (error) {
    if (isHoldfastError(error) && error.kind === 'corrupt') return 'refused';
    throw error;
  }
  let outcome: Outcome = 'harmless';
  for (const [path, expected] of kept) {
    const { status, headers, body } = await send(node, 'GET', path).catch(cutOff);
    if (status === 200) {
      expect(body).toBe(expected.body);
      expect(headers.get('stream-next-offset')).toBe(expected.nextOffset);
      expect(headers.get('stream-closed')).toBe(expected.closed);
    } else {
      expect(status).toBe(500);
      outcome = 'told';
    }
  }
  await node.close();
  return outcome;
}

/** A body that breaks off behind its head is an error to whoever reads it. */
function cutOff(error: unknown): { status: number; headers: Headers; body: string } {
  expect(error).toBeInstanceOf(Error);
  return { status: 500, headers: new Headers(), body: '' };
}

describe.each([
  ['stopped', true],
  ['killed', false],
])('the directory of a node that was %s, with any one bit turned around', (_, stops) => {
  it('answers with what was kept, or with an error', { timeout: 3_600_000 }, async () => {
    const fs = new SimFs();
    const node = await open(fs);
    await write(node);
    const kept = await keptBy(node);
    if (stops) await node.close();
    const disk = fs.disk.clone();
    if (!stops) await node.close();

    const { counts, total } = await flipThrough(disk, WANTED, (disk) => outcomeOf(disk, kept));
    console.log(`one bit turned around, ${total} bytes: ${JSON.stringify(counts)}`);
    expect(counts.harmless).toBeGreaterThan(0);
    expect(counts.refused).toBeGreaterThan(0); // the log is read at a start
    expect(counts.told + counts.refused + counts.harmless).toBeGreaterThanOrEqual(
      Math.min(WANTED, total),
    );
  });
});
