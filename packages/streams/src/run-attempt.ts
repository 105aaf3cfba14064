/**
 * Runs a plan to its end. An outcome that rests on commits in flight is told once they are
 * durable; if they are refused instead, the plan is made again.
 */
import { isHoldfastError } from '@holdfast/core';
import { parkOnAll } from '@holdfast/database';
import { type Attempt, flightsOf } from './stream-commit.ts';
import type { StreamDirectory } from './stream-directory.ts';

/** @param paths of the streams that a refusal may be about. */
export function runAttempt<T>(
  directory: StreamDirectory,
  paths: readonly string[],
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
  attempt: () => Attempt<T>,
): void {
  let outcome: Attempt<T>;
  try {
    outcome = attempt();
  } catch (error) {
    const value = (): T => {
      throw error;
    };
    const restsOn = restsOnState(error)
      ? flightsOf(...paths.map((path) => directory.ahead(path)))
      : [];
    outcome = { kind: 'answer', value, restsOn };
  }
  if (outcome.kind === 'committed') return;
  const again = (): void => runAttempt(directory, paths, resolve, reject, attempt);
  if (outcome.kind === 'again') {
    outcome.after.then(again, reject);
    return;
  }
  const { value, restsOn } = outcome;
  const answer = (): void => {
    try {
      resolve(value());
    } catch (error) {
      reject(error);
    }
  };
  if (restsOn.length === 0) {
    answer();
    return;
  }
  parkOnAll(restsOn, (error) => {
    if (error === undefined) answer();
    else if (error.effect === 'none') again();
    else reject(error);
  });
}

/** Refusals that another outcome of what is in flight could turn around. */
function restsOnState(error: unknown): boolean {
  if (!isHoldfastError(error)) return false;
  if (error.kind === 'missing' || error.kind === 'conflict' || error.kind === 'fenced') return true;
  return error.code === 'INVALID_PRODUCER';
}
