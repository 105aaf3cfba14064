/**
 * Tiered stores as an operator has them: the real command in processes of its own, killed without
 * warning, over real servers.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  findRealNats,
  findRealPostgres,
  findRealS3Server,
  RealNats,
  RealPostgres,
  RealS3Server,
} from '@holdfast/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../src/command-line.ts';
import { CommandProcess } from './command-process.ts';
import { FakeConsole } from './fake-console.ts';

const TIMEOUT_MS = 120_000;
const root = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-tier-'));
const servers: string[] = [];
afterAll(() => {
  for (const folder of [root, ...servers]) rmSync(folder, { recursive: true, force: true });
});
const started: CommandProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop();
});

let names = 0;
function newPath(name = 'n'): string {
  return path.join(root, `${name}${names++}`);
}

/** Servers may run as another user, who gets through no folder of ours. */
function serverFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-server-'));
  servers.push(folder);
  return folder;
}

type Env = Readonly<Record<string, string>>;

interface Running {
  readonly server: CommandProcess;
  readonly url: string;
}

async function serve(dir: string, tiers: object, env: Env = {}): Promise<Running> {
  const file = newPath('tiers');
  writeFileSync(file, JSON.stringify(tiers));
  const args = ['serve', dir, '--json', '--port', '0', '--tiers', file, '--log-level', 'warn'];
  const server = new CommandProcess(args, env);
  started.push(server);
  return { server, url: (JSON.parse(await server.firstLine()) as { url: string }).url };
}

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A command on a node, in this process. */
async function tier(url: string, args: readonly string[], input = ''): Promise<Told> {
  const io = new FakeConsole();
  io.input = [Buffer.from(input)];
  const code = await runCommandLine(['tier', ...args, '--url', url], io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

async function answerOf<Answer>(url: string, args: readonly string[]): Promise<Answer> {
  const { code, out, err } = await tier(url, [...args, '--json']);
  if (code !== 0) throw new Error(`tier ${args.join(' ')} ended with ${code}: ${err}`);
  return JSON.parse(out) as Answer;
}

interface Status {
  readonly state: string;
  readonly fenced: boolean;
  readonly problem?: { readonly code: string; readonly message: string; readonly advice: string };
  readonly tiers: Readonly<Record<string, { readonly state: string }>>;
}

async function status(
  url: string,
  is = ({ state }: Status): boolean => state !== 'opening',
  store = 'orders',
): Promise<Status> {
  for (;;) {
    const found = await answerOf<Status>(url, ['status', store]);
    if (is(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function put(url: string, key: string, value: string): Promise<Response> {
  return fetch(`${url}/v1/kv/orders/${key}`, { method: 'PUT', body: value });
}

async function codeOf(response: Response): Promise<string> {
  return response.ok ? 'ok' : ((await response.json()) as { code: string }).code;
}

interface Page {
  readonly entries: readonly { readonly key: string; readonly seq: number }[];
  readonly next?: string;
}

async function page(url: string, token?: string): Promise<Page> {
  const query = new URLSearchParams({ order: 'created', limit: '6', values: 'base64' });
  if (token !== undefined) query.set('token', token);
  const response = await fetch(`${url}/v1/kv/orders?${query.toString()}`);
  expect(await response.clone().text()).toContain('entries');
  return (await response.json()) as Page;
}

async function allPages(url: string): Promise<readonly Page[]> {
  const pages: Page[] = [];
  let token: string | undefined;
  do {
    const next = await page(url, token);
    pages.push(next);
    token = next.next;
  } while (token !== undefined);
  return pages;
}

const POSTGRES = findRealPostgres();

// Without a server there is nothing to ask: CI installs it.
describe.skipIf(POSTGRES === undefined)('with tiers in Postgres', { timeout: TIMEOUT_MS }, () => {
  let postgres: RealPostgres;
  beforeAll(async () => {
    postgres = await RealPostgres.start(POSTGRES ?? '', serverFolder());
  }, TIMEOUT_MS);
  afterAll(async () => {
    await postgres.stop();
  }, TIMEOUT_MS);

  it('a node that was killed and lost its data directory has everything again', async () => {
    const dir = newPath('data');
    const tiers = { orders: { backup: '${ORDERS_BACKUP}' } };
    const env = { ORDERS_BACKUP: `${postgres.url}?table=lost_directory` };
    let { server, url } = await serve(dir, tiers, env);
    await status(url);
    for (let at = 0; at < 30; at++) {
      expect((await put(url, `key-${(at * 17) % 30}`, `value ${at}`)).ok).toBe(true);
    }
    expect((await fetch(`${url}/v1/kv/orders/key-4`, { method: 'DELETE' })).status).toBe(204);
    await put(url, 'key-9', 'newer');
    const before = await allPages(url);
    server.signal('SIGKILL');
    await server.ended;
    rmSync(dir, { recursive: true });

    ({ server, url } = await serve(dir, tiers, env));
    const refused = await status(url);
    expect(refused.problem).toMatchObject({ code: 'TIER_MISMATCH' });
    expect(refused.problem?.advice).toContain('"holdfast tier restore orders"');
    expect(await codeOf(await put(url, 'x', 'y'))).toBe('TIER_MISMATCH');
    const ready = (await (await fetch(`${url}/readyz?verbose`)).json()) as { tiers: object };
    expect(ready.tiers).toEqual({ stores: 1, open: 0, refused: 1, degraded: 0, fenced: 0 });

    expect(await tier(url, ['restore', 'orders'])).toMatchObject({ code: 0 });
    expect(await allPages(url)).toEqual(before);
    expect(await page(url, before[1]?.next)).toEqual(before[2]);
    expect((await put(url, 'key-100', 'after')).ok).toBe(true);
    await status(url, ({ tiers: parts }) => parts['backup']?.state === 'ok');
    expect(await tier(url, ['verify', 'orders'])).toMatchObject({ code: 0, out: '' });
  });

  it('opens with a primary that comes later, and says meanwhile that it is away', async () => {
    const tiers = {
      orders: { primary: `${postgres.url}?table=late`, backup: `lmdb:${newPath()}` },
    };
    const dir = newPath('data');
    await postgres.stop();
    const { url } = await serve(dir, tiers);
    const waiting = await status(url, ({ problem }) => problem !== undefined);
    expect(waiting).toMatchObject({ state: 'opening', problem: { code: 'STORAGE_UNAVAILABLE' } });
    const answer = await put(url, 'x', 'y');
    expect([answer.status, await codeOf(answer)]).toEqual([503, 'STORAGE_UNAVAILABLE']);
    await postgres.restart();
    await status(url, ({ state }) => state === 'open');
    expect((await put(url, 'x', 'y')).ok).toBe(true);
  });

  it('promotes when the primary is gone for good, also with a node that was started since', async () => {
    const primary = `${postgres.url}?table=gone`;
    const backup = `lmdb:${newPath()}`;
    const dir = newPath('data');
    let { server, url } = await serve(dir, { orders: { primary, backup } });
    await status(url);
    for (let at = 0; at < 12; at++) await put(url, `key-${at}`, `value ${at}`);
    const before = await allPages(url);
    server.signal('SIGKILL');
    await server.ended;
    await postgres.stop();

    ({ server, url } = await serve(dir, { orders: { primary, backup } }));
    await status(url, ({ state }) => state === 'open');
    const told = await tier(url, ['promote', 'orders']);
    expect(told.code).toBe(0);
    expect(told.err).toContain(`set tiers.orders.primary to "${backup}"`);
    expect(told.err).toContain('remove tiers.orders.backup');
    expect(await allPages(url)).toEqual(before);
    expect((await put(url, 'after', 'it')).ok).toBe(true);
    server.signal('SIGKILL');
    await server.ended;

    // The old settings, while the old primary is there again.
    await postgres.restart();
    ({ server, url } = await serve(dir, { orders: { primary, backup } }));
    const refused = await status(url);
    expect(refused).toMatchObject({ state: 'refused', problem: { code: 'TIER_MISMATCH' } });
    expect(refused.problem?.message).toContain(`set tiers.orders.primary to ${backup}`);
    expect(await codeOf(await fetch(`${url}/v1/kv/orders/key-1`))).toBe('TIER_MISMATCH');
    server.signal('SIGKILL');
    await server.ended;

    // The same on a new machine, which knows nothing: what the places say of themselves counts.
    ({ server, url } = await serve(newPath('data'), {
      orders: { primary, backup, takeOver: true },
    }));
    const other = await status(url);
    expect(other).toMatchObject({ state: 'refused', problem: { code: 'TIER_MISMATCH' } });
    expect(other.problem?.message).toContain('the backup was made the primary');
    server.signal('SIGKILL');
    await server.ended;

    ({ server, url } = await serve(dir, { orders: { primary: backup } }));
    await status(url);
    expect((await allPages(url)).flatMap(({ entries }) => entries)).toHaveLength(13);
  });

  it('a database that is emptied under a running node is filled again from the backup', async () => {
    const primary = `${postgres.url}?table=wiped`;
    const { url } = await serve(newPath('data'), {
      orders: { primary, backup: `lmdb:${newPath()}` },
    });
    await status(url);
    for (let at = 0; at < 10; at++) await put(url, `key-${at}`, `value ${at}`);
    const before = await allPages(url);
    const psql = path.join(path.dirname(POSTGRES ?? ''), 'psql');
    execFileSync(psql, ['-q', postgres.url, '-c', 'DROP TABLE wiped, wiped_head']);
    // Never an absence.
    expect((await fetch(`${url}/v1/kv/orders/key-1`)).status).toBeGreaterThanOrEqual(500);
    expect(await tier(url, ['restore', 'orders'])).toMatchObject({ code: 0 });
    expect(await allPages(url)).toEqual(before);
    expect((await put(url, 'after', 'it')).ok).toBe(true);
    expect(await tier(url, ['verify', 'orders'])).toMatchObject({ code: 0 });
  });

  it('exports to a file, and imports into an empty store', async () => {
    const tiers = { orders: { backup: `${postgres.url}?table=exported` } };
    const { url } = await serve(newPath('data'), tiers);
    await status(url);
    for (let at = 0; at < 9; at++) await put(url, `key-${at}`, `value ${at}`);
    const before = await allPages(url);
    const exported = await tier(url, ['export', 'orders']);
    expect([exported.code, exported.out.split('\n')]).toMatchObject([0, { length: 12 }]);

    const other = await serve(newPath('data'), {
      orders: { backup: `${postgres.url}?table=imported` },
    });
    await status(other.url);
    const cut = exported.out.slice(0, exported.out.lastIndexOf('{'));
    const refused = await tier(other.url, ['import', 'orders'], cut);
    expect([refused.code, refused.err]).toEqual([7, expect.stringContaining('cut off')]);
    expect((await status(other.url)).state).toBe('open'); // as it was
    expect((await tier(other.url, ['import', 'orders'], exported.out)).code).toBe(0);
    expect(await allPages(other.url)).toEqual(before);
    await status(other.url, ({ tiers: parts }) => parts['backup']?.state === 'ok');
    expect(await tier(other.url, ['verify', 'orders'])).toMatchObject({ code: 0 });
    const again = await tier(other.url, ['import', 'orders'], exported.out);
    expect([again.code, again.err]).toEqual([4, expect.stringContaining('has entries')]);
  });

  it('says of a user that it is refused, and shows no password', async () => {
    const { hostname, port } = new URL(postgres.url);
    const tiers = {
      orders: { primary: `postgres://nobody:hunter2@${hostname}:${port}/postgres?table=denied` },
    };
    const { url, server } = await serve(newPath('data'), tiers);
    const denied = await status(url, ({ problem }) => problem !== undefined);
    expect(denied).toMatchObject({ state: 'opening', problem: { code: 'ACCESS_DENIED' } });
    const told = await tier(url, ['status', 'orders']);
    expect(told.out).toContain(`postgres://${hostname}:${port}/postgres?table=denied`);
    expect(told.out + server.stderr + server.stdout).not.toContain('hunter2');
  });
});

describe('a driver that is not installed', { timeout: TIMEOUT_MS }, () => {
  const hooks = `export const resolve = (name, context, next) => {
    if (name !== 'pg') return next(name, context);
    throw Object.assign(new Error('no pg'), { code: 'ERR_MODULE_NOT_FOUND' });
  };`;
  const dataUrl = (source: string): string =>
    `data:text/javascript,${encodeURIComponent(source).replaceAll("'", '%27')}`;

  it('is named, and everything else of the node is there', async () => {
    const register = `import { register } from 'node:module'; register('${dataUrl(hooks)}');`;
    const env = { NODE_OPTIONS: `--import ${dataUrl(register)}` };
    const tiers = {
      orders: { backup: 'postgres://u:secret@127.0.0.1:1/d' },
      bills: { backup: `lmdb:${newPath()}` },
    };
    const { url } = await serve(newPath('data'), tiers, env);
    expect(await status(url)).toMatchObject({
      state: 'refused',
      problem: { code: 'DRIVER_MISSING', message: expect.stringContaining('npm install pg') },
    });
    await status(url, ({ state }) => state === 'open', 'bills');
    expect((await fetch(`${url}/v1/kv/bills/a`, { method: 'PUT', body: 'b' })).ok).toBe(true);
    const all = await tier(url, ['status']);
    expect(all.out).toMatch(/^orders\trefused\t/m);
    expect(all.out).toMatch(/^bills\topen\t0\t/m);
  });
});

interface Remote {
  readonly env: Env;
  place(name: string): string;
  stop(): Promise<void>;
}

const REMOTES = [
  {
    kind: 'Postgres',
    program: findRealPostgres(),
    start: async (program: string): Promise<Remote> => {
      const server = await RealPostgres.start(program, serverFolder());
      const place = (name: string): string => `${server.url}?table=${name}`;
      return { env: {}, place, stop: () => server.stop() };
    },
  },
  {
    kind: 'NATS',
    program: findRealNats(),
    start: async (program: string): Promise<Remote> => {
      const server = await RealNats.start(program, serverFolder());
      return { env: {}, place: (name) => `${server.url}/${name}`, stop: () => server.stop() };
    },
  },
  {
    kind: 'S3',
    program: findRealS3Server(),
    start: async (program: string): Promise<Remote> => {
      const server = await RealS3Server.start({ program, directory: serverFolder() });
      const { bucket, endpoint, region, credentials } = server;
      return {
        env: {
          AWS_ACCESS_KEY_ID: credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        },
        place: (name) => `s3://${bucket}/${name}?endpoint=${endpoint}&region=${region}`,
        stop: () => server.stop(),
      };
    },
  },
] as const;

describe.each(REMOTES)('two nodes on $kind', { timeout: TIMEOUT_MS }, ({ program, start }) => {
  // The same.
  it.skipIf(program === undefined)('the one that was taken over writes no more', async () => {
    const remote = await start(program ?? '');
    try {
      const tiers = { orders: { primary: remote.place('one'), backup: remote.place('two') } };
      const old = await serve(newPath('old'), tiers, remote.env);
      await status(old.url);
      for (let at = 0; at < 5; at++) expect((await put(old.url, `k${at}`, 'old')).ok).toBe(true);

      const other = await serve(newPath('new'), tiers, remote.env);
      const refused = await status(other.url);
      expect(refused).toMatchObject({
        state: 'refused',
        fenced: true,
        problem: { code: 'FENCED' },
      });
      expect(refused.problem?.advice).toContain('holdfast tier take-over');
      expect((await tier(other.url, ['promote', 'orders'])).code).toBe(4);
      const promoted = await tier(other.url, ['promote', 'orders', '--force']);
      expect([promoted.code, promoted.err]).toEqual([0, expect.stringContaining('promoted')]);

      expect(await codeOf(await put(old.url, 'k0', 'late'))).toBe('FENCED');
      expect(await codeOf(await put(old.url, 'k9', 'late'))).toBe('FENCED');
      const fenced = await status(old.url);
      expect(fenced).toMatchObject({ state: 'open', fenced: true, problem: { code: 'FENCED' } });
      expect((await put(other.url, 'k0', 'new')).ok).toBe(true);
      expect((await allPages(other.url)).flatMap(({ entries }) => entries)).toHaveLength(5);
      const value = await fetch(`${other.url}/v1/kv/orders/k0`);
      expect(await value.text()).toBe('new');
    } finally {
      for (const process of started.splice(0)) await process.stop();
      await remote.stop();
    }
  });
});

describe('the file of tiers', { timeout: TIMEOUT_MS }, () => {
  const serveFile = async (text: string, env: Env = {}): Promise<Told> => {
    const io = new FakeConsole();
    io.files.set('tiers.json', text);
    Object.assign(io.env, env);
    const args = ['serve', newPath('data'), '--port', '0', '--tiers', 'tiers.json'];
    const code = await runCommandLine(args, io);
    return { code, out: io.stdoutText, err: io.stderrText };
  };

  it.each([
    ['{"orders": {"primary": "lmdb:${NOT_THERE}"}}', 'NOT_THERE'],
    ['{"orders": ', 'is not JSON'],
    ['{"orders": {"bakup": "lmdb:/x"}}', 'did you mean backup?'],
    ['{"orders": {"backup": "postgre://u:secret@h/d"}}', 'did you mean postgres:?'],
    ['{"orders": {"backup": "lmdb:/x"}, "other": {"backup": "lmdb:/x"}}', 'the same place'],
    ['[]', 'must be an object'],
  ])('%s is refused', async (text, reason) => {
    const { code, err } = await serveFile(text);
    expect([code, err]).toEqual([2, expect.stringContaining(reason)]);
    expect(err).not.toContain('secret');
  });

  it.each(['p@ss/w#rd?', '100%', 'p%40ss', 'a:b', 'plain'])(
    'takes %s for a password, wherever it comes from, and shows it nowhere',
    async (password) => {
      const tiers = { orders: { primary: 'postgres://u:${SECRET}@127.0.0.1:1/d?table=t' } };
      const { server, url } = await serve(newPath('data'), tiers, { SECRET: password });
      const found = await status(url, ({ problem }) => problem !== undefined);
      expect(found.problem?.code).toBe('STORAGE_UNAVAILABLE'); // nobody is there
      expect(found.problem?.message).toContain('Postgres cannot be reached');
      const told = await tier(url, ['status', 'orders']);
      expect(told.out).toContain('postgres://127.0.0.1:1/d?table=t');
      expect(told.out + JSON.stringify(found) + server.stderr).not.toContain(`:${password}@`);
    },
  );
});
