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
  readonly #program: string;
  readonly #directory: string;
  readonly #user: ServerProcess['user'];

  private constructor(port: number, program: string, directory: string) {
    super(port);
    this.#program = program;
    this.#directory = directory;
    this.#user = process.getuid?.() === 0 ? userOf('postgres') : undefined;
    this.url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  }

  /** @param directory an existing folder of this server alone. */
  static async start(program: string, directory: string): Promise<RealPostgres> {
    const server = new RealPostgres(await freeLoopbackPort(), program, directory);
    server.#initialize();
    await server.restart();
    return server;
  }

  protected override process(): ServerProcess {
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: join(this.#directory, 'sockets'),
      shared_buffers: '16MB',
      max_connections: '60',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return {
      program: this.#program,
      args: ['-D', join(this.#directory, 'data'), '-p', String(this.port), ...args],
      user: this.#user,
    };
  }

  protected override async answers(): Promise<boolean> {
    try {
      const program = join(dirname(this.#program), 'pg_isready');
      execFileSync(program, ['-q', '-h', '127.0.0.1', '-p', String(this.port)]);
      return true;
    } catch {
      return false;
    }
  }

  protected override stopSignal(): NodeJS.Signals {
    return 'SIGINT';
  }

  /** It refuses to run as root. */
  #initialize(): void {
    const user = this.#user;
    // The folder of a test is its owner's alone: others have to get through it.
    if (user !== undefined) chmodSync(this.#directory, 0o755);
    for (const name of ['data', 'sockets']) {
      const folder = join(this.#directory, name);
      mkdirSync(folder, { mode: 0o700 });
      if (user !== undefined) chownSync(folder, user.uid, user.gid);
    }
    const program = join(dirname(this.#program), 'initdb');
    const data = join(this.#directory, 'data');
    const args = ['-D', data, '-U', 'postgres', '--auth=trust', '-N', '--no-instructions'];
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/', ...user });
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
