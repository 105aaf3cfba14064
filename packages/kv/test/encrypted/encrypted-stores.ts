/** What tests of encrypted stores need again and again. */
import { createHash, createSecretKey, type KeyObject } from 'node:crypto';
import { KeyRing, NodeRandom, type Random } from '@holdfast/core';
import {
  encryptedKvStore,
  type EncryptedKvStore,
  type FencedKvStore,
  type KvStore,
} from '@holdfast/kv';

/** The same key for the same name. */
export function keyOf(name: string): KeyObject {
  return createSecretKey(createHash('sha256').update(name).digest());
}

/** The first is active. */
export function ringOf(names: readonly string[], random: Random = new NodeRandom()): KeyRing {
  return new KeyRing(names.map(keyOf), random);
}

export const CONTEXT = 'a store';

export function encrypted(store: FencedKvStore, keys?: KeyRing): EncryptedKvStore & FencedKvStore;
export function encrypted(store: KvStore, keys?: KeyRing): EncryptedKvStore;
export function encrypted(store: KvStore, keys: KeyRing = ringOf(['a'])): EncryptedKvStore {
  return encryptedKvStore({ keys }, store, { context: CONTEXT });
}
