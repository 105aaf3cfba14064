import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { generateKeyText, HoldfastError, NodeClock, NodeRandom } from '@holdfast/core';
import { generateKeyFile, type HoldfastNode, openNode, prependKey } from '@holdfast/node';
import {
  type CallOptions,
  LateObjectStore,
  MemoryObjectStore,
  type ObjectStore,
} from '@holdfast/objects';
import { afterAll, afterEach, describe, expect, it } from 'vitest';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-node-backup-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const opened: HoldfastNode[] = [];
afterEach(async () => {
  for (const node of opened.splice(0)) await node.close();
});

let names = 0;
const newPath = (): string => path.join(root, `n${names++}`);
const random = new NodeRandom();
const clock = new NodeClock();

async function open(...args: Parameters<typeof openNode>): Promise<HoldfastNode> {
  const node = await openNode(...args);
  opened.push(node);
  return node;
}

async function until(happened: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await happened())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function write(node: HoldfastNode, count: number): Promise<void> {
  const stream = await node.streams.open('s', { type: 'application/json' });
  for (let n = 0; n < count; n++) await stream.append({ n });
}

const lagOf = (node: HoldfastNode): number => node.archive.stats().lagRecords;

describe('a node with a backup', () => {
  it('archives, makes and verifies snapshots, prunes them, and drills', async () => {
    const node = await open({ dir: newPath(), backup: newPath(), archiveIntervalMs: 10 });
    await write(node, 3);
    const phases = new Set<string>();
    const onProgress = ({ phase }: { phase: string }): unknown => phases.add(phase);
    const first = await node.snapshots.create({ onProgress });
    expect(first).toMatchObject({ kind: 'incremental', lsn: 4, epoch: 1 });
    expect(await node.mark('here')).toBe(5);
    await write(node, 1);
    const second = await node.snapshots.create({ full: true });
    const { snapshots, unreadable } = await node.snapshots.list();
    expect([snapshots.map(({ id }) => id), unreadable]).toEqual([[second.id, first.id], []]);
    expect(await node.snapshots.info(second.id)).toMatchObject({ kind: 'full', lsn: 6 });
    expect(await node.snapshots.verify(first.id, { onProgress })).toMatchObject({ ok: true });
    const rules = { keepLast: 1, keepDaily: 0, keepWeekly: 0 };
    expect(await node.snapshots.prune({ ...rules, dryRun: true })).toMatchObject({
      deleted: [first.id],
      dryRun: true,
    });
    expect((await node.snapshots.list()).snapshots).toHaveLength(2);
    expect(await node.snapshots.prune(rules)).toMatchObject({ deleted: [first.id], dryRun: false });
    expect((await node.snapshots.list()).snapshots).toHaveLength(1);
    await node.archive.flush();
    expect(lagOf(node)).toBe(0);
    const drill = await node.snapshots.drill({ onProgress });
    expect(drill).toMatchObject({ ok: true, lsn: 6, snapshot: second.id, streams: 1 });
    expect([...phases]).toEqual(expect.arrayContaining(['snapshot', 'verify', 'files', 'log']));
    expect(node.stats().backup).toMatchObject({
      archive: { state: 'archiving', archivedLsn: 6 },
      snapshots: { created: 2, failed: 0, lastId: second.id },
      drills: { running: false, passed: 1, failed: 0, lastOk: true, lastLsn: 6 },
    });
  });

  it('drills by itself, beside the data directory, and leaves nothing there', async () => {
    const dir = newPath();
    const node = await open({ dir, backup: newPath(), drillIntervalMs: 50, archiveIntervalMs: 10 });
    await write(node, 2);
    await until(() => (node.stats().backup?.drills.passed ?? 0) > 1);
    await node.close();
    const { drills } = node.stats().backup ?? {};
    expect(drills).toMatchObject({ failed: 0, lastOk: true });
    const beside = (await import('node:fs')).readdirSync(root);
    expect(beside.filter((name) => name.includes('drill'))).toEqual([]);
  });

  it('drills of several nodes in one directory do not meet', async () => {
    const drillDirectory = newPath();
    mkdirSync(drillDirectory);
    const nodes: HoldfastNode[] = [];
    for (let n = 0; n < 2; n++) {
      const node = await open({ dir: newPath(), backup: newPath(), drillDirectory });
      await write(node, 3);
      await node.snapshots.create();
      nodes.push(node);
    }
    const seen = new Set<string>();
    const onProgress = (): void => {
      for (const name of readdirSync(drillDirectory)) seen.add(name);
    };
    const drills = await Promise.all(nodes.map((node) => node.snapshots.drill({ onProgress })));
    expect(drills.map(({ problems }) => problems)).toEqual([[], []]);
    expect(seen.size).toBe(2);
    expect(readdirSync(drillDirectory)).toEqual([]);
  });

  it('a drill that finds the backup damaged says so, and the node goes on', async () => {
    const store = new MemoryObjectStore({ clock });
    const node = await open({ dir: newPath() }, { objectStore: store });
    await write(node, 2);
    await node.snapshots.create();
    await node.archive.flush();
    const { objects } = await store.list();
    const part = objects.find(({ key }) => key.includes('/parts/'))?.key ?? '';
    await store.delete(part);
    const drill = await node.snapshots.drill();
    expect([drill.ok, drill.problems.length]).toEqual([false, 1]);
    expect(drill.problems[0]).toContain(part.split('/').at(-1));
    expect(node.stats().backup?.drills).toMatchObject({ failed: 1, lastOk: false });
    await write(node, 1);
  });

  it('starts while its store is away, takes appends, and archives them once it is back', async () => {
    const store = new MemoryObjectStore({ clock });
    let away = true;
    const late: ObjectStore = new LateObjectStore(async (_options: CallOptions) => {
      if (away) throw new HoldfastError('STORAGE_UNAVAILABLE', 'nobody answers');
      return store;
    }, store.capabilities);
    const tuning = { database: { backup: { openTimeoutMs: 20, archiveIntervalMs: 10 } } };
    const node = await open({ dir: newPath() }, { objectStore: late }, tuning);
    await write(node, 3);
    const address = await node.listen({ port: 0 });
    const shown = async (): Promise<Record<string, unknown>> => {
      const answer = await fetch(`${address.url}/readyz?verbose`);
      expect(answer.status).toBe(200);
      return ((await answer.json()) as { backup: Record<string, unknown> }).backup;
    };
    await until(async () => (await shown())['lastError'] !== undefined);
    expect(await shown()).toMatchObject({ state: 'claiming', lastError: 'STORAGE_UNAVAILABLE' });
    away = false;
    await until(() => lagOf(node) === 0);
    await until(async () => (await shown())['lastError'] === undefined);
    expect(await shown()).toMatchObject({ state: 'archiving', lagSeconds: 0 });
  });

  it('that was taken over fails, is not ready, and tells its owner why', async () => {
    const store = new MemoryObjectStore({ clock });
    const first = await open({ dir: newPath(), archiveIntervalMs: 10 }, { objectStore: store });
    await write(first, 2);
    await first.archive.flush();
    const address = await first.listen({ port: 0 });
    const failed = new Promise<HoldfastError>((resolve) => first.onFailed(resolve));
    const restored = newPath();
    const { restoreDatabase } = await import('@holdfast/database');
    const { nodeComponents } = await import('@holdfast/node');
    await restoreDatabase(
      { ...nodeComponents(), objects: store },
      { into: restored, target: 'latest' },
    );
    const second = await open({ dir: restored }, { objectStore: store });
    await write(first, 1).catch(() => undefined);
    expect((await failed).code).toBe('WRITER_FENCED');
    const ready = await fetch(`${address.url}/readyz?verbose`);
    expect([ready.status, await ready.json()]).toMatchObject([
      503,
      { backup: { state: 'fenced' } },
    ]);
    await expect(write(first, 1)).rejects.toMatchObject({ code: 'WRITER_FENCED' });
    await write(second, 1);
  });

  it('closes while a snapshot and a drill are under way: both end, nothing is left', async () => {
    const dir = newPath();
    const store = new MemoryObjectStore({ clock });
    const settings = { dir, snapshotBytesPerSecond: 1000 };
    const node = await open(settings, { objectStore: store });
    const stream = await node.streams.open('s', { type: 'text/plain' });
    await stream.append('x'.repeat(100_000));
    await node.archive.flush();
    const snapshot = node.snapshots.create();
    const drill = node.snapshots.drill();
    const ended = Promise.allSettled([snapshot, drill]);
    await until(() => node.stats().backup?.snapshots.underWay === 'create');
    await expect(node.snapshots.drill()).rejects.toMatchObject({ code: 'REPOSITORY_BUSY' });
    await node.close();
    const [snapshotEnd] = await ended;
    expect(snapshotEnd).toMatchObject({ status: 'rejected', reason: { kind: 'closed' } });
    const { objects } = await store.list();
    expect(objects.filter(({ key }) => key.includes('/snapshots/'))).toEqual([]);
    await expect(node.snapshots.create()).rejects.toMatchObject({ kind: 'closed' });
  });
});

