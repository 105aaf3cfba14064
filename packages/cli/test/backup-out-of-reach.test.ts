/** A place of backups that does not answer: commands say so, and a node starts all the same. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { CommandProcess, runCommand } from './command-process.ts';

const root = mkdtempSync(path.join(tmpdir(), 'holdfast-cli-reach-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const started: CommandProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop();
});

/** Nothing listens on this port: every attempt is refused at once. */
const ENV = {
  AWS_ACCESS_KEY_ID: 'any',
  AWS_SECRET_ACCESS_KEY: 'any',
  HOLDFAST_BACKUP_REGION: 'us-east-1',
  HOLDFAST_BACKUP_ENDPOINT: 'http://127.0.0.1:1',
};

// Between two attempts there is only a timer, and timers do not keep the process: whole commands
// had ended there, without a word and with 13.
describe('a backup that does not answer', () => {
  it.each([
    ['restore', ['restore', 's3://no-bucket/x', path.join(root, 'into')]],
    ['a look into it', ['snapshot', 'ls', '--from', 's3://no-bucket/x']],
  ])('%s says so', async (_, args) => {
    const { code, stdout, stderr } = await runCommand(args, { env: ENV });
    expect([code, stdout]).toEqual([6, '']);
    expect(stderr).toContain('[STORAGE_UNAVAILABLE]');
  });

  it.each([
    ['bucket', 's3://no-bucket/x'],
    ['folder', path.join(root, 'file', 'folder')],
  ])('a node starts without its %s, and ends in order', async (what, place) => {
    writeFileSync(path.join(root, 'file'), '');
    const dir = path.join(root, `data-${what}`);
    const server = new CommandProcess(
      ['serve', dir, '--json', '--port', '0', '--backup', place],
      ENV,
    );
    started.push(server);
    const { url } = JSON.parse(await server.firstLine()) as { url: string };
    const status = await runCommand(['snapshot', 'status', '--json', '--url', url]);
    expect(JSON.parse(status.stdout)).toMatchObject({ archive: { state: 'claiming' } });
    server.child.kill('SIGTERM');
    const { code } = await server.ended;
    expect(code).toBe(0);
  });
});
