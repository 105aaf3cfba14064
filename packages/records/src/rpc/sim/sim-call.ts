/** One question that waits for its answer. It ends once, and then whatever it held is given back. */
import { type Clock, HoldfastError, RECORD_LIMITS, type Timer } from '@holdfast/core';
import type { PeerId } from '../../coordinate.ts';
import type { Answer, InvalidAnswer } from '../../messages.ts';
import type { AskOptions } from '../../rpc.ts';
import type { SimLink } from './sim-link.ts';

interface Waiting {
  resolve(answer: Answer | InvalidAnswer): void;
  reject(error: Error): void;
}

export class SimCall {
  readonly #waiting: Waiting;
  readonly #timer: Timer;
  readonly #signal: AbortSignal | undefined;
  readonly #endings: (() => void)[] = [];
  #link: SimLink | undefined;
  #ended = false;

  constructor(clock: Clock, peer: PeerId, options: AskOptions, waiting: Waiting) {
    this.#waiting = waiting;
    const timeoutMs = options.timeoutMs ?? RECORD_LIMITS.rpcTimeoutMs;
    this.#timer = clock.after(timeoutMs, () => {
      const effect = this.#link === undefined ? 'none' : 'unknown';
      const message = `the peer did not answer peer=${peer} timeoutMs=${timeoutMs}`;
      this.fail(new HoldfastError('PEER_UNREACHABLE', message, { effect }));
    });
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** `undefined` while it is certainly not sent. */
  get link(): SimLink | undefined {
    return this.#link;
  }

  sentOver(link: SimLink): void {
    this.#link = link;
  }

  onEnd(ending: () => void): void {
    this.#endings.push(ending);
  }

  succeed(answer: Answer | InvalidAnswer): void {
    if (this.#end()) this.#waiting.resolve(answer);
  }

  fail(error: Error): void {
    if (this.#end()) this.#waiting.reject(error);
  }

  /** Whoever waited does so for ever: its process is no more. */
  abandon(): void {
    this.#end();
  }

  readonly #onAbort = (): void => {
    const effect = this.#link === undefined ? 'none' : 'unknown';
    this.fail(new HoldfastError('ABORTED', 'the call was aborted', { effect }));
  };

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#timer.cancel();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const ending of this.#endings) ending();
    return true;
  }
}
