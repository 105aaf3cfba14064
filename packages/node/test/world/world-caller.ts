/**
 * Whoever sends requests over the simulated network and waits for answers: not for ever. It has no
 * opinion on what they mean.
 */
import { sleep } from '@holdfast/core';
import type { SeededRandom, SentRequest, SimClock } from '@holdfast/testkit';

export type Headers = Readonly<Record<string, string>>;

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** The connection broke in the body. */
  readonly cut: boolean;
}

const BODY_END = Symbol('body end');

export class WorldCaller {
  readonly name: string;
  readonly random: SeededRandom;
  readonly clock: SimClock;
  readonly timeoutMs: number;

  constructor(name: string, random: SeededRandom, clock: SimClock) {
    this.name = name;
    this.random = random;
    this.clock = clock;
    this.timeoutMs = random.pick([60, 150, 300]);
  }

  pause(longestMs: number): Promise<void> {
    return sleep(this.clock, 1 + this.random.integer(longestMs * 8) / 8);
  }

  /** Resolves like the promise, or says that it took too long. */
  inTime<Value>(promise: Promise<Value>, timeoutMs = this.timeoutMs): Promise<Value | undefined> {
    const { clock } = this;
    return new Promise((resolve, reject) => {
      const timer = clock.after(timeoutMs, () => resolve(undefined));
      promise.then(
        (value) => {
          timer.cancel();
          resolve(value);
        },
        (error: unknown) => {
          timer.cancel();
          reject(error as Error);
        },
      );
    });
  }

  /** `refused`: it had no effect; `unknown`: nobody knows. */
  async reply(
    sent: SentRequest,
    wantsBody: boolean,
    timeoutMs: number,
  ): Promise<Reply | 'refused' | 'unknown'> {
    let head: Awaited<SentRequest['head']> | undefined;
    try {
      head = await this.inTime(sent.head, timeoutMs);
    } catch (error) {
      return (error as { kind?: string }).kind === 'refused' ? 'refused' : 'unknown';
    }
    if (head === undefined) {
      sent.abort();
      return 'unknown';
    }
    const body = await this.#body(sent, timeoutMs);
    if (body.cut && head.status >= 400) return 'unknown';
    // What an answer without a body says is said by its head.
    return { ...head, body: body.body, cut: body.cut && wantsBody && head.status === 200 };
  }

  async #body(sent: SentRequest, timeoutMs: number): Promise<{ body: string; cut: boolean }> {
    let body = '';
    for (;;) {
      try {
        const chunk = await this.inTime(
          sent.read().then((bytes) => bytes ?? BODY_END),
          timeoutMs,
        );
        if (chunk === BODY_END) return { body, cut: false };
        if (chunk === undefined) {
          sent.abort();
          return { body, cut: true };
        }
        body += (chunk as Buffer).toString('latin1');
      } catch {
        return { body, cut: true };
      }
    }
  }
}

/** The router answers so before anything is done. */
export function isNotDone({ status, body }: Reply): boolean {
  return status === 503 && codeOf(body) === 'DRAINING';
}

export function codeOf(body: string): string {
  return /"code":"([A-Z_]+)"/.exec(body)?.[1] ?? '';
}