describe('a node without a backup', () => {
  it('says so, whatever of it is asked', async () => {
    const node = await open({ memory: true });
    const code = { code: 'BACKUP_NOT_CONFIGURED' };
    await expect(node.snapshots.list()).rejects.toMatchObject(code);
    await expect(node.snapshots.create()).rejects.toMatchObject(code);
    await expect(node.snapshots.drill()).rejects.toMatchObject(code);
    expect(() => node.archive.stats()).toThrow(expect.objectContaining(code));
    expect(node.stats()).not.toHaveProperty('backup');
    expect(await node.keys.status()).toEqual({ encrypted: false, keys: [] });
    await expect(node.keys.rotate()).rejects.toMatchObject({ code: 'KEY_NOT_EXPECTED' });
  });

  it('cannot be one in memory with a backup', async () => {
    await expect(openNode({ memory: true, backup: newPath() })).rejects.toThrow('setting=backup');
  });
});

describe('the keys of a node', () => {
  it('appear in nothing that it shows, wherever they came from', async () => {
    const keyFile = newPath();
    await generateKeyFile(keyFile, random);
    const text = generateKeyText(random);
    for (const settings of [{ keyFile }, { key: text }, { keyCommand: `cat ${keyFile}` }]) {
      const secret = ('key' in settings ? text : readFileSync(keyFile, 'utf8')).slice(5, 30);
      const lines: string[] = [];
      const log = (...parts: unknown[]): unknown => lines.push(inspect(parts, { depth: 9 }));
      const logger = { debug: log, info: log, warn: log, error: log };
      const node = await open({ dir: newPath(), ...settings, backup: newPath() }, { logger });
      await write(node, 1);
      await node.snapshots.create();
      const shown = [
        inspect(node, { depth: 12, showHidden: true }),
        JSON.stringify([node.settings, node.stats(), await node.keys.status()]),
        ...lines,
      ];
      expect(shown.join('\n')).not.toContain(secret);
      expect(await node.keys.status()).toMatchObject({ encrypted: true, keys: [{ active: true }] });
      await node.close();
    }
  });

  it('are rotated from their file, and from text when they were given so', async () => {
    const keyFile = newPath();
    await generateKeyFile(keyFile, random);
    const fromFile = await open({ dir: newPath(), keyFile });
    const old = fromFile.keys.active;
    await prependKey(keyFile, random);
    const { keys } = await fromFile.keys.rotate();
    expect(keys.map(({ active, known }) => [active, known])).toEqual([
      [true, true],
      [false, true],
    ]);
    expect([fromFile.keys.active === old, keys[1]?.id]).toEqual([false, old]);
    const besides = { key: `${generateKeyText(random)}\n${readFileSync(keyFile, 'utf8')}` };
    await expect(fromFile.keys.rotate(besides)).rejects.toThrow('come from a file');
    expect(fromFile.keys.active).toBe(keys[0]?.id);

    const text = generateKeyText(random);
    const fromText = await open({ dir: newPath(), key: text });
    await expect(fromText.keys.rotate()).rejects.toMatchObject({ code: 'INVALID_KEY' });
    await expect(fromText.keys.rotate({ key: generateKeyText(random) })).rejects.toMatchObject({
      code: 'KEY_MISSING',
    });
    const before = fromText.keys.active;
    await fromText.keys.rotate({ key: `${generateKeyText(random)},${text}` });
    expect(fromText.keys.active).not.toBe(before);
    await expect(fromText.keys.retire('nothex')).rejects.toMatchObject({ code: 'INVALID_KEY' });
  });
});

