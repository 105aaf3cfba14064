/**
 * Backups as an operator has them: the real command in processes of its own, killed without
 * warning, and everything read back from what is left.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../src/command-line.ts';
import {
  type BackupPlace,
  bucketPlace,
  findWords,
  folderPlace,
  S3_PROGRAM,
  treeOf,
  WITHOUT_S3,
} from './backup-place.ts';
import { CommandProcess, runCommand } from './command-process.ts';
import { FakeConsole } from './fake-console.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-backup-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const started: CommandProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop();
});

let names = 0;
const newPath = (): string => path.join(root, `n${names++}`);

type Env = Readonly<Record<string, string>>;

interface Running {
  readonly server: CommandProcess;
  readonly url: string;
}

async function serve(args: readonly string[], env: Env = {}): Promise<Running> {
  const server = new CommandProcess(['serve', '--json', '--port', '0', ...args], env);
  started.push(server);
  return { server, url: (JSON.parse(await server.firstLine()) as { url: string }).url };
}

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A client command, in this process. */
async function run(args: readonly string[], env: Env = {}): Promise<Told> {
  const io = new FakeConsole();
  Object.assign(io.env, env);
  const code = await runCommandLine(args, io);
  return { code, out: io.stdoutText, err: io.stderrText };
}

async function good(args: readonly string[], env: Env = {}): Promise<string> {
  const { code, out, err } = await run(args, env);
  expect([code, code === 0 ? '' : err]).toEqual([0, '']);
  return out;
}

async function json<Value>(args: readonly string[], env: Env = {}): Promise<Value> {
  return JSON.parse(await good([...args, '--json'], env)) as Value;
}

