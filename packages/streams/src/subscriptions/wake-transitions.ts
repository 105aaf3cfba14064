/**
 * How a subscription's state moves. Every move is one function from the state before; each of
 * them is one durable update.
 *
 *   idle ──issued──► issued ──delivered──► delivered ──ended──► idle
 *                     │  ▲                  │    (webhook)
 *                     │  └──issued again───failed──── parked ──► idle, parked
 *                     └──claimed──► claimed ──ended──► idle    (pull-wake)
 */
import type { SubscriptionState, WakeState } from './subscription-operations.ts';

/** A new wake: the one place where the generation rises. */
export function issued(state: SubscriptionState, wake: WakeState): SubscriptionState {
  const failedAttempts = state.parked ? 0 : state.failedAttempts;
  return { generation: state.generation + 1, wake, failedAttempts, parked: false };
}

/** The wake in flight goes to a worker, who is reached: what failed before is forgotten. */
export function claimed(
  state: SubscriptionState,
  wake: Omit<WakeState, 'phase'> & { readonly holder: string },
): SubscriptionState {
  const { generation } = state;
  return { generation, wake: { ...wake, phase: 'claimed' }, failedAttempts: 0, parked: false };
}

/** The receiver has it; the lease runs. */
export function delivered(state: SubscriptionState, wake: WakeState): SubscriptionState {
  const { generation, failedAttempts } = state;
  return { generation, wake: { ...wake, phase: 'delivered' }, failedAttempts, parked: false };
}

/** @param progressed cursors moved: the receiver works. */
export function renewed(
  state: SubscriptionState,
  wake: WakeState,
  leaseUntilMs: number,
  progressed: boolean,
): SubscriptionState {
  const phase = wake.phase === 'issued' ? 'delivered' : wake.phase;
  const failedAttempts = progressed ? 0 : state.failedAttempts;
  const { generation } = state;
  return { generation, wake: { ...wake, phase, leaseUntilMs }, failedAttempts, parked: false };
}

/** Done, released, run out without a fault, or nothing left to do. */
export function ended(state: SubscriptionState): SubscriptionState {
  return { generation: state.generation, failedAttempts: 0, parked: false };
}

/** The wake stays current until the next attempt: who has it may still answer. */
export function failed(state: SubscriptionState, nextAttemptAtMs: number): SubscriptionState {
  return { ...state, failedAttempts: state.failedAttempts + 1, nextAttemptAtMs };
}

/** The wake could be handed out after all. */
export function recovered(state: SubscriptionState, wake: WakeState): SubscriptionState {
  return { generation: state.generation, wake, failedAttempts: 0, parked: false };
}

/** Given up until there is new work. Cursors stay. */
export function parked(state: SubscriptionState): SubscriptionState {
  const { generation, failedAttempts } = state;
  return { generation, failedAttempts, parked: true };
}
