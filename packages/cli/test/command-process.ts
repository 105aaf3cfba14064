/** The real command as a child process, from source. No child outlives the test process. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

const running = new Set<ChildProcessWithoutNullStreams>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class CommandProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<CommandResult>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(
      process.execPath,
      ['--import', 'tsx', '--conditions', 'x-source', MAIN, ...args],
      { cwd: REPOSITORY, env: { ...process.env, NODE_OPTIONS: '', ...env } },
    );
    running.add(this.child);
    this.child.stdin.on('error', () => undefined);
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        running.delete(this.child);
        resolve({ code, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves once `mark` was written to either output; rejects when the process ends before. */
  async seen(mark: string): Promise<void> {
    let over = false;
    void this.ended.then(() => (over = true));
    while (!this.#stdout.includes(mark) && !this.#stderr.includes(mark)) {
      if (over) throw new Error(`ended before "${mark}": ${this.#stdout}${this.#stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The first line of standard output, without its end. */
  async firstLine(): Promise<string> {
    let over = false;
    void this.ended.then(() => (over = true));
    while (!this.#stdout.includes('\n')) {
      if (over) throw new Error(`ended without a line: ${this.#stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return this.#stdout.slice(0, this.#stdout.indexOf('\n'));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

export async function runCommand(
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandResult> {
  const command = new CommandProcess(args, options.env);
  command.child.stdin.end(options.input ?? '');
  return command.ended;
}
