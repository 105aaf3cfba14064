/** The real console. One of the few files that may touch files, timers and the process. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { OutputClosed, type ConsoleIo } from './console-io.ts';

const DEFAULT_COLUMNS = 80;

/** @param exitNow for the second signal: what the first one started is not waited for. */
export class NodeConsoleIo implements ConsoleIo {
  readonly env: Readonly<Record<string, string | undefined>> = process.env;
  readonly stdoutIsTerminal: boolean = isatty(1);
  readonly stderrIsTerminal: boolean = isatty(2);
  readonly stdinIsTerminal: boolean = isatty(0);
  readonly pid: number = process.pid;
  readonly #exitNow: () => void;
  #outputClosed = false;

  constructor(exitNow: () => void) {
    this.#exitNow = exitNow;
    process.stdout.on('error', () => {
      this.#outputClosed = true;
    });
    process.stderr.on('error', () => undefined);
  }

  get columns(): number {
    return process.stderr.columns || DEFAULT_COLUMNS; // 0 where the terminal does not say
  }

  out(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#outputClosed) {
        reject(new OutputClosed());
        return;
      }
      process.stdout.write(data, (error) => {
        if (error) reject(new OutputClosed());
        else resolve();
      });
    });
  }

  err(text: string): void {
    process.stderr.write(text);
  }

  stdin(): AsyncIterable<Uint8Array> {
    return process.stdin as AsyncIterable<Uint8Array>;
  }

  readFile(path: string): AsyncIterable<Uint8Array> {
    return createReadStream(path) as AsyncIterable<Uint8Array>;
  }

  async ask(question: string): Promise<string> {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await terminal.question(question);
    } finally {
      terminal.close();
    }
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return wait(delayMs, undefined, signal === undefined ? {} : { signal });
  }

  onInterrupt(listener: () => void): () => void {
    let heard = false;
    const hear = (): void => {
      if (heard) this.#exitNow();
      heard = true;
      listener();
    };
    process.on('SIGINT', hear);
    process.on('SIGTERM', hear);
    return () => {
      process.off('SIGINT', hear);
      process.off('SIGTERM', hear);
    };
  }
}
