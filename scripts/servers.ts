/**
 * `npm run servers -- check` says which of the real servers that tests run against are here;
 * `npm run servers -- install` brings those that are missing: Postgres, Redis and NATS from Debian's
 * packages, the S3 server as `npm run s3-server` does.
 */
import { spawnSync } from 'node:child_process';
import { findRealNats, findRealPostgres, findRealRedis, findRealS3Server } from '@holdfast/testkit';

interface RealProgram {
  readonly name: string;
  readonly find: () => string | undefined;
  readonly install: readonly [command: string, ...args: string[]];
}

function debian(name: string): RealProgram['install'] {
  return ['apt-get', 'install', '-y', '-qq', '--no-install-recommends', name];
}

const PROGRAMS: readonly RealProgram[] = [
  { name: 'Postgres', find: findRealPostgres, install: debian('postgresql') },
  { name: 'Redis', find: findRealRedis, install: debian('redis-server') },
  { name: 'NATS', find: findRealNats, install: debian('nats-server') },
  { name: 'S3', find: findRealS3Server, install: ['npm', 'run', 's3-server', '--', 'install'] },
];

const [command] = process.argv.slice(2);
if (command === 'install') install();
else if (command !== 'check') fail('npm run servers -- check|install');
if (process.exitCode === undefined) check();

function install(): void {
  for (const { name, find, install } of PROGRAMS) {
    if (find() !== undefined) continue;
    const [program, ...args] = install;
    const run = spawnSync(program, args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    if (run.status !== 0) fail(`${name} could not be installed: ${install.join(' ')}`);
  }
}

function check(): void {
  for (const { name, find } of PROGRAMS) {
    const place = find();
    console.log(`${name}: ${place ?? 'missing; its tests are skipped'}`);
    if (place === undefined) process.exitCode = 1;
  }
}

function fail(message: string): void {
  console.error(message);
  process.exitCode = 1;
}
