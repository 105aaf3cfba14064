/** Tiers on real servers: two processes, of which one takes over; and a server that dies. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import {
  findRealNats,
  findRealPostgres,
  findRealRedis,
  findRealS3Server,
  RealNats,
  RealPostgres,
  RealRedis,
  RealS3Server,
} from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { removeScratch, scratch, serverTests } from '../backends/servers.ts';
import { openRemote, type RemotePlace } from './fixtures/remote-place.ts';
import { gather, memory, openTiers, text, valueOf } from './tiered-stores.ts';
import { keysIn } from './tier-world.ts';

interface Server {
  place(name: string): RemotePlace;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

function byUrl(
  kind: 'Postgres' | 'Redis' | 'NATS',
  server: RealPostgres | RealRedis | RealNats,
): Server {
  return {
    place: (name) => ({ kind, url: server.url, name }),
    kill: () => server.kill(),
    restart: () => server.restart(),
  };
}

const KINDS = [
  {
    kind: 'Postgres',
    program: findRealPostgres(),
    start: async (program: string, directory: string): Promise<Server> =>
      byUrl('Postgres', await RealPostgres.start(program, directory)),
  },
  {
    kind: 'Redis',
    program: findRealRedis(),
    start: async (program: string, directory: string): Promise<Server> =>
      byUrl('Redis', await RealRedis.start({ program, directory })),
  },
  {
    kind: 'NATS',
    program: findRealNats(),
    start: async (program: string, directory: string): Promise<Server> =>
      byUrl('NATS', await RealNats.start(program, directory)),
  },
  {
    kind: 'S3',
    program: findRealS3Server(),
    start: async (program: string, directory: string): Promise<Server> => {
      const server = await RealS3Server.start({ program, directory });
      const { bucket, endpoint, region, credentials } = server;
      return {
        place: (name) => ({ kind: 'S3', bucket, endpoint, region, credentials, name }),
        kill: () => server.kill(),
        restart: () => server.restart(),
      };
    },
  },
] as const;

const OLD_WRITER = fileURLToPath(new URL('./fixtures/old-writer.ts', import.meta.url));

/** A writer in a process of its own. */
class OldWriter {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(part: 'primary' | 'backup', place: RemotePlace) {
    const args = ['--conditions', 'x-source', '--import', 'tsx', OLD_WRITER, part];
    this.#child = spawn(process.execPath, [...args, JSON.stringify(place)], {
      cwd: dirname(OLD_WRITER),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string | undefined> {
    const { value } = await this.#lines.next();
    return value as string | undefined;
  }

  async put(key: string): Promise<string | undefined> {
    this.#child.stdin.write(`${key}\n`);
    return this.line();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

describe.each(KINDS)('tiers on $kind', ({ kind, program, start }) => {
  // Skipped only where the server is not installed, which is said, and is an error in CI.
  describe.skipIf(!serverTests(kind, program))('with the server here', () => {
    const directory = scratch();
    let server: Server;
    beforeAll(async () => {
      server = await start(program as string, directory);
    }, 60_000);
    afterAll(async () => {
      await server.kill();
      removeScratch(directory);
    }, 60_000);

    it.each(['primary', 'backup'] as const)(
      'an old writer in another process is FENCED after its %s was taken over',
      { timeout: 60_000 },
      async (part) => {
        const place = server.place(`taken_${part}`);
        const old = new OldWriter(part, place);
        try {
          expect(await old.line()).toBe('ready');
          expect(await old.put('a')).toBe('a written');
          const remote = await openRemote(place);
          const settings = { takeOver: true, callTimeoutMs: 10_000 };
          const next = await openTiers({ primary: remote, local: memory('local') }, settings);
          expect(await valueOf(next, 'a')).toBe('old a');
          for (const key of ['a', 'b', 'a']) expect(await old.put(key)).toBe(`${key} FENCED`);
          await next.put('a', text('new'));
          expect(await old.put('a')).toBe('a FENCED');
          expect(await valueOf(next, 'a')).toBe('new');
          expect(await keysIn(next)).toEqual(['a']);
          await next.close();
          await remote.close();
        } finally {
          old.kill();
        }
      },
    );

    it(
      'killed in the middle of writes, has what it is owed after its restart',
      { timeout: 120_000 },
      async () => {
        const backup = await openRemote(server.place('killed'));
        const primary = memory('primary');
        const store = await openTiers(
          { primary, backup, local: memory('local') },
          { callTimeoutMs: 500, readFallback: 'if-unavailable' },
        );
        await store.put('deleted', text('1'));
        const results: string[] = [];
        const write = async (): Promise<void> => {
          for (let at = 0; at < 60; at++) {
            const key = `k${at % 20}`;
            const put = store.put(key, text(String(at)));
            results.push(await put.then(() => 'ok').catch((error: { code: string }) => error.code));
            if (at === 20) await server.kill();
            if (at === 30) await store.del('deleted').catch(() => undefined);
            if (at === 40) await server.restart();
          }
        };
        await write();
        expect(new Set(results)).toEqual(new Set(['ok', 'PARTIAL_WRITE']));
        expect(await store.get('deleted')).toBeUndefined();
        await store.drain({ signal: AbortSignal.timeout(60_000) });
        expect(await gather(store.verify())).toEqual([]);
        expect(await keysIn(backup)).toEqual(await keysIn(primary));
        await store.close();
        await backup.close();
      },
    );
  });
});
