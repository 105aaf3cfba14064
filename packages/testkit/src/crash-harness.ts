/**
 * Runs a real child process, kills it with SIGKILL at a random acknowledged operation, starts
 * it again, and keeps the journal of everything it ever acknowledged, so that a check can
 * compare. Serves a child that prints its acknowledgements and a server driven from outside.
 *
 * A child speaks in lines of JSON on stdout. Other lines are kept for the failure message.
 *
 * Invariants
 * 1. The journal holds every acknowledgement that left the child: after the kill its output is
 *    read to the end before anything is checked.
 * 2. No child outlives `runCrashCycles`, however that ends.
 * 3. Every failure names the seed and the cycle.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { SeededRandom } from './seeded-random.ts';

export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One line of JSON from the child. */
export type ChildLine = Readonly<Record<string, unknown>>;

export interface CrashOptions<Ack> {
  readonly random: SeededRandom;
  readonly cycles: number;
  /** The kill comes at one of the first so many acknowledgements of a life. */
  readonly maxAcknowledgements: number;
  readonly command: (cycle: number) => ChildCommand;
  /** The line that says the child is up, e.g. `{"event":"listening","port":4437}`. */
  readonly isReady: (line: ChildLine) => boolean;
  /** The acknowledgement in a line, if it is one. Absent: `drive` acknowledges. */
  readonly acknowledgement?: (line: ChildLine) => Ack | undefined;
  /** Works on the child from outside until it dies. What it throws after the kill is expected. */
  readonly drive?: (child: CrashChild<Ack>) => Promise<void>;
  /** After each restart, before `drive`: everything in the journal must be there. */
  readonly checkRunning?: (child: CrashChild<Ack>, journal: readonly Ack[]) => Promise<void>;
  /** After each kill, with no child running. */
  readonly checkAtRest?: (journal: readonly Ack[], cycle: number) => Promise<void>;
  /** How long a child may take to become ready or to reach its kill. Default 20 s. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 20_000;
const KEPT_OUTPUT_LINES = 40;

/** One life of the child. */
export class CrashChild<Ack> {
  readonly cycle: number;
  readonly pid: number;
  readonly #process: ChildProcessByStdio<null, Readable, Readable>;
  readonly #journal: Ack[];
  readonly #output: string[] = [];
  readonly #ready: Promise<ChildLine>;
  readonly #exited: Promise<void>;
  #killAfter = Infinity;
  #acknowledged = 0;
  #killed = false;

  constructor(cycle: number, options: CrashOptions<Ack>, journal: Ack[]) {
    const { command, args, cwd, env } = options.command(cycle);
    this.cycle = cycle;
    this.#journal = journal;
    this.#process = spawn(command, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.pid = this.#process.pid ?? 0;
    this.#exited = new Promise((resolve) => {
      // `close` comes after the end of the output: I1. A failed spawn gives `error` alone.
      this.#process.once('close', () => resolve());
      this.#process.once('error', (error) => {
        this.#keep(String(error));
        resolve();
      });
    });
    this.#ready = this.#readLines(options);
    this.#ready.catch(() => undefined);
  }

  /** The ready line; rejects when the child ends before it. */
  get ready(): Promise<ChildLine> {
    return this.#ready;
  }

  /** Resolves when the child has ended and its output is read to the end. */
  get exited(): Promise<void> {
    return this.#exited;
  }

  get killed(): boolean {
    return this.#killed;
  }

  /** The last lines it printed, for failure messages. */
  get output(): string {
    return this.#output.join('\n');
  }

  /** SIGKILL at the `count`-th acknowledgement from now. */
  killAfter(count: number): void {
    this.#killAfter = this.#acknowledged + count;
  }

  /** Writes into the journal; kills when its time has come. */
  acknowledge(ack: Ack): void {
    this.#journal.push(ack);
    this.#acknowledged++;
    if (this.#acknowledged >= this.#killAfter) this.kill();
  }

  kill(): void {
    if (this.#killed) return;
    this.#killed = this.#process.kill('SIGKILL');
  }

  #readLines(options: CrashOptions<Ack>): Promise<ChildLine> {
    createInterface({ input: this.#process.stderr }).on('line', (text) => this.#keep(text));
    return new Promise((resolve, reject) => {
      createInterface({ input: this.#process.stdout }).on('line', (text) => {
        const line = parseLine(text);
        const ack = line && options.acknowledgement?.(line);
        if (ack !== undefined) {
          this.acknowledge(ack);
          return;
        }
        this.#keep(text);
        if (line !== undefined && options.isReady(line)) resolve(line);
      });
      void this.#exited.then(() => reject(new Error(`child ended before it was ready`)));
    });
  }

  #keep(text: string): void {
    this.#output.push(text);
    if (this.#output.length > KEPT_OUTPUT_LINES) this.#output.shift();
  }
}

/**
 * Returns the journal of all lives. Rejects with the seed, the cycle and the child's last
 * words when a check fails, or when a child ended by itself: then it never met its kill.
 */
export async function runCrashCycles<Ack>(options: CrashOptions<Ack>): Promise<readonly Ack[]> {
  const journal: Ack[] = [];
  for (let cycle = 0; cycle < options.cycles; cycle++) {
    const child = new CrashChild<Ack>(cycle, options, journal);
    try {
      await runLife(child, options, journal);
      await options.checkAtRest?.(journal, cycle);
    } catch (error) {
      throw new Error(
        `crash cycle failed seed=${options.random.seed} cycle=${cycle} ` +
          `acknowledged=${journal.length}: ${String(error)}\n${child.output}`,
        { cause: error },
      );
    } finally {
      child.kill(); // I2
      await child.exited;
    }
  }
  return journal;
}

async function runLife<Ack>(
  child: CrashChild<Ack>,
  options: CrashOptions<Ack>,
  journal: readonly Ack[],
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  // Drawn first: how many draws a life makes never depends on timing.
  const killAfter = options.random.between(1, options.maxAcknowledgements);
  if (options.acknowledgement !== undefined) child.killAfter(killAfter);
  await within(timeoutMs, 'ready', child.ready);
  await options.checkRunning?.(child, journal);
  if (options.drive !== undefined) {
    child.killAfter(killAfter);
    try {
      await within(timeoutMs, 'kill', options.drive(child));
    } catch (error) {
      if (!child.killed) throw error;
    }
    child.kill();
  }
  await within(timeoutMs, 'end', child.exited);
  if (!child.killed) throw new Error('child ended by itself');
}

function parseLine(text: string): ChildLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as ChildLine;
  } catch {
    return undefined; // cut off by the kill
  }
}

async function within<Result>(
  timeoutMs: number,
  what: string,
  promise: Promise<Result>,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`child took too long to reach: ${what} timeoutMs=${timeoutMs}`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
