/**
 * A real S3 server in a process of its own, for tests: versitygw over a folder. It can be killed
 * and started again with the same objects at the same address.
 *
 * `npm run s3-server -- install` brings the program; `findRealS3Server` says where it is.
 *
 * Owner: the test. `stop` ends the process by its id and waits for its end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { delimiter, join, resolve } from 'node:path';

export const REAL_S3_SERVER = 'versitygw';
/** Below the root of the repository. */
export const REAL_S3_FOLDER: string = join('node_modules', '.cache', 's3-server');

export interface RealS3Options {
  /** The program. */
  readonly program: string;
  /** An existing folder of this server alone. */
  readonly directory: string;
  /** Default: a free one. */
  readonly port?: number;
}

const START_MS = 20_000;
const LOOK_MS = 25;
const SHOWN_OUTPUT = 2_000;

/** `HOLDFAST_S3_SERVER`, the installed one, or one on the `PATH`; `undefined` when there is none. */
export function findRealS3Server(root: string = process.cwd()): string | undefined {
  const named = process.env['HOLDFAST_S3_SERVER'];
  if (named !== undefined && named !== '') return named;
  const folders = [
    resolve(root, REAL_S3_FOLDER),
    ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
  ];
  return folders.map((folder) => join(folder, REAL_S3_SERVER)).find(isProgram);
}

export class RealS3Server {
  readonly bucket = 'test-bucket';
  readonly region = 'us-east-1';
  readonly credentials = { accessKeyId: 'REALACCESSKEY', secretAccessKey: 'real/secret+key' };
  readonly endpoint: string;
  readonly #options: RealS3Options & { readonly port: number };
  #child: ChildProcess | undefined;
  #output = '';

  private constructor(options: RealS3Options & { readonly port: number }) {
    this.#options = options;
    this.endpoint = `http://127.0.0.1:${options.port}`;
  }

  static async start(options: RealS3Options): Promise<RealS3Server> {
    const server = new RealS3Server({ ...options, port: options.port ?? (await freePort()) });
    // A folder below the root is a bucket.
    mkdirSync(join(options.directory, 'buckets', server.bucket), { recursive: true });
    mkdirSync(join(options.directory, 'sidecar'), { recursive: true });
    await server.restart();
    return server;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process that was killed or stopped, and waits until it answers. */
  async restart(): Promise<void> {
    if (this.#child !== undefined) throw new Error('the server runs already');
    const { program, directory, port } = this.#options;
    const args = [
      '--port',
      `127.0.0.1:${port}`,
      '--region',
      this.region,
      '--keep-alive',
      '--quiet',
    ];
    const posix = ['posix', '--sidecar', join(directory, 'sidecar'), join(directory, 'buckets')];
    const child = spawn(program, [...args, ...posix], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        ROOT_ACCESS_KEY: this.credentials.accessKeyId,
        ROOT_SECRET_KEY: this.credentials.secretAccessKey,
      },
    });
    this.#child = child;
    const hear = (piece: Buffer): void => {
      this.#output = (this.#output + piece.toString()).slice(-SHOWN_OUTPUT);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => hear(Buffer.from(String(error))));
    const untilMs = Date.now() + START_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null || child.pid === undefined || Date.now() > untilMs) {
        await this.stop();
        throw new Error(`the S3 server did not start: ${this.#output}`);
      }
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }

  /** `kill -9`. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Idempotent. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.pid === undefined) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await ended;
  }

  /** Any answer: without a signature it is a refusal. */
  async #answers(): Promise<boolean> {
    try {
      await fetch(this.endpoint);
      return true;
    } catch {
      return false;
    }
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
