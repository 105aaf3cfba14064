/**
 * A server under measurement: ours, or one of the two ways of the npm server, each as a plain
 * Node process of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { headerOf, LoadConnection, requestBytes, type Answer } from './load-connection.ts';
import { now, residentMiB } from './measure.ts';

export type TargetName = 'holdfast' | 'npm-file' | 'npm-memory';

export const PREFIX = '/v1/stream/';
export const OCTETS = { 'Content-Type': 'application/octet-stream' } as const;
export const JSON_TYPE = { 'Content-Type': 'application/json' } as const;

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MAIN = path.join(HERE, '../packages/cli');
const START_TIMEOUT_MS = 120_000;

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface TargetOptions {
  readonly name: TargetName;
  readonly directory: string;
  /** Ours from source instead of from the build: for the smoke test. */
  readonly source: boolean;
  /** Another built checkout of ours; absent: this one. */
  readonly checkout?: string;
  /** More arguments of Node, e.g. a profiler. */
  readonly nodeArgs?: readonly string[];
  /** More arguments of `holdfast serve`. */
  readonly serveArgs?: readonly string[];
}

export class BenchTarget {
  readonly name: TargetName;
  readonly #options: TargetOptions;
  #child: ChildProcess | undefined;
  port = 0;
  peakMiB = 0;
  #sampler: NodeJS.Timeout | undefined;

  constructor(options: TargetOptions) {
    this.name = options.name;
    this.#options = options;
    mkdirSync(options.directory, { recursive: true });
  }

  /** The same kind of server on a directory of its own. */
  another(): BenchTarget {
    return new BenchTarget({ ...this.#options, directory: `${this.#options.directory}-other` });
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  /** Milliseconds until it answered a request. */
  async start(): Promise<number> {
    const begun = now();
    const child = spawn(process.execPath, this.#arguments(), {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', NODE_ENV: 'production' },
    });
    this.#child = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    const line = await firstLine(child, this.name);
    this.port = Number(new URL((JSON.parse(line) as { url: string }).url).port);
    await this.once('HEAD', 'started');
    const elapsed = now() - begun;
    this.#sampler = setInterval(() => this.#sample(), 100).unref();
    return elapsed;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    clearInterval(this.#sampler);
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
    await ended;
    clearTimeout(timer);
  }

  removeDirectory(): void {
    rmSync(this.#options.directory, { recursive: true, force: true });
  }

  /** One request on a connection of its own. */
  async once(
    method: string,
    stream: string,
    headers: Record<string, string> = {},
    body?: Uint8Array | string,
  ): Promise<Answer> {
    const connection = await LoadConnection.open(this.port);
    try {
      return await connection.send(
        requestBytes(method, PREFIX + stream, headers, body),
        method === 'HEAD',
      );
    } finally {
      connection.close();
    }
  }

  /** Makes a stream; gives its first offset. */
  async create(stream: string, headers: Record<string, string> = OCTETS): Promise<string> {
    const answer = await this.once('PUT', stream, headers);
    if (answer.status !== 201) throw new Error(`${this.name}: PUT ${stream}: ${answer.status}`);
    return headerOf(answer.head, 'stream-next-offset') ?? '';
  }

  async removeStream(stream: string): Promise<void> {
    await this.once('DELETE', stream);
  }

  #sample(): void {
    try {
      this.peakMiB = Math.max(this.peakMiB, residentMiB(this.pid));
    } catch {
      // It has just ended.
    }
  }

  #arguments(): string[] {
    const { name, directory, source, checkout, nodeArgs = [], serveArgs = [] } = this.#options;
    const main = checkout === undefined ? MAIN : path.join(checkout, 'packages/cli');
    const serve = ['--port', '0', '--json', ...serveArgs];
    if (name !== 'holdfast') {
      const where = name === 'npm-file' ? directory : '--memory';
      return [...nodeArgs, path.join(HERE, 'npm-server.mjs'), where];
    }
    if (!source)
      return [...nodeArgs, path.join(main, 'dist/main.js'), 'serve', directory, ...serve];
    const loader = ['--conditions', 'x-source', '--import', 'tsx'];
    return [...nodeArgs, ...loader, path.join(main, 'src/main.ts'), 'serve', directory, ...serve];
  }
}

function firstLine(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`${name} did not start`)), START_TIMEOUT_MS);
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`${name} ended with ${code}`));
    });
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!text.includes('\n')) return;
      clearTimeout(timer);
      resolve(text.slice(0, text.indexOf('\n')));
    });
  });
}
