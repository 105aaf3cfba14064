/** Ends an exchange whose other side says nothing for too long, or whose call has ended. */
import type { Clock, Timer } from '@holdfast/core';

export class SilenceWatch {
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #call: AbortSignal;
  readonly #controller = new AbortController();
  readonly #onEnd = (): void => this.#controller.abort(this.#call.reason);
  #timer: Timer | undefined;
  #silent = false;

  constructor(clock: Clock, silenceMs: number, call: AbortSignal) {
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#call = call;
    if (call.aborted) this.#onEnd();
    else call.addEventListener('abort', this.#onEnd, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True when it was silence that ended the exchange. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Something was heard, or is waited for from now on. */
  touch(): void {
    this.pause();
    this.#timer = this.#clock.after(this.#silenceMs, () => {
      this.#silent = true;
      this.#controller.abort();
    });
  }

  /** It is our turn: nothing is waited for. */
  pause(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** The exchange is over. Idempotent. */
  end(): void {
    this.pause();
    this.#call.removeEventListener('abort', this.#onEnd);
  }
}
