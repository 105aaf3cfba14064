/** How a write ended that reached some tiers, or may have. */
import { HoldfastError } from '@holdfast/core';
import { effectOf } from './tier.ts';
import type { TierName } from './tiered-store.ts';

export type TierOutcome = { readonly tier: TierName } & (
  | { readonly kind: 'done' }
  /** Not tried: it comes later. */
  | { readonly kind: 'later' }
  | { readonly kind: 'failed'; readonly error: unknown }
);

/** Certainly nothing happened anywhere, and never will. */
export function nothingHappened(outcomes: readonly TierOutcome[]): boolean {
  return outcomes.every(
    (each) => each.kind === 'later' || (each.kind === 'failed' && effectOf(each.error) === 'none'),
  );
}

export function firstError(outcomes: readonly TierOutcome[]): unknown {
  return outcomes.find((each) => each.kind === 'failed')?.error;
}

export function partialWrite(outcomes: readonly TierOutcome[]): HoldfastError {
  const details = Object.fromEntries(
    outcomes.map(({ tier, kind }) => [tier, kind === 'done' ? 'done' : 'queued']),
  );
  const said = Object.entries(details).map(([tier, state]) => `${tier}=${state}`);
  return new HoldfastError(
    'PARTIAL_WRITE',
    `not every tier has the write yet, what is queued will be there ${said.join(' ')}`,
    { effect: 'unknown', cause: firstError(outcomes), details },
  );
}