/** Waits until everything that was answered is in the backup. */
async function archived(url: string): Promise<void> {
  for (;;) {
    const { archive } = await json<{ archive: { lagRecords: number; state: string } }>([
      ...['snapshot', 'status', '--url', url],
    ]);
    if (archive.lagRecords === 0 && archive.state === 'archiving') return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function key(): Promise<string> {
  const file = newPath();
  await good(['key', 'generate', file]);
  return file;
}

const PLACES: readonly (readonly [string, () => Promise<BackupPlace>, boolean])[] = [
  ['a folder', folderPlace, false],
  ['S3', bucketPlace, S3_PROGRAM === undefined],
];

if (S3_PROGRAM === undefined)
  console.warn(`backups to a real S3 server are skipped: ${WITHOUT_S3}`);

for (const [title, open, skipped] of PLACES) {
  // Skipped only where the server is not installed, which is said above; the suite of objects
  // makes that an error in CI.
  describe.skipIf(skipped)(`an encrypted node with its backup in ${title}`, () => {
    let place: BackupPlace;
    beforeAll(async () => {
      place = await open();
    });
    afterAll(() => place.stop());

    it('is killed, its directory is lost, and comes back to the last record, to a mark and to an LSN', async () => {
      const canaries = ['canary-of-a-name', 'canary-of-a-value', 'canary-of-a-mark'];
      const [name = '', value = '', markName = ''] = canaries;
      const dir = newPath();
      const keyFile = await key();
      const env = { ...place.env, HOLDFAST_KEY_FILE: keyFile };
      const args = [dir, '--backup', place.url, '--archive-interval-ms', '20'];
      const { server, url } = await serve(args, env);
      const at = ['--url', url];
      await good(['stream', 'create', name, ...at]);
      for (let n = 0; n < 20; n++) {
        await good(['stream', 'append', name, JSON.stringify({ n, value }), ...at]);
      }
      const lsn = Number(await good(['mark', markName, ...at]));
      expect(lsn).toBe(22);
      const atMark = await good(['stream', 'read', name, ...at]);
      await good(['stream', 'append', name, '"behind the mark"', ...at]);
      const snapshotId = (await good(['snapshot', 'create', ...at])).trim();
      await good(['stream', 'append', name, '"behind the snapshot"', ...at]);
      const atEnd = await good(['stream', 'read', name, ...at]);
      await archived(url);
      server.signal('SIGKILL');
      const { stdout, stderr } = await server.ended;
      const secret = readFileSync(keyFile, 'utf8').trim();
      const outputs = new Map([['output', Buffer.from(stdout + stderr)]]);
      const words = [...canaries, secret.slice(5)];
      expect(findWords(treeOf(dir), words)).toEqual([]);
      expect(findWords(treeOf(place.folder), words)).toEqual([]);
      expect(findWords(outputs, words)).toEqual([]);
      // The search does find what is there.
      const sample = new Map([
        [`x${name}`, Buffer.from('')],
        ['y', Buffer.from(`..${value}..`)],
      ]);
      expect(findWords(sample, words)).toHaveLength(2);
      rmSync(dir, { recursive: true });

      const from = ['--from', place.url];
      expect(await good(['snapshot', 'ls', ...from], env)).toContain(snapshotId);
      expect(await json(['snapshot', 'verify', snapshotId, ...from], env)).toMatchObject({
        ok: true,
        problems: [],
      });
      const info = await json<{ files: object[] }>(['snapshot', 'info', snapshotId, ...from], env);
      expect(info.files.length).toBeGreaterThan(1);

      const back = newPath();
      const plan = await json(['restore', place.url, back, '--dry-run'], env);
      expect(plan).toMatchObject({ lsn: 24, latestLsn: 24, snapshot: snapshotId, records: 1 });
      expect(await json(['restore', place.url, back], env)).toMatchObject({ lsn: 24, into: back });
      expect(await readBack(back, name, keyFile)).toBe(atEnd);
      for (const point of [`mark:${markName}`, String(lsn)]) {
        const dirOfPoint = newPath();
        await good(['restore', place.url, dirOfPoint, '--to', point], env);
        expect(await readBack(dirOfPoint, name, keyFile)).toBe(atMark);
      }
      const early = await run(['restore', place.url, newPath(), '--to', '-1d'], env);
      expect([early.code, early.err]).toEqual([3, expect.stringContaining('UNREACHABLE')]);
    }, 120_000);

    it('is taken over by a second machine: the first one stops, and says why', async () => {
      const dir = newPath();
      const keyFile = await key();
      const env = { ...place.env, HOLDFAST_KEY_FILE: keyFile };
      const own = place.url.startsWith('s3:') ? `${place.url}-two` : `${place.url}-two`;
      const first = await serve([dir, '--backup', own, '--archive-interval-ms', '20'], env);
      await good(['stream', 'create', 's', '--url', first.url]);
      await good(['stream', 'append', 's', '1', '--url', first.url]);
      await archived(first.url);

      const second = newPath();
      await good(['restore', own, second], env);
      const other = await serve([second, '--backup', own, '--archive-interval-ms', '20'], env);
      // The first one finds out when it archives its next record, and at the latest by itself.
      await run(['stream', 'append', 's', '"too late"', '--url', first.url]);
      const { code, stderr } = await first.server.ended;
      expect(code).toBe(4);
      expect(stderr).toContain('WRITER_FENCED');
      const last = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { error: object };
      expect(last.error).toMatchObject({ code: 'WRITER_FENCED', exitCode: 4 });

      // Nor does it start again, unless it is told to.
      const again = await runCommand(['serve', dir, '--port', '0', '--backup', own], { env });
      expect([again.code, again.stderr]).toEqual([4, expect.stringContaining('WRITER_FENCED')]);
      expect(again.stderr).toContain('another node writes to this backup');
      expect(await good(['stream', 'read', 's', '--url', other.url])).toBe('1\n');
    }, 120_000);
  });
}

/** What a node on a restored directory answers. */
async function readBack(dir: string, stream: string, keyFile: string): Promise<string> {
  const { server, url } = await serve([dir, '--key-file', keyFile]);
  const text = await good(['stream', 'read', stream, '--url', url]);
  server.signal('SIGINT');
  expect((await server.ended).code).toBe(0);
  expect((await run(['verify', dir, '--key-file', keyFile])).code).toBe(0);
  return text;
}

describe('keys', () => {
  it('a wrong one, none, and one where none was are refused, and nothing is touched', async () => {
    const plain = newPath();
    const sealed = newPath();
    const right = await key();
    const wrong = await key();
    for (const [dir, keys] of [
      [plain, []],
      [sealed, ['--key-file', right]],
    ] as const) {
      const { server, url } = await serve([dir, ...keys]);
      await good(['stream', 'create', 's', '--url', url]);
      await good(['stream', 'append', 's', '1', '--url', url]);
      server.signal('SIGKILL');
      await server.ended;
    }
    const before = [treeOf(plain), treeOf(sealed)];
    const refusals: readonly (readonly [string, readonly string[], number, string])[] = [
      [sealed, [], 5, 'KEY_REQUIRED'],
      [sealed, ['--key-file', wrong], 5, 'KEY_WRONG'],
      [plain, ['--key-file', right], 2, 'KEY_NOT_EXPECTED'],
      [sealed, ['--key-file', newPath()], 2, 'INVALID_KEY'],
      [sealed, ['--key-command', 'exit 1'], 6, 'KEY_COMMAND_FAILED'],
      [sealed, ['--key-file', right, '--key-command', 'true'], 2, 'INVALID_SETTINGS'],
    ];
    for (const [dir, keys, code, error] of refusals) {
      for (const command of [
        ['serve', dir, '--port', '0'],
        ['verify', dir],
      ]) {
        const told = await run([...command, ...keys]);
        expect([command[0], error, told.code]).toEqual([command[0], error, code]);
        expect(told.err).toContain(error);
      }
    }
    const rebalanced = await run(['rebalance', sealed, '--shards', '8']);
    expect([rebalanced.code, rebalanced.err]).toEqual([5, expect.stringContaining('KEY_REQUIRED')]);
    const withoutLock = (tree: Map<string, Buffer>): [string, string][] =>
      [...tree]
        .filter(([name]) => !name.startsWith('LOCK'))
        .map(([name, bytes]) => [name, bytes.toString('hex')]);
    expect([plain, sealed].map((dir) => withoutLock(treeOf(dir)))).toEqual(before.map(withoutLock));
    const env = { HOLDFAST_KEY: readFileSync(right, 'utf8').trim() };
    expect((await run(['verify', sealed], env)).code).toBe(0);
  }, 60_000);

  it('are rotated while the node runs; the old one is given up once nothing needs it', async () => {
    const dir = newPath();
    const keyFile = await key();
    const { server, url } = await serve([dir, '--key-file', keyFile]);
    const at = ['--url', url];
    await good(['stream', 'create', 's', ...at]);
    await good(['stream', 'append', 's', '1', ...at]);
    interface Status {
      readonly encrypted: boolean;
      readonly keys: readonly { id: string; active: boolean; known: boolean; bytes: number }[];
    }
    const before = await json<Status>(['key', 'status', ...at]);
    const old = before.keys[0]?.id ?? '';
    expect(before).toMatchObject({ encrypted: true, source: 'file', keys: [{ active: true }] });
    const after = await json<Status>(['key', 'rotate', '--key-file', keyFile, ...at]);
    const active = after.keys.find((one) => one.active)?.id ?? '';
    expect(active).not.toBe(old);
    expect(readFileSync(keyFile, 'utf8').trim().split('\n')).toHaveLength(2);
    await good(['stream', 'append', 's', '2', ...at]);
    expect((await run(['key', 'retire', active, ...at])).code).toBe(4);
    expect((await run(['key', 'retire', 'zzz', ...at])).code).toBe(2);
    for (;;) {
      const { code, err } = await run(['key', 'retire', old, '--key-file', keyFile, ...at]);
      if (code === 0) break;
      expect([code, err]).toEqual([4, expect.stringContaining('KEY_IN_USE')]);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(readFileSync(keyFile, 'utf8').trim().split('\n')).toHaveLength(1);
    server.signal('SIGKILL');
    await server.ended;
    const again = await serve([dir, '--key-file', keyFile]);
    expect(await good(['stream', 'read', 's', '--url', again.url])).toBe('1\n2\n');
  }, 60_000);

  it("a key file that is not the node's is found out", async () => {
    const [own, other] = [await key(), await key()];
    const { url } = await serve([newPath(), '--key-file', own]);
    const told = await run(['key', 'rotate', '--key-file', other, '--url', url]);
    expect([told.code, told.err]).toEqual([4, expect.stringContaining('begins with')]);
    const env = { HOLDFAST_KEY: readFileSync(other, 'utf8').trim() };
    const { url: fromText } = await serve([newPath()], env);
    const inNoFile = await run(['key', 'rotate', '--key-file', other, '--url', fromText]);
    expect([inNoFile.code, inNoFile.err]).toEqual([2, expect.stringContaining('in no file')]);
  }, 60_000);

  it('a rotation that did not reach the node is gone on with, and makes no second key', async () => {
    const dir = newPath();
    const keyFile = await key();
    const { url } = await serve([dir, '--key-file', keyFile]);
    const rotate = ['key', 'rotate', '--key-file', keyFile];
    expect((await run([...rotate, '--url', 'http://127.0.0.1:9'])).code).toBe(6);
    expect(readFileSync(keyFile, 'utf8').trim().split('\n')).toHaveLength(1);
    const [newest = ''] = readFileSync(await key(), 'utf8').split('\n');
    writeFileSync(keyFile, `${newest}\n${readFileSync(keyFile, 'utf8')}`);
    await good([...rotate, '--url', url]);
    expect(readFileSync(keyFile, 'utf8').startsWith(newest)).toBe(true);
  }, 60_000);
});

describe('a backup that is interrupted, refused or not there', () => {
  it('Ctrl-C ends a restore with 130, its target stays as it was, and the same command goes on', async () => {
    const place = await folderPlace();
    const { url } = await serve([newPath(), '--backup', place.url, '--archive-interval-ms', '20']);
    await good(['stream', 'create', 's', '--url', url]);
    await good(['stream', 'append', 's', '1', '--url', url]);
    await good(['snapshot', 'create', '--url', url]);
    await archived(url);
    const into = newPath();
    const io = new FakeConsole();
    const restoring = runCommandLine(['restore', place.url, into], io);
    while (!existsSync(`${into}.restoring`)) await new Promise((resolve) => setImmediate(resolve));
    io.interrupt();
    expect([await restoring, io.stdoutText]).toEqual([130, '']);
    expect(io.stderrText).toContain('cancelled');
    expect(io.stderrText).toContain('the same command goes on');
    expect(existsSync(into)).toBe(false);
    await good(['restore', place.url, into]);
    expect(existsSync(`${into}.restoring`)).toBe(false);
    await place.stop();
  }, 60_000);

  it('Ctrl-C ends a snapshot with 130, and no half one is listed', async () => {
    const place = await folderPlace();
    const dir = newPath();
    const { url } = await serve([
      ...[dir, '--backup', place.url, '--snapshot-bytes-per-second', '2000'],
    ]);
    await good(['stream', 'create', 's', '--type', 'text/plain', '--url', url]);
    const append = ['stream', 'append', 's', 'x'.repeat(200_000), '--url', url];
    await good(append);
    const snapshot = new CommandProcess(['snapshot', 'create', '--url', url]);
    started.push(snapshot);
    for (;;) {
      const { snapshots } = await json<{ snapshots: { underWay?: string } }>([
        ...['snapshot', 'status', '--url', url],
      ]);
      if (snapshots.underWay === 'create') break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    snapshot.signal('SIGINT');
    const { code, stdout, stderr } = await snapshot.ended;
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).toContain('cancelled');
    expect(await good(['snapshot', 'ls', '--url', url])).toBe('');
    await good(append);
    await place.stop();
  }, 60_000);

  it('what is missing is 3, what is in the way is 4, and a typing error is 2', async () => {
    const { url } = await serve(['--memory']);
    const at = ['--url', url];
    for (const args of [
      ['snapshot', 'ls'],
      ['snapshot', 'status'],
      ['snapshot', 'create'],
    ]) {
      const { code, err } = await run([...args, ...at]);
      expect([code, err]).toEqual([3, expect.stringContaining('BACKUP_NOT_CONFIGURED')]);
    }
    const nowhere = newPath();
    const absent = await run(['restore', nowhere, newPath()]);
    expect([absent.code, absent.err]).toEqual([3, expect.stringContaining('no backup here')]);
    expect((await run(['snapshot', 'ls', '--from', nowhere])).code).toBe(3);

    const place = await folderPlace();
    const { url: backed } = await serve([newPath(), '--backup', place.url]);
    await good(['stream', 'create', 's', '--url', backed]);
    const id = (await good(['snapshot', 'create', '--url', backed])).trim();
    await archived(backed);
    const full = newPath();
    mkdirSync(full);
    writeFileSync(path.join(full, 'mine'), '');
    const inTheWay = await run(['restore', place.url, full]);
    expect([inTheWay.code, inTheWay.err]).toEqual([4, expect.stringContaining('NOT_EMPTY')]);
    expect([...treeOf(full).keys()]).toEqual(['mine']);
    expect((await run(['restore', place.url, ''])).err).toContain('INTO is empty');
    const below = await run(['restore', place.url, path.join(full, 'mine', 'below')]);
    expect(below.err).toMatch(/reason=E\w+ \[STORAGE_UNAVAILABLE\]/);
    const unknown = await run(['restore', place.url, newPath(), '--to', 'mark:nothing']);
    expect(unknown.code).toBe(3);
    expect((await run(['restore', place.url, newPath(), '--to', 'yesterday'])).code).toBe(2);
    expect((await run(['restore', place.url, newPath(), '--verify', 'some'])).code).toBe(2);
    const lost = path.join(full, 'mine', 'watermark');
    const unseen = await run(['restore', place.url, newPath(), '--watermark', lost]);
    expect([unseen.code, unseen.err]).toEqual([6, expect.stringContaining(`path=${lost}`)]);
    const inside = await run(['restore', place.url, path.join(place.url, 'objects', 'copy')]);
    expect([inside.code, inside.err]).toEqual([2, expect.stringContaining('backup itself')]);
    expect((await run(['snapshot', 'info', 'nothing', '--url', backed])).code).toBe(3);
    for (const odd of ['', '.', '..']) {
      const { code, err } = await run(['snapshot', 'verify', odd, '--url', backed]);
      expect([code, err]).toEqual([2, expect.stringContaining('is no id')]);
    }
    expect((await run(['snapshot', 'rm', id, '--url', backed])).code).toBe(2);
    const pruned = await json([
      'snapshot',
      'prune',
      '--keep-last',
      '1',
      '--dry-run',
      '--url',
      backed,
    ]);
    expect(pruned).toMatchObject({ deleted: [], kept: [id], dryRun: true });
    expect(await json(['snapshot', 'drill', '--url', backed])).toMatchObject({
      ok: true,
      streams: 1,
    });
    expect(await json(['snapshot', 'rm', id, '--force', '--url', backed])).toEqual({
      id,
      deleted: true,
    });
    await place.stop();
  }, 60_000);

  it('two nodes share a place, and are told apart by --repository', async () => {
    const place = await folderPlace();
    const ids: string[] = [];
    for (const text of ['"one"', '"other"']) {
      const { url } = await serve([
        newPath(),
        '--backup',
        place.url,
        '--archive-interval-ms',
        '20',
      ]);
      await good(['stream', 'create', 's', '--url', url]);
      await good(['stream', 'append', 's', text, '--url', url]);
      await archived(url);
      const status = await json<{ repository: string }>(['snapshot', 'status', '--url', url]);
      ids.push(status.repository);
    }
    const unsaid = await run(['restore', place.url, newPath()]);
    expect([unsaid.code, unsaid.err]).toEqual([3, expect.stringContaining(ids[0] ?? 'no id')]);
    expect(unsaid.err).toContain('--repository ID');
    const into = newPath();
    const restored = await json(['restore', place.url, into, '--repository', ids[1] ?? '']);
    expect(restored).toMatchObject({ repository: ids[1], lsn: 2 });
    await place.stop();
  }, 60_000);

  it('the banner tells of key and backup, and nothing secret', async () => {
    const place = await folderPlace();
    const keyFile = await key();
    const server = new CommandProcess([
      ...['serve', newPath(), '--port', '0', '--key-file', keyFile, '--backup', place.url],
    ]);
    started.push(server);
    await server.seen('Ctrl-C stops it');
    expect(server.stderr).toMatch(/encrypted {3}key [0-9a-f]{8}\n/);
    expect(server.stderr).toContain(`backup      ${place.url}, archiving\n`);
    expect(server.stderr).not.toContain(readFileSync(keyFile, 'utf8').slice(5, 20));
    const refused = await runCommand(['serve', newPath(), '--backup', 's3://me:hush@bucket/x']);
    expect([refused.code, refused.stderr.includes('hush')]).toEqual([2, false]);
    server.signal('SIGINT');
    await server.ended;
    await place.stop();
  }, 60_000);

  it('a snapshot that rotted in its place is named, and ends with 7', async () => {
    const place = await folderPlace();
    const { url } = await serve([newPath(), '--backup', place.url]);
    await good(['stream', 'create', 's', '--url', url]);
    await good(['stream', 'append', 's', '1', '--url', url]);
    const id = (await good(['snapshot', 'create', '--url', url])).trim();
    const part = [...treeOf(place.folder)].find(
      ([name, { length }]) => /parts\/.+/.test(name) && length,
    );
    const file = path.join(place.folder, part?.[0] ?? '');
    const bytes = readFileSync(file);
    bytes[9] = (bytes[9] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    for (const where of [
      ['--url', url],
      ['--from', place.url],
    ]) {
      const { code, out, err } = await run(['snapshot', 'verify', id, ...where]);
      expect([code, err]).toEqual([7, expect.stringContaining('damaged')]);
      expect(out).not.toBe('');
    }
    expect((await run(['snapshot', 'drill', '--url', url])).code).toBe(7);
    expect((await run(['restore', place.url, newPath()])).code).toBe(7);
    await place.stop();
  }, 60_000);
});
