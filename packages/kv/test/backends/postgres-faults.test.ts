import { NodeClock } from '@holdfast/core';
import { openPostgresKvStore } from '@holdfast/kv/backends/postgres';
import { findRealPostgres, RealPostgres } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PgClient, createPgPool } from '../../src/backends/postgres/postgres-driver.ts';
import { type FaultyPlace, faultTests, keysOf, rejects, rotten } from './faults.ts';
import { removeScratch, scratch, serverTests } from './servers.ts';

const clock = new NodeClock();
const program = findRealPostgres();
const TIMEOUT_MS = 2_000;

// Skipped only where the server is not installed, which is said, and is an error in CI.
describe.skipIf(!serverTests('Postgres', program))('a store in a Postgres with faults', () => {
  const directory = scratch();
  let server: RealPostgres;
  let places = 0;
  beforeAll(async () => {
    server = await RealPostgres.start(program as string, directory);
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    removeScratch(directory);
  });

  const newPlace = async (): Promise<FaultyPlace> => {
    const table = `faulty_${++places}`;
    const settings = { id: 'pg', url: server.url, table, timeoutMs: TIMEOUT_MS };
    return {
      open: (epoch = 0) => openPostgresKvStore({ clock }, { ...settings, epoch }),
      kill: () => server.kill(),
      restart: () => server.restart(),
      rot: async (key, at) => {
        await withClient(server.url, async (client) => {
          const where = { values: [Buffer.from(key)] };
          const text = `SELECT bytes FROM ${table} WHERE key = $1`;
          const { rows } = await client.query<{ bytes: Buffer }>({ text, ...where });
          await client.query({
            text: `UPDATE ${table} SET bytes = $2 WHERE key = $1`,
            values: [Buffer.from(key), rotten(rows[0]?.bytes as Buffer, at)],
          });
        });
      },
    };
  };

  faultTests(newPlace);

  it('a table that somebody else has locked ends every call in time', async () => {
    const { open } = await newPlace();
    const store = await open();
    await store.put('key', Buffer.from('1'));
    await withClient(server.url, async (client) => {
      await client.query({ text: 'BEGIN' });
      await client.query({ text: `LOCK TABLE faulty_${places}, faulty_${places}_head` });
      const unavailable = { code: 'STORAGE_UNAVAILABLE', effect: 'none' };
      const calls = [store.get('key'), store.put('key', Buffer.from('2')), keysOf(store)];
      const settled = await Promise.allSettled(calls);
      for (const each of settled) expect(each).toMatchObject({ reason: unavailable });
    });
    await store.put('key', Buffer.from('3'));
    expect(String(await store.get('key'))).toBe('3');
    await store.close();
  });

  it('tells what kind of trouble it is when it is opened', async () => {
    const settings = { id: 'pg', timeoutMs: TIMEOUT_MS };
    const open = (url: string, table = 'kv'): Promise<unknown> =>
      openPostgresKvStore({ clock }, { ...settings, url, table });
    await rejects(open('postgresql://postgres@127.0.0.1:1/postgres'), 'STORAGE_UNAVAILABLE');
    await rejects(open(server.url.replace('postgres@', 'nobody@')), 'ACCESS_DENIED');
    await rejects(open(server.url, 'no; such table'), 'INVALID_SETTINGS');
  });
});

async function withClient(url: string, act: (client: PgClient) => Promise<void>): Promise<void> {
  const pool = await createPgPool({ connectionString: url });
  const client = await pool.connect();
  try {
    await act(client);
  } finally {
    client.release(true);
    await pool.end();
  }
}
