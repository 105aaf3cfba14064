/** Clients that leave, and how many values are read for requests at a time. */
import { createServer, get, request as send, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LIMITS, NodeClock, SILENT } from '@holdfast/core';
import type { KvEntry, KvPage, KvPageOptions, KvStore } from '@holdfast/kv';
import { createHttpBounds, CrossOriginPolicy, DEFAULT_PROTOCOL_SETTINGS } from '@holdfast/streams';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KvProtocol } from '../../src/kv/http/kv-protocol.ts';
import { request } from '../http-request.ts';

let store: Partial<KvStore> = {};
let server: Server;
let url: string;
/** Ends of requests, as the server sees them. */
let ended: number;

beforeEach(async () => {
  const clock = new NodeClock();
  const settings = DEFAULT_PROTOCOL_SETTINGS;
  const protocol = new KvProtocol({
    ...createHttpBounds({ clock }, settings),
    ...{ clock, settings, logger: SILENT, crossOrigin: new CrossOriginPolicy({ allowOrigin: [] }) },
    stores: {
      store: () => store as KvStore,
      async *stores() {},
    },
  });
  ended = 0;
  server = createServer((asked, response) => {
    response.once('close', () => ended++);
    protocol.handle(asked, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const ENTRY: KvEntry = {
  ...{ key: 'k', value: Buffer.from('v'), version: 7, seq: 1, epoch: 0 },
  expiresAtMs: undefined,
};

it('a list for a client that left ends, and makes room for who is there', async () => {
  let lists = 0;
  store = {
    page: ({ signal }: KvPageOptions) =>
      new Promise<KvPage>((_, reject) => {
        lists++;
        signal?.addEventListener('abort', () => reject(new Error('ended')));
      }),
    getEntry: async () => ENTRY,
  };
  const asked = Array.from({ length: LIMITS.storeReads }, () => {
    return get(`${url}/v1/kv/s?order=created&prefix=nobody`, { agent: false }).on(
      'error',
      () => {},
    );
  });
  await until(() => lists === LIMITS.storeReads);
  const waiting = request('GET', `${url}/v1/kv/s/k`);
  for (const one of asked) one.destroy();
  expect((await waiting).status).toBe(200);
}, 60_000);

it('a client that left while it waited for its turn costs no read', async () => {
  let reads = 0;
  const ends: (() => void)[] = [];
  store = {
    getEntry: () => {
      reads++;
      return new Promise((resolve) => ends.push(() => resolve(ENTRY)));
    },
  };
  const first = Array.from({ length: LIMITS.storeReads }, () => request('GET', `${url}/v1/kv/s/k`));
  await until(() => reads === LIMITS.storeReads);
  let seen = 0;
  server.on('request', () => seen++);
  const left = get(`${url}/v1/kv/s/k`, { agent: false }).on('error', () => {});
  await until(() => seen === 1);
  left.destroy();
  await until(() => ended === 1);
  for (const end of ends) end();
  for (const one of await Promise.all(first)) expect(one.status).toBe(200);
  expect(reads).toBe(LIMITS.storeReads);
}, 60_000);

it('conditions that look for the entry first read no more values at a time than reads do', async () => {
  let under = 0;
  let most = 0;
  let seen = 0;
  server.on('request', () => seen++);
  store = {
    getEntry: async () => {
      most = Math.max(most, ++under);
      await until(() => seen === 3 * LIMITS.storeReads);
      under--;
      return ENTRY;
    },
    del: async () => ({ changed: true, version: 8 }),
  };
  const answers = Array.from({ length: 3 * LIMITS.storeReads }, () => {
    return new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'if-match': '*' };
      const asked = send(`${url}/v1/kv/s/k`, { method: 'DELETE', headers, agent: false });
      asked.on('response', (response) => resolve(response.resume().statusCode));
      asked.on('error', reject).end();
    });
  });
  for (const status of await Promise.all(answers)) expect(status).toBe(204);
  expect(most).toBe(LIMITS.storeReads);
}, 60_000);

it('many who take large values at once all get them', async () => {
  const value = Buffer.alloc(8_000_000, 1);
  store = {
    getEntry: async () => ({ ...ENTRY, value: Buffer.from(value) }),
    page: async () => ({ entries: [{ ...ENTRY, value }], next: undefined }),
  };
  const targets = Array.from({ length: 40 }, (_, at) => {
    return at % 4 === 0 ? '/v1/kv/s?values=base64' : '/v1/kv/s/k';
  });
  const sizes = targets.map(
    (target) =>
      new Promise<number>((resolve, reject) => {
        get(`${url}${target}`, { agent: false }, (response) => {
          let bytes = 0;
          response.on('data', (chunk: Buffer) => (bytes += chunk.length));
          response.on('end', () => resolve(bytes)).on('error', reject);
        }).on('error', reject);
      }),
  );
  for (const size of await Promise.all(sizes)) expect(size).toBeGreaterThanOrEqual(value.length);
}, 60_000);
