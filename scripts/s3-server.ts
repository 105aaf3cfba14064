/**
 * `npm run s3-server -- install` brings the real S3 server that tests run against (versitygw, a Go
 * program, into `node_modules/.cache`). `npm run s3-server -- start` runs it on a free port until
 * it is interrupted, and prints as one line of JSON where it is and who may speak to it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRealS3Server, REAL_S3_FOLDER, RealS3Server } from '@holdfast/testkit';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const ROOT = fileURLToPath(new URL('..', import.meta.url));

const [command] = process.argv.slice(2);
if (command === 'install') install();
else if (command === 'start') await start();
else fail('npm run s3-server -- install|start');

function install(): void {
  const folder = path.resolve(ROOT, REAL_S3_FOLDER);
  mkdirSync(folder, { recursive: true });
  const run = spawnSync('go', ['install', MODULE], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, GOBIN: folder, CGO_ENABLED: '0' },
  });
  if (run.error !== undefined) fail(`Go 1.25 or newer is needed: ${run.error.message}`);
  if (run.status !== 0) fail('go install failed');
  console.log(findRealS3Server(ROOT));
}

async function start(): Promise<void> {
  const program = findRealS3Server(ROOT);
  if (program === undefined) return fail('not installed: npm run s3-server -- install');
  const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-s3-'));
  const server = await RealS3Server.start({ program, directory });
  const { endpoint, bucket, region, credentials, pid } = server;
  console.log(JSON.stringify({ endpoint, bucket, region, ...credentials, pid }));
  const alive = setInterval(() => undefined, 2 ** 30);
  const stop = async (): Promise<void> => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
    clearInterval(alive);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
}

function fail(message: string): void {
  console.error(message);
  process.exitCode = 1;
}
