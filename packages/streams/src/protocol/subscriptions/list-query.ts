/** `?after=&limit=` of the list of subscriptions. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { ListSubscriptionsRequest } from '../../subscriptions/subscription-store.ts';

const DEFAULT_LIMIT = 100;
const NAMES = ['after', 'limit'];

/** Throws `INVALID_QUERY`. */
export function parseListQuery(target: string, queryStart: number): ListSubscriptionsRequest {
  const parameters = new URLSearchParams(target.slice(queryStart + 1));
  for (const name of parameters.keys()) {
    if (!NAMES.includes(name) || parameters.getAll(name).length > 1) {
      throw new HoldfastError('INVALID_QUERY', 'the list takes after and limit, once each');
    }
  }
  const text = parameters.get('limit') ?? String(DEFAULT_LIMIT);
  const limit = Number(text);
  if (!/^[1-9]\d{0,8}$/.test(text) || limit > LIMITS.maxListedStreams) {
    throw new HoldfastError('INVALID_QUERY', `limit must be 1 to ${LIMITS.maxListedStreams}`);
  }
  const after = parameters.get('after') ?? '';
  return after === '' ? { limit } : { limit, after };
}
