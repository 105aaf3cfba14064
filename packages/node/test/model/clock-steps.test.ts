/**
 * The wall clock is set while a node runs: back by a minute, ahead by ten years, and back again.
 * Order, offsets and data never depend on it; what may end early is only what ends by the clock.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ModelRequest } from './protocol-model.ts';
import { ProtocolRun } from './protocol-run.ts';

const TEN_YEARS_MS = 10 * 365 * 86_400_000;
const JSON_TYPE = { 'content-type': 'application/json' };

let run: ProtocolRun;

beforeEach(async () => {
  run = await ProtocolRun.open({ chunkBytes: 1024, loopback: false });
});

// Whatever the clock does, everything there is must still be what the model says.
afterEach(async () => {
  await run.check();
  await run.end();
});

/** Asks and expects what the model expects, and this status. */
async function expectStatus(status: number, request: ModelRequest): Promise<void> {
  const seen = await run.send(request);
  run.expectSame(request, run.model.ask(request), seen);
  expect(seen.status).toBe(status);
}

function put(path: string, headers: Record<string, string> = {}): ModelRequest {
  return { method: 'PUT', path, headers: { ...JSON_TYPE, ...headers } };
}

function append(path: string, n: number): ModelRequest {
  const headers = {
    ...JSON_TYPE,
    'producer-id': 'p',
    'producer-epoch': '0',
    'producer-seq': String(n),
  };
  const body = { raw: Buffer.from(String(n)), elements: [String(n)] };
  return { method: 'POST', path, headers, body };
}

function head(path: string): ModelRequest {
  return { method: 'HEAD', path, headers: {} };
}

test('back by a minute: order and producers go on, windows last up to a minute longer, none ends early', async () => {
  await expectStatus(201, put('c/d', { 'stream-ttl': '5' }));
  await expectStatus(200, append('a', 0));
  run.jump(-60_000);
  await expectStatus(200, append('a', 1));
  await expectStatus(204, append('a', 0));
  await expectStatus(200, append('c/d', 0));
  await run.seconds(12);
  await expectStatus(200, head('c/d'));
  await run.seconds(60);
  await expectStatus(404, head('c/d'));
  run.jump(-60_000);
  await run.restart();
  await expectStatus(200, append('a', 2));
  await expectStatus(404, head('c/d'));
});

test('ahead by ten years and back before the second round of the reaper: nothing was deleted', async () => {
  await expectStatus(201, put('c/d', { 'stream-ttl': '3600' }));
  await expectStatus(201, put('constructor', { 'stream-expires-at': '2030-01-01T00:00:00Z' }));
  await expectStatus(200, append('c/d', 0));
  await run.seconds(12); // the reaper is at work
  run.jump(TEN_YEARS_MS);
  await expectStatus(404, head('c/d'));
  await expectStatus(404, head('constructor'));
  await expectStatus(200, append('a', 0));
  await run.seconds(1); // the round that notices the jump
  run.jump(-TEN_YEARS_MS);
  await expectStatus(200, head('c/d'));
  await expectStatus(200, head('constructor'));
  await expectStatus(200, append('c/d', 1));
  await expectStatus(200, append('a', 1));
});

test('ahead by ten years for good: what ends by the clock ends, the rest stays, also after a crash', async () => {
  await expectStatus(201, put('c/d', { 'stream-ttl': '3600' }));
  await expectStatus(201, put('constructor', { 'stream-expires-at': '2030-01-01T00:00:00Z' }));
  await expectStatus(200, append('a', 0));
  await run.seconds(12);
  run.jump(TEN_YEARS_MS);
  await run.seconds(3);
  await expectStatus(404, head('c/d'));
  await expectStatus(404, head('constructor'));
  await expectStatus(200, append('a', 1));
  await run.crash({ power: true, seed: 1, turns: 0 }, undefined, () => undefined);
  await expectStatus(404, head('c/d'));
  await expectStatus(404, head('constructor'));
  await expectStatus(200, append('a', 2));
});
