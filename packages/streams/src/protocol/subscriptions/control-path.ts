/**
 * Which control route a target under `__ds` means (PROTOCOL 6). Segments are split before they
 * are decoded, so that an encoded slash is part of a name and never makes a route.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { RESERVED_SEGMENT } from '../../subscriptions/path-pattern.ts';
import { assertStreamPath, decodePath } from '../stream-path.ts';

export type WakeAction = 'callback' | 'claim' | 'ack' | 'release';

export type ControlRoute =
  | { readonly kind: 'list' | 'keys' | 'dead-letters' }
  | { readonly kind: 'subscription' | 'links' | WakeAction; readonly id: string }
  | { readonly kind: 'link'; readonly id: string; readonly path: string };

const ACTIONS: ReadonlySet<string> = new Set<WakeAction>(['callback', 'claim', 'ack', 'release']);

/** Whether the path of a target belongs to the protocol itself. */
export function isControlTarget(target: string, end: number, basePath: string): boolean {
  const after = basePath.length + RESERVED_SEGMENT.length;
  if (end < after || !target.startsWith(basePath)) return false;
  if (!target.startsWith(RESERVED_SEGMENT, basePath.length)) return false;
  return end === after || target[after] === '/';
}

/** @param target one that `isControlTarget`. Throws `ROUTE_NOT_FOUND` and what names throw. */
export function parseControlRoute(target: string, end: number, basePath: string): ControlRoute {
  if (target.length > LIMITS.maxUrlBytes) {
    throw new HoldfastError('URL_TOO_LONG', `url is too long bytes=${target.length}`);
  }
  const [, first = '', id, member, ...rest] = target.slice(basePath.length, end).split('/');
  if (first === 'subscriptions') return subscriptionRoute(id, member, rest);
  if (id === undefined && first === 'jwks.json') return { kind: 'keys' };
  if (id === undefined && first === 'dead-letters') return { kind: 'dead-letters' };
  throw notFound();
}

function subscriptionRoute(
  rawId: string | undefined,
  member: string | undefined,
  rest: readonly string[],
): ControlRoute {
  if (rawId === undefined) return { kind: 'list' };
  const id = parseSubscriptionId(rawId);
  if (member === undefined) return { kind: 'subscription', id };
  if (member === 'streams') {
    if (rest.length === 0) return { kind: 'links', id };
    const path = decodePath(rest.join('/'));
    assertStreamPath(path);
    return { kind: 'link', id, path };
  }
  if (rest.length === 0 && ACTIONS.has(member)) return { kind: member as WakeAction, id };
  throw notFound();
}

/** Throws `INVALID_SUBSCRIPTION`: an id is one segment. */
function parseSubscriptionId(raw: string): string {
  const id = decodePath(raw);
  if (id === '' || id === '.' || id === '..' || id.includes('/')) {
    throw new HoldfastError('INVALID_SUBSCRIPTION', 'the id is not one segment of a path');
  }
  const bytes = Buffer.byteLength(id);
  if (bytes > LIMITS.maxSubscriptionIdBytes) {
    throw new HoldfastError('INVALID_SUBSCRIPTION', `the id is too long bytes=${bytes}`);
  }
  return id;
}

function notFound(): HoldfastError {
  return new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
}
