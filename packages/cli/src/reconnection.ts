/**
 * What a command that follows a node does when its connection ends: it waits, longer each time, and
 * tells people once.
 */
import { LIMITS } from '@holdfast/core';
import { asCommandError } from './command-error.ts';
import type { CommandCall } from './command.ts';
import { OutputClosed } from './console-io.ts';
import { EXIT } from './exit-codes.ts';

/** Beyond it the pause grows no more. */
const MOST_FAILURES = 16;

export class Reconnection {
  readonly #io: CommandCall['io'];
  readonly #signal: AbortSignal;
  #failures = 0;

  constructor(io: CommandCall['io'], signal: AbortSignal) {
    this.#io = io;
    this.#signal = signal;
  }

  /** Something came: the next pause is the first again. */
  heard(): void {
    this.#failures = 0;
  }

  /** Waits before the next attempt. Throws what waiting will not change. */
  async after(error: unknown): Promise<void> {
    if (this.#signal.aborted || error instanceof OutputClosed) throw error;
    const known = asCommandError(error);
    const broken = known.code === 'FAILURE' && error instanceof TypeError; // cut in mid-answer
    if (known.exitCode !== EXIT.unavailable && !broken) throw error;
    if (this.#failures === 0) {
      this.#io.err(`connection lost (${known.message}), trying again\n`);
    }
    await this.pause();
  }

  async pause(): Promise<void> {
    const pause = Math.min(LIMITS.maxReconnectMs, LIMITS.reconnectMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, MOST_FAILURES);
    await this.#io.sleep(pause, this.#signal);
  }
}

/** Runs until it ends, or Ctrl-C ends it, which is no failure. */
export async function untilInterrupted(
  { io }: CommandCall,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const forget = io.onInterrupt(() => stop.abort());
  try {
    await run(stop.signal);
  } catch (error) {
    if (!stop.signal.aborted || error instanceof OutputClosed) throw error;
  } finally {
    forget();
  }
}
