/**
 * Namespaces of a store, with the rules of the Lightning Dev Kit: a primary and a secondary name, and
 * keys, of `A-Z a-z 0-9 _ -`, at most 120 characters each; names may be empty, but an empty primary
 * has an empty secondary. A namespace that nothing was put into is an empty one.
 */
import { LIMITS } from '@holdfast/core';
import { assertKey, invalidKey } from './kv-key.ts';
import type { KvStore } from './kv-store.ts';
import { viewOf } from './kv-view.ts';

const NAME = /^[A-Za-z0-9_-]*$/;
/** In no name, so that no namespace begins within another one. */
const SEPARATOR = '/';

/** Throws `INVALID_ENTRY_KEY` for names that are none. */
export function namespaced(store: KvStore, primary: string, secondary: string): KvStore {
  assertName('primary namespace', primary);
  assertName('secondary namespace', secondary);
  if (primary === '' && secondary !== '') {
    throw invalidKey('an empty primary namespace has an empty secondary namespace');
  }
  return viewOf(store, [primary, secondary, ''].join(SEPARATOR), {
    anyText: false,
    maxKeyBytes: LIMITS.maxNamespaceNameBytes,
    assert: assertNamespacedKey,
  });
}

/** Throws `INVALID_ENTRY_KEY` for what is no key in a namespace. */
export function assertNamespacedKey(key: string): void {
  assertKey(key, LIMITS.maxNamespaceNameBytes);
  assertName('key', key);
}

/** Of a key of the store beneath; `undefined`: it is in no namespace. */
export function namesOf(
  storeKey: string,
): readonly [primary: string, secondary: string, key: string] | undefined {
  const [primary, secondary, key, ...more] = storeKey.split(SEPARATOR);
  if (primary === undefined || secondary === undefined || !key || more.length > 0) return undefined;
  if (primary === '' && secondary !== '') return undefined;
  const isName = (name: string): boolean =>
    name.length <= LIMITS.maxNamespaceNameBytes && NAME.test(name);
  return [primary, secondary, key].every(isName) ? [primary, secondary, key] : undefined;
}

function assertName(what: string, name: string): void {
  if (typeof name !== 'string') throw new TypeError(`a ${what} is a string`);
  if (name.length > LIMITS.maxNamespaceNameBytes) {
    throw invalidKey(`${what} is longer than ${LIMITS.maxNamespaceNameBytes} characters`);
  }
  if (!NAME.test(name)) throw invalidKey(`${what} has a character beside A-Z a-z 0-9 _ -`);
}
