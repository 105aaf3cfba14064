/**
 * Plans of what workers and receivers do with a wake: claim, ack, release. Each runs within one
 * turn, on applied state.
 *
 * Invariants
 * 1. Who is fenced changes nothing. The generation and the wake decide, never the time: a lease
 *    that is over still counts until somebody else was woken.
 * 2. Acks are taken whole or not at all. A cursor never falls, and never moves for another stream
 *    than the one the wake was about.
 */
import { HoldfastError } from '@holdfast/core';
import { comparePositions, type Position } from '../position.ts';
import type { Mutation } from './mutation-queue.ts';
import { invalid } from './subscription-check.ts';
import type { LinkRow, WakeState } from './subscription-operations.ts';
import type { AckRequest, Wake, WakeReference } from './subscription-store.ts';
import { rowOf, type Subscription } from './subscription.ts';
import { leaseEnd, newWake, type WakeContext } from './wake-context.ts';
import { openWakeToken, wakeToken } from './wake-token.ts';
import { claimed, ended, issued, renewed } from './wake-transitions.ts';

export function planClaim(
  context: WakeContext,
  subscription: Subscription,
  worker: string,
): Mutation<Wake> {
  const { state, config } = subscription;
  if (config.type !== 'pull-wake') throw invalid('only pull-wake subscriptions are claimed');
  const { wake } = state;
  if (wake?.phase === 'claimed') {
    throw new HoldfastError('ALREADY_CLAIMED', 'another worker holds the lease', {
      details: { currentHolder: wake.holder ?? '', generation: state.generation },
    });
  }
  if (subscription.pending.size === 0) return nothingToClaim(subscription);
  const fresh = newWake(context, subscription);
  const taken = wake?.phase === 'issued' ? { ...fresh, wakeId: wake.wakeId } : fresh;
  const before = wake?.phase === 'issued' ? state : issued(state, fresh);
  const next = claimed(before, { ...taken, holder: worker });
  const { generation } = next;
  const { wakeId } = taken;
  const result: Wake = {
    wakeId,
    generation,
    token: wakeToken(context.keys.tokenSecret as Buffer, subscription, { generation, wakeId }),
    streams: subscription.snapshot(context.settings.maxWakeStreams),
    leaseTtlMs: config.leaseTtlMs,
  };
  return { operations: [subscription.update(next)], result: () => result };
}

/** A wake whose work went away is over, so that the next work is announced. */
function nothingToClaim(subscription: Subscription): Mutation<Wake> {
  const { state } = subscription;
  return {
    operations: state.wake === undefined ? [] : [subscription.update(ended(state))],
    result: () => {
      throw new HoldfastError('NO_PENDING_WORK', 'there is nothing to do');
    },
  };
}

export function planAck(
  context: WakeContext,
  subscription: Subscription,
  request: AckRequest,
): Mutation<{ readonly nextWake: boolean }> {
  const { state, config } = subscription;
  if (request.type !== config.type) {
    throw invalid(`this is not the way to acknowledge a subscription of type ${config.type}`);
  }
  const wake = authorize(context, subscription, request);
  if (request.acks.length > context.settings.maxWakeStreams) {
    throw invalid(`too many acks limit=${context.settings.maxWakeStreams}`);
  }
  const moved = new Map<string, LinkRow>();
  for (const { path, offset } of request.acks) {
    const row = advance(subscription, wake, path, offset);
    const other = moved.get(path);
    if (row === undefined) continue;
    if (other === undefined || comparePositions(row.acked, other.acked) > 0) moved.set(path, row);
  }
  const next = request.done
    ? ended(state)
    : renewed(state, wake, leaseEnd(context, subscription), moved.size > 0);
  const nextWake = request.done && pendingAfter(subscription, moved) > 0;
  return {
    operations: [subscription.update(next, [...moved.values()])],
    result: () => ({ nextWake }),
  };
}

export function planRelease(
  context: WakeContext,
  subscription: Subscription,
  reference: WakeReference,
): Mutation<void> {
  if (subscription.config.type !== 'pull-wake') {
    throw invalid('only pull-wake subscriptions are released');
  }
  authorize(context, subscription, reference);
  return {
    operations: [subscription.update(ended(subscription.state))],
    result: () => undefined,
  };
}

/** The current wake, which the reference is about; throws `TOKEN_INVALID` or `FENCED`. */
function authorize(
  context: WakeContext,
  subscription: Subscription,
  reference: WakeReference,
): WakeState {
  const { keys } = context;
  const token = openWakeToken(keys.tokenSecret, subscription, reference.token);
  const { generation, wake } = subscription.state;
  const isHeld = wake?.phase === 'claimed' || subscription.config.type === 'webhook';
  const isCurrent = [token, reference].every(
    (named) => named.generation === generation && named.wakeId === wake?.wakeId,
  );
  if (wake === undefined || !isHeld || !isCurrent) {
    throw new HoldfastError('FENCED', `the wake is over generation=${generation}`);
  }
  return wake;
}

/** The row an ack leads to, if it moves anything. Throws `INVALID_OFFSET`, `INVALID_SUBSCRIPTION`. */
function advance(
  subscription: Subscription,
  wake: WakeState,
  path: string,
  offset: Position,
): LinkRow | undefined {
  const link = subscription.links.get(path);
  if (link === undefined) {
    // The stream is gone, and its link with it: nobody did anything wrong.
    if (subscription.matches(path)) return undefined;
    throw invalid('an ack names a stream that is not linked');
  }
  if (link.streamId === 0 || link.streamId > wake.highestStreamId) return undefined; // I2
  const isAtOrBefore = comparePositions(offset, link.tail) <= 0;
  if (!isAtOrBefore || !fits(offset, link.tail) || !fits(offset, link.acked)) {
    throw new HoldfastError('INVALID_OFFSET', 'an ack is not an offset of its stream');
  }
  return comparePositions(offset, link.acked) > 0 ? rowOf(link, offset) : undefined;
}

/** Both may be positions of one stream: as far as can be told without reading. */
function fits(a: Position, b: Position): boolean {
  return Math.sign(a.messages - b.messages) === Math.sign(a.bytes - b.bytes);
}

function pendingAfter(subscription: Subscription, moved: ReadonlyMap<string, LinkRow>): number {
  let count = subscription.pending.size;
  for (const link of subscription.pending) {
    const row = moved.get(link.path);
    if (row !== undefined && comparePositions(row.acked, link.tail) >= 0) count--;
  }
  return count;
}
