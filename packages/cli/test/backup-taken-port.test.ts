/** A copy that cannot be served does not stop the node whose backup it would take over. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { folderPlace } from './backup-place.ts';
import { CommandProcess, runCommand } from './command-process.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-port-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it('a copy on a taken port, or on a public one, leaves the backup to the node that has it', async () => {
  const place = await folderPlace();
  const backup = ['--backup', place.url];
  const dir = path.join(root, 'first');
  const copy = path.join(root, 'copy');
  const server = new CommandProcess(['serve', dir, '--json', '--port', '0', ...backup]);
  try {
    const { url } = JSON.parse(await server.firstLine()) as { url: string };
    const epoch = async (): Promise<number> => {
      const told = await runCommand(['snapshot', 'status', '--json', '--url', url]);
      return (JSON.parse(told.stdout) as { archive: { epoch: number } }).archive.epoch;
    };
    for (const args of [
      ['stream', 'create', 'a/1'],
      ['mark', 'here'],
      ['snapshot', 'create'],
    ]) {
      expect((await runCommand([...args, '--url', url])).code).toBe(0);
    }
    expect((await runCommand(['restore', place.url, copy])).code).toBe(0);
    for (const [args, why] of [
      [['--port', new URL(url).port], 'another process listens on this port'],
      [['--port', '0', '--host', '0.0.0.0'], 'can be reached from other machines'],
    ] as const) {
      const refused = await runCommand(['serve', copy, ...args, ...backup]);
      expect(refused.stderr).toContain(why);
      expect(refused.code).not.toBe(0);
      expect(await epoch()).toBe(1);
    }
  } finally {
    await server.stop();
    await place.stop();
  }
}, 90_000);
