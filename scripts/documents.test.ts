/**
 * Runs the command blocks of README and docs as a reader would, in one terminal, in order, each
 * document from a clean data directory. Only ports, directories and the bucket are other ones, so
 * that nothing is disturbed.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findRealPostgres, findRealS3Server, RealPostgres, RealS3Server } from '@holdfast/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { type CommandBlock, commandBlocks, type NeededServer } from './command-blocks.ts';

const ROOT = join(import.meta.dirname, '..');
const READY_WITHIN_MS = 120_000;
/** What documents call the directory that everything is in, the bucket, and the Postgres. */
const SHOWN_DIRECTORY = '/srv/holdfast';
const SHOWN_BUCKET = 'my-bucket';
const SHOWN_POSTGRES = 'db.example:5432';
const SHOWN_PORTS = ['4437', '4438', '4439'];
const PROGRAMS: Readonly<Record<NeededServer, string | undefined>> = {
  s3: findRealS3Server(ROOT),
  postgres: findRealPostgres(),
};
const INSTALL: Readonly<Record<NeededServer, string>> = {
  s3: 'an S3 server: npm run s3-server -- install',
  postgres: 'a Postgres: apt-get install postgresql',
};
const run = promisify(execFile);

interface Reading {
  readonly env: NodeJS.ProcessEnv;
  readonly dir: string;
  readonly running: ChildProcess[];
  readonly servers: readonly { stop(): Promise<void> }[];
  /** What stands in the document, and what is used instead. */
  readonly instead: ReadonlyMap<string, string>;
}

let reading: Reading | undefined;

afterEach(async () => {
  for (const child of reading?.running ?? []) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    interrupt(child);
    await ended;
  }
  for (const server of reading?.servers ?? []) await server.stop();
  if (reading !== undefined) await rm(reading.dir, { recursive: true, force: true });
  reading = undefined;
});

describe('documents', async () => {
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  for (const document of ['README.md', ...docs.map((name) => `docs/${name}`)]) {
    const blocks = commandBlocks(await readFile(join(ROOT, document), 'utf8'));
    const tagged = blocks.filter((block) => block.tag.kind === 'run');
    const runnable = tagged.filter((block) => {
      const server = neededBy(block);
      return server === undefined || PROGRAMS[server] !== undefined;
    });
    if (tagged.length === 0) continue;
    for (const server of neededServers(tagged)) {
      const count = tagged.filter((block) => neededBy(block) === server).length;
      if (PROGRAMS[server] !== undefined) continue;
      console.warn(`${document}: ${count} blocks need ${INSTALL[server]}`);
    }
    it(`${document}: ${runnable.length} command blocks do what they say`, async () => {
      reading = await begin(neededServers(runnable));
      for (const block of runnable) await follow(reading, document, block);
    }, 300_000);
  }

  it('the README has commands', async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
    expect(commandBlocks(readme).filter(({ tag }) => tag.kind === 'run').length).toBeGreaterThan(2);
  });
});

function neededBy({ tag }: CommandBlock): NeededServer | undefined {
  return tag.kind === 'run' ? tag.needs : undefined;
}

function neededServers(blocks: readonly CommandBlock[]): ReadonlySet<NeededServer> {
  return new Set(blocks.map(neededBy).filter((server) => server !== undefined));
}

async function begin(needed: ReadonlySet<NeededServer>): Promise<Reading> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-docs-'));
  await chmod(dir, 0o755); // a Postgres that root starts runs as somebody else
  const s3 = needed.has('s3') ? await startS3(join(dir, 's3')) : undefined;
  const postgres = needed.has('postgres') ? await startPostgres(join(dir, 'postgres')) : undefined;
  const instead = new Map([[SHOWN_DIRECTORY, join(dir, 'holdfast')]]);
  if (s3 !== undefined) instead.set(SHOWN_BUCKET, s3.bucket);
  if (postgres !== undefined) instead.set(SHOWN_POSTGRES, new URL(postgres.url).host);
  for (const port of SHOWN_PORTS) instead.set(port, String(await freePort()));
  const port = instead.get('4437');
  const env = {
    ...process.env,
    NODE_OPTIONS: '',
    HOLDFAST_PORT: port,
    HOLDFAST_DIR: join(dir, 'data'),
    HOLDFAST_URL: `http://127.0.0.1:${port}`,
    ...(s3 === undefined ? {} : s3Environment(s3)),
  };
  const servers = [s3, postgres].filter((server) => server !== undefined);
  return { env, dir, running: [], servers, instead };
}

async function startS3(directory: string): Promise<RealS3Server> {
  await mkdir(directory);
  return RealS3Server.start({ program: PROGRAMS.s3 ?? '', directory });
}

async function startPostgres(directory: string): Promise<RealPostgres> {
  await mkdir(directory);
  return RealPostgres.start(PROGRAMS.postgres ?? '', directory);
}

/** What the reader's own environment says of the reader's own bucket. */
function s3Environment({ endpoint, region, credentials }: RealS3Server): NodeJS.ProcessEnv {
  return {
    HOLDFAST_BACKUP_ENDPOINT: endpoint,
    HOLDFAST_BACKUP_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
}

async function follow(state: Reading, document: string, block: CommandBlock): Promise<void> {
  let { text } = block;
  for (const [shown, used] of state.instead) text = text.replaceAll(shown, used);
  if (block.tag.kind === 'run' && block.tag.background) {
    const child = spawn(
      'bash',
      ['-euo', 'pipefail', '-c', await continued(state, `exec ${text}`)],
      {
        cwd: ROOT,
        env: state.env,
        stdio: 'ignore',
        detached: true, // a terminal, too, interrupts all that a command started
      },
    );
    state.running.push(child);
    const port = /--port (\d+)/.exec(text)?.[1] ?? state.env['HOLDFAST_PORT'];
    await ready(Number(port), child);
    return;
  }
  try {
    const script = `${await continued(state, text)}\nexport -p > ${variablesOf(state)}`;
    await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: ROOT, env: state.env });
  } catch (cause) {
    throw new Error(`${document}:${block.line} failed`, { cause });
  }
}

/** With the variables that earlier blocks exported. */
async function continued(state: Reading, text: string): Promise<string> {
  await writeFile(variablesOf(state), '', { flag: 'a' });
  return `source ${variablesOf(state)}\n${text}`;
}

function variablesOf({ dir }: Reading): string {
  return join(dir, 'variables');
}

function interrupt(child: ChildProcess): void {
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
}

async function ready(port: number, child: ChildProcess): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (Date.now() > until) throw new Error('it never became ready');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('no port'));
      });
    });
  });
}
