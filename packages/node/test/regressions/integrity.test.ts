/** Damage on a real disk, as a user of the server sees it. */
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesOf, flipBit, usedBytes } from '../data-directory.ts';
import { expectStatus, OCTETS, readAll, request } from '../http-request.ts';
import { ServerProcess } from '../server-process.ts';

async function filled(server: ServerProcess): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const name of ['a', 'b', 'c']) {
    const body = `${name}:`.repeat(60_000);
    await expectStatus(201, 'PUT', server.stream(name), { headers: OCTETS, body });
    contents.set(name, body);
  }
  return contents;
}

interface Verbose {
  readonly status: string;
  readonly integrity: { found: number; repaired: number; quarantined: number };
}

/** What `/readyz?verbose` says once it has come to that. */
async function integrity(
  server: ServerProcess,
  until: (counts: Verbose['integrity']) => boolean,
): Promise<Verbose> {
  const url = new URL('/readyz?verbose', server.stream('x')).href;
  for (let tries = 0; ; tries++) {
    const answer = await request('GET', url);
    expect(answer.status).toBe(200);
    const verbose = JSON.parse(answer.text) as Verbose;
    if (until(verbose.integrity) || tries > 200) return verbose;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('a server on a damaged directory', () => {
  it('starts over damage in one copy of tables, manifest and layout, serves everything, and mends them', async () => {
    await using server = await ServerProcess.start();
    const contents = await filled(server);
    const dir = server.dataDir as string;
    await server.stop();
    const names = filesOf(dir).map(({ name }) => name);
    const originals = names.filter((name) => existsSync(path.join(dir, `${name}.mirror`)));
    expect(originals.filter((name) => name.endsWith('.hft')).length).toBeGreaterThan(0);
    const whole = new Map(originals.map((name) => [name, readFileSync(path.join(dir, name))]));
    for (const name of originals) {
      const file = path.join(dir, name);
      if (name.endsWith('.hft')) rmSync(file);
      else flipBit(file, Math.floor(usedBytes(file) / 2));
    }
    await server.restart();
    for (const [name, body] of contents) {
      expect((await readAll(server.stream(name))).toString()).toBe(body);
    }
    const { status, integrity: counts } = await integrity(
      server,
      ({ repaired }) => repaired >= originals.length,
    );
    expect(status).toBe('ready');
    expect(counts).toEqual({
      found: originals.length,
      repaired: originals.length,
      quarantined: 0,
    });
    for (const [name, bytes] of whole) {
      if (name.includes('manifest')) continue; // a newer one has taken its place
      expect(readFileSync(path.join(dir, name)).equals(bytes)).toBe(true);
    }
  }, 60_000);

  it('starts without an extent file: reads of what was in it are 500, all else is served and written', async () => {
    await using server = await ServerProcess.start();
    await filled(server);
    const dir = server.dataDir as string;
    await server.stop();
    await server.restart();
    await expectStatus(201, 'PUT', server.stream('later'), { headers: OCTETS, body: 'later' });
    await server.stop(); // the log of the first life goes
    const [oldest] = filesOf(dir)
      .filter(({ name }) => name.endsWith('.hfx'))
      .map((file) => file.path)
      .sort();
    copyFileSync(oldest as string, `${server.dataDir}.kept`);
    rmSync(oldest as string);
    await server.restart();
    try {
      const lost = await request('GET', `${server.stream('a')}?offset=-1`).catch(() => undefined);
      expect(lost?.status ?? 500).toBe(500);
      await expectStatus(204, 'POST', server.stream('later'), { headers: OCTETS, body: '!' });
      expect((await readAll(server.stream('later'))).toString()).toBe('later!');
      const { status, integrity: counts } = await integrity(
        server,
        ({ quarantined }) => quarantined > 0,
      );
      expect(status).toBe('ready');
      expect(counts.quarantined).toBeGreaterThan(0);
    } finally {
      rmSync(`${server.dataDir}.kept`);
    }
  }, 60_000);
});
