/**
 * Values of entries as an encrypted store keeps them. FORMAT.md, "Sealed value".
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic `HFKV` |
 * | 4 | 1 | format version, 1 |
 * | 5 | 4 | key id |
 * | 9 | 8 | version of the stamp it was put with; 0: it was put without one |
 * | 17 | 24 | nonce |
 * | 41 | 4 | CRC-32C of bytes 0-40 and the key of the entry |
 * | 45 | n | value, AES-256-GCM |
 * | 45 + n | 16 | tag |
 *
 * Invariants
 * 1. A value opens only in its own context, under its own key, and at the version of its stamp.
 *    Bytes 0-40 and the key of the entry are authenticated with it; the context is in the key of AES.
 * 2. The key id is believed only after the checksum held: `KEY_MISSING` is never damage.
 * 3. Each value has a key of AES of its own, made of the first half of its nonce, and the other half
 *    as nonce there: how many values there ever were does not matter.
 * 4. A nonce is made of randomness, everything authenticated and the value: even when the randomness
 *    repeats (a cloned machine) two different values never share one.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import {
  crc32c,
  type FileKey,
  formatKeyId,
  HoldfastError,
  type KeyRing,
  type NumberedKey,
  readU64,
  writeU64,
} from '@holdfast/core';

const MAGIC = 0x564b_4648; // "HFKV", little-endian
const FORMAT_VERSION = 1;
const KEY_ID_AT = 5;
const VERSION_AT = 9;
const NONCE_AT = 17;
const NONCE_BYTES = 24;
const HALF_NONCE_BYTES = NONCE_BYTES / 2;
const NONCE_RANDOM_BYTES = 24;
const CHECKSUM_AT = 41;
const HEAD_BYTES = 45;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
/** Beside the kinds of files, which are types of blocks. */
const KIND = 64;

/** By how much a sealed value is larger. */
export const SEAL_BYTES: number = HEAD_BYTES + TAG_BYTES;

/** A sealed value, and where it was found. */
export interface FoundValue {
  readonly key: string;
  readonly value: Uint8Array;
  readonly version: number;
}

export class ValueSealer {
  readonly #ring: KeyRing;
  readonly #salt: Buffer;

  constructor(ring: KeyRing, context: string) {
    this.#ring = ring;
    this.#salt = Buffer.from(context);
  }

  /** @param version of the stamp it is put with; 0: it has none. */
  seal(key: string, value: Uint8Array, version: number): Buffer {
    const { active } = this.#ring;
    const sealed = Buffer.allocUnsafe(HEAD_BYTES + value.length + TAG_BYTES);
    sealed.writeUInt32LE(MAGIC, 0);
    sealed[4] = FORMAT_VERSION;
    sealed.writeUInt32LE(active.id, KEY_ID_AT);
    writeU64(sealed, VERSION_AT, version);
    const keys = this.#keysOf(active);
    const name = Buffer.from(key);
    createHmac('sha256', keys.nonce)
      .update(this.#ring.randomBytes(NONCE_RANDOM_BYTES))
      .update(sealed.subarray(0, NONCE_AT))
      .update(lengthOf(name))
      .update(name)
      .update(value)
      .digest()
      .copy(sealed, NONCE_AT, 0, NONCE_BYTES); // I4
    sealed.writeUInt32LE(checksum(sealed, name), CHECKSUM_AT);
    const cipher = createCipheriv(CIPHER, ...aesOf(keys, sealed), { authTagLength: TAG_BYTES });
    cipher.setAAD(authenticated(sealed, name));
    cipher.update(value).copy(sealed, HEAD_BYTES);
    cipher.final();
    cipher.getAuthTag().copy(sealed, HEAD_BYTES + value.length);
    return sealed;
  }

  /** Throws `CHECKSUM_MISMATCH`, `KEY_MISSING` or `FORMAT_UNSUPPORTED`. */
  open(found: FoundValue): Buffer {
    const key = this.#keyUnder(found);
    const sealed = bufferOf(found.value);
    const version = readU64(sealed, VERSION_AT);
    if (version !== 0 && version !== found.version) throw changed(found);
    const keys = this.#keysOf(key);
    const decipher = createDecipheriv(CIPHER, ...aesOf(keys, sealed), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(authenticated(sealed, Buffer.from(found.key)));
    const tagAt = sealed.length - TAG_BYTES;
    decipher.setAuthTag(sealed.subarray(tagAt));
    const value = decipher.update(sealed.subarray(HEAD_BYTES, tagAt));
    try {
      decipher.final();
    } catch {
      throw changed(found);
    }
    return value;
  }

  /** The key that it is under; throws `CHECKSUM_MISMATCH`. Says nothing of the value itself. I2. */
  keyIdOf(found: FoundValue): number {
    const sealed = bufferOf(found.value);
    if (sealed.length < SEAL_BYTES || sealed.readUInt32LE(0) !== MAGIC) {
      throw changed(found, 'is not encrypted: it was damaged, or put without a key');
    }
    if (sealed.readUInt32LE(CHECKSUM_AT) !== checksum(sealed, Buffer.from(found.key))) {
      throw changed(found);
    }
    if (sealed[4] !== FORMAT_VERSION) {
      throw new HoldfastError(
        'FORMAT_UNSUPPORTED',
        `value was written by another format version, upgrade holdfast version=${sealed[4]}`,
      );
    }
    return sealed.readUInt32LE(KEY_ID_AT);
  }

  #keyUnder(found: FoundValue): NumberedKey {
    const keyId = this.keyIdOf(found);
    const key = this.#ring.find(keyId);
    if (key !== undefined) return key;
    throw new HoldfastError(
      'KEY_MISSING',
      `the key that a value is encrypted with was not given keyId=${formatKeyId(keyId)}`,
      { details: { keyId, key: found.key } },
    );
  }

  #keysOf(key: NumberedKey): FileKey {
    return this.#ring.fileKey(key, { salt: this.#salt, kind: KIND, fileId: 0 });
  }
}

/** I3. */
function aesOf(keys: FileKey, sealed: Buffer): [key: Buffer, nonce: Buffer] {
  const middle = NONCE_AT + HALF_NONCE_BYTES;
  const key = createHmac('sha256', keys.cipher).update(sealed.subarray(NONCE_AT, middle)).digest();
  return [key, sealed.subarray(middle, middle + HALF_NONCE_BYTES)];
}

function authenticated(sealed: Buffer, name: Buffer): Buffer {
  return Buffer.concat([sealed.subarray(0, CHECKSUM_AT), name]);
}

function checksum(sealed: Buffer, name: Buffer): number {
  return crc32c(name, crc32c(sealed.subarray(0, CHECKSUM_AT)));
}

/** Parts the key from the value. */
function lengthOf(name: Buffer): Buffer {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32LE(name.length, 0);
  return length;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function changed({ key }: FoundValue, how = 'is not the one that was written'): HoldfastError {
  return new HoldfastError('CHECKSUM_MISMATCH', `a value of an encrypted store ${how}`, {
    details: { key },
  });
}
