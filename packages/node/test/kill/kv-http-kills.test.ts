/**
 * The same over HTTP: writers of key-value stores at a server that is killed again and again, in
 * checkpoints too. Writers wait for each answer; what got none is looked at after the next start.
 */
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '@holdfast/testkit';
import { expect, it } from 'vitest';
import { type HttpResponse, request } from '../http-request.ts';
import { ServerProcess } from '../server-process.ts';
import { KvLives } from './kv-lives.ts';
import {
  COUNTER,
  KV_KEYS,
  type KvOp,
  operationOf,
  parseValue,
  SHARED,
  storeOf,
} from './kv-operations.ts';
import { expectWhole } from './sequence.ts';

const CYCLES = Number(process.env['HOLDFAST_KILL_KV'] ?? 8);
const SEED = Number(process.env['HOLDFAST_KILL_SEED'] ?? 1);
const WRITERS = 8;
/** Acknowledgements before a kill. */
const MOST_OPERATIONS = 400;
const MOST_DELAY_MS = 12;
const SERVER = fileURLToPath(new URL('../checkpointing-server.ts', import.meta.url));
const REPLAY = `HOLDFAST_KILL_SEED=${SEED} HOLDFAST_KILL_KV=${CYCLES} npx vitest run packages/node/test/kill/kv-http-kills`;

/** An answer that says what was not done, or of which nobody knows. */
class NoAnswer extends Error {}

class Clients {
  readonly lives = new KvLives(WRITERS);
  readonly #server: ServerProcess;
  #left = 0;
  #enough: () => void = () => undefined;
  #over = false;

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  /** Writes until so many are acknowledged and some time has passed; then the server is killed. */
  async live(operations: number, delayMs: number): Promise<void> {
    await this.check();
    this.#left = operations;
    this.#over = false;
    const enough = new Promise<void>((resolve) => (this.#enough = resolve));
    const versions = this.lives.highest;
    const writing = Promise.all(this.lives.writers.map((_, at) => this.#write(at, versions)));
    await Promise.race([enough, writing]);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await this.#server.kill();
    this.#over = true;
    await writing;
  }

  async check(): Promise<void> {
    const entries: [number, string, number, number][] = [];
    for (const writer of this.lives.writers.keys()) {
      const path = `${storeOf(writer)}?values=base64&limit=100`;
      const { text } = await this.#done('GET', path);
      const page = JSON.parse(text) as {
        entries: { key: string; value: string; version: number }[];
      };
      for (const { key, value, version } of page.entries) {
        entries.push([writer, key, parseValue(Buffer.from(value, 'base64')), version]);
      }
    }
    const counter = await this.#ask('GET', `${SHARED}/${COUNTER}`);
    const versions = entries.map(([, , , version]) => version);
    this.lives.found({
      entries,
      counter: counter.status === 404 ? 0 : Number(counter.text),
      lastChange: Math.max(this.lives.highest, ...versions),
    });
  }

  async #write(writer: number, versions: number): Promise<void> {
    while (!this.#over) {
      const n = this.lives.writers[writer]?.done as number;
      let version: number;
      try {
        version = await this.#perform(storeOf(writer), operationOf(writer, n));
      } catch (error) {
        if (error instanceof NoAnswer) return; // it was killed
        throw error;
      }
      this.lives.acknowledged({ writer, n, version }, versions);
      if (--this.#left === 0) this.#enough();
    }
  }

  async #perform(store: string, op: KvOp): Promise<number> {
    switch (op.kind) {
      case 'put': {
        const headers: Record<string, string> =
          op.ttlMs === undefined ? {} : { 'holdfast-kv-ttl-ms': String(op.ttlMs) };
        return versionOf(await this.#done('PUT', target(store, op.key), headers, op.value));
      }
      case 'replace': {
        const found = await this.#ask('GET', target(store, op.key));
        const headers = conditionOn(found);
        return versionOf(await this.#done('PUT', target(store, op.key), headers, op.value));
      }
      case 'delete':
        await this.#done('DELETE', target(store, op.key));
        return 0;
      case 'batch': {
        const value = op.value.toString('base64');
        const operations = KV_KEYS.map((key, at) =>
          at === op.deleted ? { type: 'del', key } : { type: 'put', key, value },
        );
        const headers = { 'content-type': 'application/json' };
        const body = Buffer.from(JSON.stringify({ operations }));
        const { acks } = JSON.parse((await this.#done('POST', store, headers, body)).text) as {
          acks: { version: number }[];
        };
        return Math.max(...acks.map(({ version }) => version));
      }
      case 'count':
        return this.#increment();
    }
  }

  /** All writers at one entry: a lost update would show. */
  async #increment(): Promise<number> {
    for (;;) {
      const found = await this.#ask('GET', target(SHARED, COUNTER));
      const next = Buffer.from(String((found.status === 404 ? 0 : Number(found.text)) + 1));
      const headers = conditionOn(found);
      const answer = await this.#ask('PUT', target(SHARED, COUNTER), headers, next);
      if (answer.status !== 412) return versionOf(answer);
    }
  }

  async #done(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Buffer,
  ): Promise<HttpResponse> {
    const answer = await this.#ask(method, path, headers, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
    return answer;
  }

  async #ask(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Buffer,
  ): Promise<HttpResponse> {
    let answer: HttpResponse;
    try {
      const url = `${this.#server.url}/v1/kv/${path}`;
      answer = await request(method, url, { headers, ...(body === undefined ? {} : { body }) });
    } catch (cause) {
      throw new NoAnswer(path, { cause });
    }
    if (answer.status >= 500) throw new Error(`${method} ${path}: ${answer.text}`);
    return answer;
  }
}

function target(store: string, key: string): string {
  return `${store}/${encodeURIComponent(key)}`;
}

function conditionOn({ status, headers }: HttpResponse): Record<string, string> {
  return status === 404 ? { 'if-none-match': '*' } : { 'if-match': headers.etag as string };
}

function versionOf({ headers }: HttpResponse): number {
  return Number(headers['holdfast-kv-version']);
}

it(`${CYCLES} kills of a server under writers of stores: what is there is what was acknowledged (${REPLAY})`, async () => {
  await using server = await ServerProcess.start({
    command: [process.execPath, '--conditions', 'x-source', '--import', 'tsx', SERVER],
  });
  const random = new SeededRandom(SEED);
  const clients = new Clients(server);
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await clients.live(1 + random.integer(MOST_OPERATIONS), random.integer(MOST_DELAY_MS));
    await server.restart();
  }
  await clients.check();
  await server.kill();
  await expectWhole(server.dataDir);
  const { operations, unheard, counted } = clients.lives;
  console.log(
    `kill over HTTP: ${JSON.stringify({ cycles: CYCLES, operations, unheard, counted })}`,
  );
  expect(counted).toBeGreaterThan(CYCLES);
}, 300_000);