describe('administration over HTTP', () => {
  const admin = { 'holdfast-admin': '1' };

  it('works on a listener, and not through fetch, which has no peer', async () => {
    const node = await open({ dir: newPath(), backup: newPath(), archiveIntervalMs: 10 });
    const { url } = await node.listen({ port: 0 });
    const answer = await fetch(`${url}/v1/admin/backup`, { headers: admin });
    expect([answer.status, await answer.json()]).toMatchObject([
      200,
      { archive: { lagRecords: 0 } },
    ]);
    const made = await fetch(`${url}/v1/admin/snapshots`, { method: 'POST', headers: admin });
    const lines = (await made.text()).trim().split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ result: { kind: 'incremental' } });
    const inside = new Request('http://localhost/v1/admin/backup', { headers: admin });
    expect((await node.fetch(inside)).status).toBe(403);
    const page = await fetch(`${url}/v1/admin/drill`, {
      method: 'POST',
      headers: { ...admin, origin: 'http://localhost:3000' },
    });
    expect([page.status, page.headers.get('access-control-allow-origin')]).toEqual([403, null]);
  });

  const outside = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address;

  it('is refused to other machines, also by an insecure node', async (context) => {
    if (outside === undefined) return context.skip('this machine has loopback only');
    const node = await open({ memory: true, host: '0.0.0.0', insecure: true });
    const { port } = await node.listen({ port: 0 });
    expect((await fetch(`http://${outside}:${port}/v1/streams`)).status).toBe(200);
    const answer = await fetch(`http://${outside}:${port}/v1/admin/keys`, { headers: admin });
    expect([answer.status, await answer.json()]).toMatchObject([403, { code: 'ADMIN_REFUSED' }]);
    expect((await fetch(`http://127.0.0.1:${port}/v1/admin/keys`, { headers: admin })).status).toBe(
      200,
    );
  });
});
