/**
 * The real server as a child process: the `holdfast serve` command from source, on a directory
 * or in memory. Every suite of this folder starts it through here.
 *
 * Invariants
 * 1. `start` returns after the server's JSON line, so `url` answers.
 * 2. A restart keeps the directory and the port: clients that hold the URL go on.
 * 3. No child outlives the test process, and no directory made here outlives its server.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface ServerSettings {
  /** Absent and not `memory`: a new temporary directory, removed by `dispose`. */
  readonly dataDir?: string;
  readonly memory?: boolean;
  /** More arguments of `serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly longPollTimeoutMs?: number;
  /** Another program that takes the arguments of `serve` and prints the same first line. */
  readonly command?: readonly string[];
}

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STDERR_KEPT_CHARS = 16_384;

/** Another command with the same arguments can be put under the suites, to judge the suites. */
function serverCommand(): string[] {
  const other = process.env['HOLDFAST_TEST_COMMAND'];
  if (other !== undefined) return other.split(' ');
  const main = path.join(REPOSITORY, 'packages/cli/src/main.ts');
  return [process.execPath, '--conditions', 'x-source', '--import', 'tsx', main];
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class ServerProcess {
  readonly dataDir: string | undefined;
  readonly #settings: ServerSettings;
  readonly #ownsDirectory: boolean;
  #child: ChildProcess | undefined;
  #url = '';
  #port = 0;
  #stderr = '';

  private constructor(settings: ServerSettings) {
    this.#settings = settings;
    this.#ownsDirectory = settings.memory !== true && settings.dataDir === undefined;
    if (settings.memory === true) this.dataDir = undefined;
    else this.dataDir = settings.dataDir ?? mkdtempSync(path.join(tmpdir(), 'holdfast-server-'));
  }

  static async start(settings: ServerSettings = {}): Promise<ServerProcess> {
    const server = new ServerProcess(settings);
    try {
      await server.#launch();
    } catch (error) {
      await server.dispose();
      throw error;
    }
    return server;
  }

  /** `http://127.0.0.1:<port>`, without a slash behind. */
  get url(): string {
    return this.#url;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  get running(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** What the server wrote to stderr lately. */
  get stderr(): string {
    return this.#stderr;
  }

  stream(name: string): string {
    return `${this.#url}/v1/stream/${name}`;
  }

  /** Power off: nothing of the process survives but what it had given to the kernel. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** A clean stop; resolves with the exit code. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Sends a signal and waits for nothing. */
  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** How the process ended by itself, or by a signal sent with `signal`. */
  async ended(): Promise<{ readonly code: number | null; readonly signal: string | null }> {
    const child = this.#child;
    if (child === undefined) throw new Error('the server does not run');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    this.#child = undefined;
    return { code: child.exitCode, signal: child.signalCode };
  }

  /**
   * Starts it and kills it `delayMs` after it has written `mark` to stderr, ready or not.
   * Resolves with whether it had become ready.
   */
  async killDuringStart(mark: string, delayMs: number): Promise<boolean> {
    let isReady = false;
    const starting = this.#launch().then(
      () => (isReady = true),
      () => undefined, // it was killed
    );
    const child = this.#child as ChildProcess;
    while (!this.#stderr.includes(mark)) await once(child.stderr as Readable, 'data');
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const wasReady = isReady;
    await this.kill();
    await starting;
    return wasReady;
  }

  /** Starts again on the same directory and port. */
  async restart(): Promise<void> {
    if (this.running) throw new Error('stop or kill the server first');
    await this.#launch();
  }

  async dispose(): Promise<void> {
    await this.#end('SIGKILL');
    if (this.#ownsDirectory && this.dataDir !== undefined) {
      rmSync(this.dataDir, { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return null;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return ended;
  }

  async #launch(): Promise<void> {
    const [command, ...head] = this.#settings.command ?? serverCommand();
    const where = this.dataDir === undefined ? ['--memory'] : [this.dataDir];
    const timeout = String(this.#settings.longPollTimeoutMs ?? 2_000);
    const child = spawn(
      command as string,
      [
        ...head,
        'serve',
        ...where,
        '--json',
        '--port',
        String(this.#port),
        '--long-poll-timeout-ms',
        timeout,
        ...(this.#settings.args ?? []),
      ],
      {
        cwd: REPOSITORY,
        env: { ...process.env, NODE_OPTIONS: '', ...this.#settings.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#child = child;
    this.#stderr = '';
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT_CHARS);
    });
    const line = await this.#firstLine(child);
    const announced = JSON.parse(line) as { url: string };
    this.#url = announced.url.replace(/\/+$/, '');
    this.#port = Number(new URL(this.#url).port);
  }

  #firstLine(child: ChildProcess): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = '';
      const fail = (reason: string): void => {
        clearTimeout(timer);
        child.kill('SIGKILL');
        reject(new Error(`the server did not start: ${reason}\n${this.#stderr}`));
      };
      const timer = setTimeout(() => fail('no line in time'), START_TIMEOUT_MS);
      child.once('error', (error) => fail(error.message));
      child.once('close', (code, signal) => fail(`exit ${code ?? signal}`));
      child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        const end = text.indexOf('\n');
        if (end < 0) return;
        clearTimeout(timer);
        child.removeAllListeners('close');
        resolve(text.slice(0, end));
      });
    });
  }
}
