/**
 * Encryption of values: XAES-256-GCM (C2SP), from the AES of Node's own crypto. 32 bytes of key and 24
 * of nonce, which are drawn: there is no count to keep, so writers on several machines, restored
 * copies and crashes need not know of each other (docs/decisions/0016).
 *
 * The first half of the nonce and the key make the key of one AES-256-GCM, its second half is the nonce
 * of that. A wrong key, and bytes or a place that were changed, do not open.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { HoldfastError } from '@holdfast/core';
import { VALUE_TAG_BYTES } from './schema.ts';

export const VALUE_NONCE_BYTES = 24;
const HALF = 12;
const AES_BLOCK = 16;

/** Ciphertext and tag. */
export function encryptValue(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  plain: Uint8Array,
): Buffer {
  const cipher = createCipheriv('aes-256-gcm', derivedKey(key, nonce), nonce.subarray(HALF));
  cipher.setAAD(associated);
  const first = cipher.update(plain);
  return Buffer.concat([first, cipher.final(), cipher.getAuthTag()]);
}

export function decryptValue(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  encrypted: Uint8Array,
): Buffer {
  const end = encrypted.length - VALUE_TAG_BYTES;
  const inner = derivedKey(key, nonce);
  const decipher = createDecipheriv('aes-256-gcm', inner, nonce.subarray(HALF), {
    authTagLength: VALUE_TAG_BYTES,
  });
  decipher.setAAD(associated);
  decipher.setAuthTag(encrypted.subarray(end));
  const plain = decipher.update(encrypted.subarray(0, end));
  try {
    decipher.final();
  } catch (cause) {
    throw new HoldfastError('RECORD_SECRET_WRONG', 'the value does not open with this key', {
      cause,
    });
  }
  return plain;
}

/** Two blocks of a CMAC (SP 800-108r1, counter mode) over the first half of the nonce. */
function derivedKey(key: Uint8Array, nonce: Uint8Array): Buffer {
  const aes = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  const subkey = doubled(aes.update(Buffer.alloc(AES_BLOCK)));
  const blocks = [1, 2].map((counter) => {
    const block = Buffer.concat([Buffer.of(0, counter, 0x58, 0), nonce.subarray(0, HALF)]);
    for (let i = 0; i < AES_BLOCK; i++) block[i] = (block[i] as number) ^ (subkey[i] as number);
    return aes.update(block);
  });
  return Buffer.concat(blocks);
}

/** Times x in the field of CMAC. */
function doubled(block: Buffer): Buffer {
  const twice = Buffer.alloc(AES_BLOCK);
  for (let i = 0; i < AES_BLOCK; i++) {
    twice[i] = ((block[i] as number) << 1) | ((block[i + 1] ?? 0) >> 7);
  }
  if ((block[0] as number) >= 0x80) twice[15] = (twice[15] as number) ^ 0x87;
  return twice;
}
