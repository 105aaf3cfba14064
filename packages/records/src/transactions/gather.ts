/**
 * Asks several peers at once and waits until it is enough: for all of them, or, once what is needed was
 * answered, for three times as long as that took. Who is late is not waited for; what becomes of
 * its answer, the caller decides.
 */
import { type Clock, RECORD_LIMITS, type Timer } from '@holdfast/core';

export interface Gathered<Asked, Answer> {
  readonly answers: ReadonlyMap<Asked, Answer>;
  readonly failures: ReadonlyMap<Asked, unknown>;
  readonly late: readonly Asked[];
}

const GRACE = 3;

/** @param isEnough of the answers so far. Never rejects. */
export function gather<Asked, Answer>(
  clock: Clock,
  asked: readonly Asked[],
  isEnough: (answers: ReadonlyMap<Asked, Answer>) => boolean,
  ask: (one: Asked) => Promise<Answer>,
): Promise<Gathered<Asked, Answer>> {
  const startedMs = clock.monotonicMs();
  const answers = new Map<Asked, Answer>();
  const failures = new Map<Asked, unknown>();
  return new Promise((resolve) => {
    let timer: Timer | undefined;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      timer?.cancel();
      const late = asked.filter((one) => !answers.has(one) && !failures.has(one));
      resolve({ answers: new Map(answers), failures: new Map(failures), late });
    };
    const settled = (): void => {
      if (answers.size + failures.size === asked.length) end();
      else if (timer === undefined && !isOver && isEnough(answers)) {
        const tookMs = clock.monotonicMs() - startedMs;
        timer = clock.after(graceMs(tookMs), end);
      }
    };
    if (asked.length === 0) end();
    for (const one of asked) {
      ask(one).then(
        (answer) => {
          answers.set(one, answer);
          settled();
        },
        (error: unknown) => {
          failures.set(one, error);
          settled();
        },
      );
    }
  });
}

export function atLeast(count: number): (answers: ReadonlyMap<unknown, unknown>) => boolean {
  return ({ size }) => size >= count;
}

/** How long the rest is waited for, where those that were needed took so long. */
export function graceMs(tookMs: number): number {
  return Math.min(RECORD_LIMITS.rpcTimeoutMs, Math.max(RECORD_LIMITS.minGraceMs, GRACE * tookMs));
}
