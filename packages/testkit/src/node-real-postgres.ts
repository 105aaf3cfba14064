/** A real Postgres for tests; see `RealServer`. Debian: `postgresql`. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  findProgram,
  freeLoopbackPort,
  RealServer,
  type ServerProcess,
} from './node-real-server.ts';

const VERSIONS = '/usr/lib/postgresql';

/** `undefined` when there is none. */
export function findRealPostgres(): string | undefined {
  return findProgram('postgres', binFolders());
}

export class RealPostgres extends RealServer {
  readonly url: string;

  private constructor(port: number, process: ServerProcess) {
    const isReady = join(dirname(process.program), 'pg_isready');
    super(port, {
      process: () => process,
      answers: async () => succeeds(isReady, ['-q', '-h', '127.0.0.1', '-p', String(port)]),
      stopSignal: 'SIGINT',
    });
    this.url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  }

  /** @param directory an existing folder of this server alone. */
  static async start(program: string, directory: string): Promise<RealPostgres> {
    const port = await freeLoopbackPort();
    // It refuses to run as root.
    const user = process.getuid?.() === 0 ? userOf('postgres') : undefined;
    initialize(program, directory, user);
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: join(directory, 'sockets'),
      shared_buffers: '16MB',
      max_connections: '60',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const args = ['-D', join(directory, 'data'), '-p', String(port), ...options];
    const server = new RealPostgres(port, { program, args, user });
    await server.restart();
    return server;
  }
}

function initialize(program: string, directory: string, user: ServerProcess['user']): void {
  // The folder of a test is its owner's alone: others have to get through it.
  if (user !== undefined) chmodSync(directory, 0o755);
  for (const name of ['data', 'sockets']) {
    const folder = join(directory, name);
    mkdirSync(folder, { mode: 0o700 });
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
  }
  const initdb = join(dirname(program), 'initdb');
  const data = join(directory, 'data');
  const args = ['-D', data, '-U', 'postgres', '--auth=trust', '-N', '--no-instructions'];
  execFileSync(initdb, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', ...user });
}

function succeeds(program: string, args: readonly string[]): boolean {
  try {
    execFileSync(program, args);
    return true;
  } catch {
    return false;
  }
}

/** The newest version first. */
function binFolders(): string[] {
  try {
    const versions = readdirSync(VERSIONS).toSorted((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(VERSIONS, version, 'bin'));
  } catch {
    return [];
  }
}

function userOf(name: string): { uid: number; gid: number } {
  const number = (flag: string): number =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8' }));
  return { uid: number('-u'), gid: number('-g') };
}
