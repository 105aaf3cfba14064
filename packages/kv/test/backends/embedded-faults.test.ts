/** Stores in a folder: killed with their process, damaged on the disk, opened twice, fenced. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { scratch, whyNoSqlite } from './embedded.ts';
import { keysOf, rejects } from './faults.ts';
import { type EmbeddedKind, openEmbedded } from './open-embedded.ts';
import { removeScratch } from './servers.ts';

const WRITER = fileURLToPath(new URL('embedded-writer.ts', import.meta.url));
const KILLS = 4;
const LONG = 120_000;
const noSqlite = await whyNoSqlite();
const KINDS: readonly EmbeddedKind[] = ['files', 'lmdb', 'sqlite'];

const HERE = KINDS.filter((kind) => kind !== 'sqlite' || noSqlite === undefined);
if (noSqlite !== undefined) console.warn(`SQLite${noSqlite}`);

describe.each(HERE)('a store in a folder: %s', (kind) => {
  it(
    `killed in the middle of writes has all that it acknowledged`,
    async () => {
      const directory = scratch();
      const acknowledged = new Map<string, number>();
      for (let kills = 0; kills < KILLS; kills++) {
        await writeUntilKilled(kind, directory, 20 + 15 * kills, acknowledged);
        const store = await openEmbedded(kind, directory);
        for (const [key, round] of acknowledged) {
          const value = Buffer.from((await store.get(key)) ?? []).toString();
          expect(Number(value.trim() === '' ? -1 : value), key).toBeGreaterThanOrEqual(round);
        }
        const created = await store.page({ order: 'created', limit: 100 });
        expect(created.entries.map(({ key }) => key).toSorted()).toEqual(await keysOf(store));
        await store.close();
      }
      removeScratch(directory);
    },
    LONG,
  );

  it('is one process', async () => {
    const directory = scratch();
    const store = await openEmbedded(kind, directory);
    await rejects(openEmbedded(kind, directory), 'DIRECTORY_LOCKED');
    await store.put('key', Buffer.from('1'));
    await store.close();
    const again = await openEmbedded(kind, directory);
    expect(String(await again.get('key'))).toBe('1');
    await again.close();
    removeScratch(directory);
  });

  it('keeps an epoch: who opens it with another one writes nothing', async () => {
    const directory = scratch();
    const store = await openEmbedded(kind, directory);
    await store.fence.claim(3);
    await store.put('key', Buffer.from('1'));
    await store.close();
    const old = await openEmbedded(kind, directory);
    await rejects(old.put('key', Buffer.from('2')), 'FENCED');
    expect(await old.fence.newest()).toBe(3);
    await old.close();
    const owner = await openEmbedded(kind, directory, 3);
    await owner.put('key', Buffer.from('3'));
    expect(await owner.getEntry('key')).toMatchObject({ epoch: 3 });
    await owner.close();
    removeScratch(directory);
  });

  it('never serves a value whose bytes changed on the disk', async () => {
    const directory = scratch();
    const store = await openEmbedded(kind, directory);
    await store.put('key', Buffer.from('the value that rots'));
    await store.put('other', Buffer.from('another one'));
    await store.close();
    expect(changeOnDisk(directory, 'the value that rots')).toBeGreaterThan(0);
    const again = await openEmbedded(kind, directory);
    const failed = await again.get('key').then(
      (value) => `served ${String(value)}`,
      (error: { code: string }) => error.code,
    );
    expect(['CHECKSUM_MISMATCH', 'FORMAT_INVALID']).toContain(failed);
    expect(String(await again.get('other'))).toBe('another one');
    await again.close();
    removeScratch(directory);
  });
});

describe('a file of LMDB', () => {
  it.each([
    ['cut short', (file: string) => truncateSync(file, 3 * 4096)],
    ['cut to its first page', (file: string) => truncateSync(file, 4096)],
    ['cut within its first page', (file: string) => truncateSync(file, 100)],
    ['that is none', (file: string) => writeFileSync(file, Buffer.alloc(65_536, 7))],
  ])('%s is refused before it ends the process', async (_, harm) => {
    const directory = scratch();
    const store = await openEmbedded('lmdb', directory);
    for (let at = 0; at < 50; at++) await store.put(`k${at}`, Buffer.alloc(2_000));
    await store.close();
    harm(path.join(directory, 'entries.mdb'));
    await rejects(openEmbedded('lmdb', directory), 'CHECKSUM_MISMATCH');
    removeScratch(directory);
  });
});

/** Changes one byte of this text wherever it is in a file of the folder. */
function changeOnDisk(directory: string, text: string): number {
  let changed = 0;
  for (const name of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const file = path.join(name.parentPath, name.name);
    const bytes = readFileSync(file);
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      bytes[at + 4] = (bytes[at + 4] as number) ^ 1;
      changed++;
    }
    writeFileSync(file, bytes);
  }
  return changed;
}

async function writeUntilKilled(
  kind: EmbeddedKind,
  directory: string,
  lines: number,
  acknowledged: Map<string, number>,
): Promise<void> {
  const args = ['--import', 'tsx', '--conditions', 'x-source', WRITER, kind, directory];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => child.once('exit', done));
  let heard = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [key = '', round] = line.split(' ');
    acknowledged.set(key, Number(round));
    if (++heard === lines) child.kill('SIGKILL');
  }
  await ended;
  expect(heard).toBeGreaterThanOrEqual(lines);
}
