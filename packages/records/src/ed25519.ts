/**
 * Signatures: Ed25519 (RFC 8032) of Node's own crypto, over raw 32-byte keys.
 *
 * Every message that is signed begins with one of `DOMAINS`, which end in a zero byte and none of which
 * begins another: a signature for one purpose is none for another.
 *
 * To import a key costs more than to use it, so imported ones are remembered.
 *
 * Keys of small order are no keys (`isWeakPublicKey`): for them one signature fits many messages, and
 * releases of OpenSSL do not agree about it.
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { RECORD_LIMITS } from '@holdfast/core';

export const SIGNATURE_BYTES = 64;

export type SignatureDomain = 'value' | 'descriptor' | 'proof';

export const DOMAINS: Readonly<Record<SignatureDomain, Buffer>> = {
  value: Buffer.from('holdfast/record-value/1\0'),
  descriptor: Buffer.from('holdfast/record-descriptor/1\0'),
  proof: Buffer.from('holdfast/record-proof/1\0'),
};

/** What stands before the 32 bytes in the encodings that `node:crypto` takes (RFC 8410). */
const PUBLIC_DER = Buffer.from('302a300506032b6570032100', 'hex');
const SECRET_DER = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * The y of every point whose order divides 8, and of its encodings that are not reduced, without
 * the sign bit.
 */
const WEAK = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

export function isWeakPublicKey(bytes: Uint8Array): boolean {
  const y = Buffer.from(bytes);
  y[31] = (y[31] ?? 0) & 0x7f;
  return WEAK.has(y.toString('hex'));
}

export function publicKeyOfSeed(seed: Uint8Array): Buffer {
  return createPublicKey(secretKeyObject(seed))
    .export({ format: 'der', type: 'spki' })
    .subarray(PUBLIC_DER.length);
}

export function signWith(
  seed: Uint8Array,
  domain: SignatureDomain,
  ...parts: readonly Uint8Array[]
): Buffer {
  return sign(null, Buffer.concat([DOMAINS[domain], ...parts]), secretKeyObject(seed));
}

/** @param publicKey 64 hex digits. False, too, where the bytes are no point of the curve. */
export function verifyWith(
  publicKey: string,
  signature: Uint8Array,
  domain: SignatureDomain,
  ...parts: readonly Uint8Array[]
): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  const key = imported(publicKey);
  if (key === undefined) return false;
  return verify(null, Buffer.concat([DOMAINS[domain], ...parts]), key, signature);
}

/** As long as somebody holds the seed; nobody changes the bytes of one. */
const secretKeys = new WeakMap<Uint8Array, KeyObject>();

function secretKeyObject(seed: Uint8Array): KeyObject {
  const known = secretKeys.get(seed);
  if (known !== undefined) return known;
  const key = Buffer.concat([SECRET_DER, seed]);
  const made = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  secretKeys.set(seed, made);
  return made;
}

/** Public keys that were used lately, oldest first: no secrets, and the same for everybody. */
const recent = new Map<string, KeyObject>();

function imported(publicKey: string): KeyObject | undefined {
  const known = recent.get(publicKey);
  if (known !== undefined) return known;
  const key = Buffer.concat([PUBLIC_DER, Buffer.from(publicKey, 'hex')]);
  let made: KeyObject;
  try {
    made = createPublicKey({ key, format: 'der', type: 'spki' });
  } catch {
    return undefined; // not 32 bytes
  }
  if (recent.size >= RECORD_LIMITS.importedKeys) {
    for (const oldest of recent.keys()) {
      recent.delete(oldest);
      break;
    }
  }
  recent.set(publicKey, made);
  return made;
}
