/**
 * Drives one subscription from wake to wake. Whatever happens to it (work, a commit, a moment that
 * came) only pokes the runner, which looks at the state anew and takes the next step.
 *
 * Invariants
 * 1. One step at a time; a poke during a step is followed by another look.
 * 2. Steps rest on durable state alone, so a runner that begins after a restart goes on where the
 *    last one was.
 * 3. After `stop` nothing is begun, and what waits ends; the state is left for the next start.
 */
import type { Clock, Logger, Timer } from '@holdfast/core';
import { isFinal } from './wake-context.ts';

/** Look again at once, after so many ms, or when poked. */
export type NextLook = 'again' | 'poked' | number;

export interface WakeSteps {
  step(signal: AbortSignal): Promise<NextLook>;
  /** The state may have moved while a step waits for the outside. */
  poked(): void;
}

/** Pause before a step that failed for no known reason is tried again. */
const UNFORESEEN_MS = 1_000;

export class WakeRunner {
  readonly #steps: WakeSteps;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  #timer: Timer | undefined;
  #running = false;
  #poked = false;

  constructor(steps: WakeSteps, components: { readonly clock: Clock; readonly logger: Logger }) {
    this.#steps = steps;
    this.#clock = components.clock;
    this.#logger = components.logger;
  }

  poke(): void {
    if (this.#abort.signal.aborted) return;
    this.#steps.poked();
    this.#poked = true;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** Idempotent. */
  stop(): void {
    this.#timer?.cancel();
    this.#abort.abort(new Error('the subscription is stopped'));
  }

  /** Begins in a turn of its own: a poke comes in the middle of settling a batch. */
  async #run(): Promise<void> {
    await Promise.resolve();
    const { signal } = this.#abort;
    while (!signal.aborted) {
      this.#timer?.cancel();
      this.#poked = false;
      const next = await this.#step(signal);
      if (this.#poked || next === 'again') continue;
      if (typeof next === 'number' && !signal.aborted) {
        this.#timer = this.#clock.after(next, () => this.poke());
      }
      break;
    }
    this.#running = false;
  }

  async #step(signal: AbortSignal): Promise<NextLook> {
    try {
      return await this.#steps.step(signal);
    } catch (error) {
      if (signal.aborted) return 'poked';
      if (isFinal(error)) {
        this.stop();
        return 'poked';
      }
      this.#logger.error('subscriptions.step_failed', { reason: String(error) });
      return UNFORESEEN_MS;
    }
  }
}
