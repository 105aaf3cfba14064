/** What this machine gives at most: bare `node:http`, and a bare batched write and sync. */
import { spawn } from 'node:child_process';
import { closeSync, fdatasync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { requestBytes, LoadConnection } from './load-connection.ts';
import { now, percentile, sleep, type Metrics } from './measure.ts';

const PREALLOCATED_BYTES = 64 * 1024 * 1024;
const BLOCK_BYTES = 4096;

/** Closed loop of `inFlight` appends of `bytes` each that share a write and an fdatasync. */
export async function bareBatchedCommits(
  directory: string,
  inFlight: number,
  bytes: number,
  measureMs: number,
): Promise<Metrics> {
  const folder = mkdtempSync(path.join(directory, 'raw-'));
  const file = openSync(path.join(folder, 'log'), 'w');
  writeSync(file, Buffer.alloc(PREALLOCATED_BYTES), 0, PREALLOCATED_BYTES, 0);
  await sync(file);
  const batch = Buffer.alloc(Math.ceil((inFlight * bytes) / BLOCK_BYTES) * BLOCK_BYTES, 0x61);
  const times: number[] = [];
  let at = 0;
  const begun = now();
  while (now() - begun < measureMs) {
    const started = now();
    writeSync(file, batch, 0, batch.length, at);
    await sync(file);
    times.push(now() - started);
    at = at + batch.length * 2 > PREALLOCATED_BYTES ? 0 : at + batch.length;
  }
  const seconds = (now() - begun) / 1_000;
  closeSync(file);
  rmSync(folder, { recursive: true });
  return {
    perSecond: (times.length * inFlight) / seconds,
    syncsPerSecond: times.length / seconds,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
  };
}

function sync(file: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(file, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** Small POSTs against `node:http` that does nothing. */
export async function bareHttp(
  connections: number,
  bytes: number,
  warmupMs: number,
  measureMs: number,
): Promise<Metrics> {
  const script = fileURLToPath(new URL('bare-http-server.mjs', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const line = await new Promise<string>((resolve) => {
      child.stdout.setEncoding('utf8').once('data', resolve);
    });
    const { port } = JSON.parse(line) as { port: number };
    const open = await LoadConnection.openMany(port, connections);
    const headers = { 'Content-Type': 'application/octet-stream' };
    const request = requestBytes('POST', '/v1/stream/x', headers, Buffer.alloc(bytes, 0x61));
    let [count, stopping] = [0, false];
    for (const connection of open) {
      const send = (): void =>
        connection.sendThen(request, () => {
          count++;
          if (!stopping) send();
        });
      send();
    }
    await sleep(warmupMs);
    const [before, begun] = [count, now()];
    await sleep(measureMs);
    const perSecond = ((count - before) / (now() - begun)) * 1_000;
    stopping = true;
    await sleep(20);
    for (const connection of open) connection.close();
    return { perSecond };
  } finally {
    child.kill('SIGKILL');
  }
}
