/** What all commands have in common that work on one store. */
import { NodeClock } from '@holdfast/core';
import { followWork } from '../admin-work.ts';
import type { CommandCall, Positional } from '../command.ts';
import { usageError } from '../command-error.ts';

export const STORE: Positional = { name: 'STORE', required: true };

/** The result of work on the store that was named. */
export function workOnStore<Result>(
  call: CommandCall,
  what: readonly string[],
  given: { readonly body?: object; readonly bytes?: AsyncIterable<Uint8Array> } = {},
): Promise<Result> {
  const clock = new NodeClock();
  const [store = ''] = call.arguments;
  return followWork<Result>(
    call,
    { method: 'POST', path: ['tiers', store, ...what], ...given },
    () => clock.monotonicMs(),
  );
}

/** @throws usage errors */
export function countOf({ values }: CommandCall, flag: string): number | undefined {
  const text = values.text(flag);
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw usageError(`--${flag} must be a whole number`);
  return Number(text);
}
