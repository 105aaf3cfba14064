/**
 * A real server in a process of its own, for tests: started on a free loopback port over a folder,
 * killed and started again with the same data at the same address.
 *
 * `npm run servers -- install` brings the programs; where one is missing its tests are skipped.
 *
 * Owner: the test. `stop` ends the process by its id and waits for its end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { delimiter, join } from 'node:path';

const START_MS = 30_000;
const LOOK_MS = 25;
const SILENT_MS = 300;
const SHOWN_OUTPUT = 2_000;

export interface ServerProcess {
  readonly program: string;
  readonly args: readonly string[];
  /** Whose process it is; default: ours. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

/** What differs between servers. */
export interface ServerKind {
  process(): ServerProcess;
  answers(): Promise<boolean>;
  /** Ends it in good order. */
  readonly stopSignal: NodeJS.Signals;
}

export class RealServer {
  readonly port: number;
  readonly #kind: ServerKind;
  #child: ChildProcess | undefined;
  #output = '';

  constructor(port: number, kind: ServerKind) {
    this.port = port;
    this.#kind = kind;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process that was killed or stopped, and waits until it answers. */
  async restart(): Promise<void> {
    if (this.#child !== undefined) throw new Error('the server runs already');
    const untilMs = Date.now() + START_MS;
    for (;;) {
      const child = this.#spawn();
      this.#child = child;
      while (isRunning(child) && Date.now() < untilMs) {
        if (await this.#kind.answers()) return;
        await pause();
      }
      await this.stop();
      // Where it was killed, what it left may still be ending.
      if (Date.now() > untilMs) throw new Error(`the server did not start: ${this.#output}`);
      await pause();
    }
  }

  /** `kill -9`. */
  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  /** Idempotent. */
  stop(): Promise<void> {
    return this.#end(this.#kind.stopSignal);
  }

  /** Nothing is answered from when this resolves until `resume`: the connections stay. */
  async pause(): Promise<void> {
    this.#child?.kill('SIGSTOP');
    // Threads under way stop a moment later.
    const silent = (): Promise<boolean> => pause(SILENT_MS).then(() => false);
    while (await Promise.race([this.#kind.answers(), silent()])) await pause();
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  #spawn(): ChildProcess {
    const { program, args, user } = this.#kind.process();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...user });
    const hear = (piece: Buffer): void => {
      this.#output = (this.#output + piece.toString()).slice(-SHOWN_OUTPUT);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => hear(Buffer.from(String(error))));
    return child;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || !isRunning(child)) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    child.kill('SIGCONT');
    await ended;
  }
}

export async function freeLoopbackPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** The first of these folders, then of the `PATH`, that holds the program. */
export function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const path = (process.env['PATH'] ?? '').split(delimiter);
  // Where Debian keeps servers, also for who is not root.
  return [...folders, ...path, '/usr/sbin']
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isProgram);
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function pause(forMs = LOOK_MS): Promise<void> {
  return new Promise((done) => setTimeout(done, forMs));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
