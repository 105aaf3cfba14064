/**
 * The keys of owners and members: Ed25519. A public key is 32 bytes, held as 64 hex digits, so that it
 * is compared and looked up as what it is; a secret key is the 32 bytes of its seed.
 *
 * As text a public key is `pub1` and a secret one `sec1`, followed by 52 letters (`base32.ts`).
 */
import { HoldfastError, type Random } from '@holdfast/core';
import { decodeBase32, encodeBase32 } from './base32.ts';
import { isWeakPublicKey, publicKeyOfSeed } from './ed25519.ts';

declare const brand: unique symbol;
/** 64 hex digits. Never a key for which anybody can sign (`ed25519.ts`). */
export type PublicKey = string & { readonly [brand]: 'PublicKey' };

export const PUBLIC_KEY_BYTES = 32;
export const SEED_BYTES = 32;
const PUBLIC_PREFIX = 'pub1';
const SECRET_PREFIX = 'sec1';

export interface KeyPair {
  readonly publicKey: PublicKey;
  /** 32 bytes, never changed. Whoever has them can write in the name of the key. */
  readonly seed: Buffer;
}

export function createKeyPair(random: Random): KeyPair {
  return keyPairOfSeed(random.bytes(SEED_BYTES));
}

export function keyPairOfSeed(seed: Uint8Array): KeyPair {
  if (seed.length !== SEED_BYTES) throw invalid('a secret key has 32 bytes');
  const copy = Buffer.from(seed);
  return { publicKey: publicKeyOf(publicKeyOfSeed(copy)), seed: copy };
}

export function publicKeyOf(bytes: Uint8Array): PublicKey {
  if (bytes.length !== PUBLIC_KEY_BYTES) throw invalid('a public key has 32 bytes');
  if (isWeakPublicKey(bytes)) throw invalid('anybody can sign for this public key');
  return Buffer.from(bytes).toString('hex') as PublicKey;
}

export function publicKeyBytes(key: PublicKey): Buffer {
  return Buffer.from(key, 'hex');
}

export function formatPublicKey(key: PublicKey): string {
  return PUBLIC_PREFIX + encodeBase32(publicKeyBytes(key));
}

export function parsePublicKey(text: string): PublicKey {
  return publicKeyOf(decodeText(text, PUBLIC_PREFIX, PUBLIC_KEY_BYTES, 'public key'));
}

export function formatSecretKey(keys: KeyPair): string {
  return SECRET_PREFIX + encodeBase32(keys.seed);
}

export function parseSecretKey(text: string): KeyPair {
  return keyPairOfSeed(decodeText(text, SECRET_PREFIX, SEED_BYTES, 'secret key'));
}

/** The text is in no message: it may be a secret. */
function decodeText(text: string, prefix: string, length: number, what: string): Buffer {
  const bytes = text.startsWith(prefix)
    ? decodeBase32(text.slice(prefix.length), length)
    : undefined;
  if (bytes === undefined) throw invalid(`the text is no ${what}`);
  return bytes;
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('INVALID_RECORD_KEY', what);
}
