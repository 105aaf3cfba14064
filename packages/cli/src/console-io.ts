/**
 * What a command may touch of the world outside: a seam, so that commands run in tests without
 * a process. Standard output is data; everything else goes to standard error.
 */
export interface ConsoleIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  readonly stdinIsTerminal: boolean;
  /** Of the terminal behind standard error, now. */
  readonly columns: number;
  /** Resolves when more may be written. A reader that has gone ends the command quietly. */
  out(data: string | Uint8Array): Promise<void>;
  /** Standard error, as it is. */
  err(text: string): void;
  stdin(): AsyncIterable<Uint8Array>;
  readFile(path: string): AsyncIterable<Uint8Array>;
  /** Asks on the terminal. */
  ask(question: string): Promise<string>;
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Hears the first SIGINT or SIGTERM; a second one ends the process at once. */
  onInterrupt(listener: () => void): () => void;
  readonly pid: number;
}

/** The reader of standard output went away (`| head`): not an error. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}
