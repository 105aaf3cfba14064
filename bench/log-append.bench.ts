/**
 * How fast the log is beside the raw disk, in one run, as ratios.
 *
 *   npx tsx --conditions=x-source bench/log-append.bench.ts [directory]
 *
 * Raw: one buffer of the same bytes, `writeSync` at a 4 KiB boundary of a zero-filled file
 * and `fdatasync`, batch after batch. They take turns, so that a noisy disk hits all of them. The
 * encrypted log is put beside the plain one.
 */
import { createSecretKey, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyRing, type Lsn, NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { type CommitSink, type Log, openLog } from '@holdfast/log';

const RECORD_BYTES = 100;
const FRAME_OVERHEAD = 128;
const RECORD_OVERHEAD = 12;
const ROUNDS = 9;
const ROUND_MS = 400;
const RAW_FILE_BYTES = 64 * 1024 * 1024;

const payload = Buffer.alloc(RECORD_BYTES, 0x61);
const records = [{ type: 0x10, shard: 0, tenant: 0, parts: [payload] }];

/** Clients that submit again as soon as they hear; resolves with records per second. */
function appendLoop(log: Log, clients: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    let done = 0;
    let active = clients;
    const sink: CommitSink = {
      durable: () => {
        done++;
        if (performance.now() - start < ROUND_MS) log.submit(records, sink);
        else if (--active === 0) resolve((done * 1000) / (performance.now() - start));
      },
      failed: reject,
    };
    for (let i = 0; i < clients; i++) log.submit(records, sink);
  });
}

/** The same with promises: what a caller of `append` sees. */
async function promiseLoop(log: Log, clients: number): Promise<number> {
  const start = performance.now();
  let done = 0;
  const client = async (): Promise<void> => {
    while (performance.now() - start < ROUND_MS) {
      await log.append(records);
      done++;
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return (done * 1000) / (performance.now() - start);
}

class RawFile {
  readonly #descriptor: number;
  #at = 0;

  constructor(path: string) {
    this.#descriptor = fs.openSync(path, 'wx+');
    const zeros = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < RAW_FILE_BYTES; at += zeros.length) {
      fs.writeSync(this.#descriptor, zeros, 0, zeros.length, at);
    }
    fs.fsyncSync(this.#descriptor);
  }

  loop(batchRecords: number): Promise<number> {
    const bytes = FRAME_OVERHEAD + batchRecords * (RECORD_BYTES + RECORD_OVERHEAD);
    const frame = Buffer.alloc(Math.ceil(bytes / 4096) * 4096, 0x61);
    return new Promise((resolve, reject) => {
      const start = performance.now();
      let done = 0;
      const step = (): void => {
        if (this.#at + frame.length > RAW_FILE_BYTES) this.#at = 0;
        fs.writeSync(this.#descriptor, frame, 0, frame.length, this.#at);
        this.#at += frame.length;
        fs.fdatasync(this.#descriptor, (error) => {
          if (error) return reject(error);
          done += batchRecords;
          const elapsed = performance.now() - start;
          if (elapsed < ROUND_MS) step();
          else resolve((done * 1000) / elapsed);
        });
      };
      step();
    });
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

async function measureReplay(log: Log): Promise<void> {
  const start = performance.now();
  let count = 0;
  for await (const record of log.replay()) count += record.payload.length === 0 ? 0 : 1;
  const seconds = (performance.now() - start) / 1000;
  const rate = Math.round(count / seconds).toLocaleString('en');
  console.log(`replay: ${count.toLocaleString('en')} records, ${rate} records/s`);
}

async function main(): Promise<void> {
  const root = fs.mkdtempSync(join(process.argv[2] ?? tmpdir(), 'holdfast-log-bench-'));
  const raw = new RawFile(join(root, 'raw'));
  const random = new NodeRandom();
  const components = { fileSystem: new NodeFileSystem(), clock: new NodeClock(), random };
  const databaseId = Buffer.alloc(16, 1);
  const log = await openLog(components, { dir: join(root, 'log'), databaseId });
  const keys = new KeyRing([createSecretKey(randomBytes(32))], random);
  const encrypted = await openLog({ ...components, keys }, { dir: join(root, 'enc'), databaseId });
  try {
    for (const clients of [1, 64, 512]) {
      const rates = {
        sink: [] as number[],
        promise: [] as number[],
        raw: [] as number[],
        encrypted: [] as number[],
      };
      for (let round = 0; round < ROUNDS; round++) {
        rates.raw.push(await raw.loop(clients));
        rates.sink.push(await appendLoop(log, clients));
        rates.promise.push(await promiseLoop(log, clients));
        rates.encrypted.push(await promiseLoop(encrypted, clients));
        for (const each of [log, encrypted]) {
          each.floor('bench').release();
          await each.truncateBefore((each.durableLsn - 1_000_000) as Lsn);
        }
      }
      const base = median(rates.raw);
      const row = (name: string, rate: number): string =>
        `${name} ${Math.round(rate).toLocaleString('en')}/s (${(rate / base).toFixed(2)})`;
      console.log(
        `${clients} in flight: ${row('raw', base)}, ${row('submit', median(rates.sink))}, ${row('append', median(rates.promise))}, ${row('encrypted append', median(rates.encrypted))}, ` +
          `encrypted beside plain ${(median(rates.encrypted) / median(rates.promise)).toFixed(2)}`,
      );
    }
    await measureReplay(log);
    await measureReplay(encrypted);
  } finally {
    await log.close();
    await encrypted.close();
    raw.close();
    fs.rmSync(root, { recursive: true });
  }
}

await main();
