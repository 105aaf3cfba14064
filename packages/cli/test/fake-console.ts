/** A console in memory, for commands that run without a process. */
import type { ConsoleIo } from '../src/console-io.ts';

export class FakeConsole implements ConsoleIo {
  readonly env: Record<string, string | undefined> = {};
  stdoutIsTerminal = false;
  stderrIsTerminal = false;
  stdinIsTerminal = false;
  columns = 80;
  readonly pid = 1;
  input: Uint8Array[] = [];
  answer = '';
  readonly files = new Map<string, string>();
  readonly #out: Buffer[] = [];
  #err = '';
  #interrupt: (() => void) | undefined;

  get stdoutText(): string {
    return Buffer.concat(this.#out).toString('utf8');
  }

  get stderrText(): string {
    return this.#err;
  }

  out(data: string | Uint8Array): Promise<void> {
    this.#out.push(Buffer.from(data));
    return Promise.resolve();
  }

  err(text: string): void {
    this.#err += text;
  }

  async *stdin(): AsyncGenerator<Uint8Array> {
    yield* this.input;
  }

  async *readFile(path: string): AsyncGenerator<Uint8Array> {
    const text = this.files.get(path);
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    yield Buffer.from(text);
  }

  ask(): Promise<string> {
    return Promise.resolve(this.answer);
  }

  sleep(): Promise<void> {
    return Promise.resolve();
  }

  onInterrupt(listener: () => void): () => void {
    this.#interrupt = listener;
    return () => (this.#interrupt = undefined);
  }

  interrupt(): void {
    this.#interrupt?.();
  }
}
