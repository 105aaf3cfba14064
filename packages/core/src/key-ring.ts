/**
 * The keys of a database: the first is *active* and encrypts what is new, all of them decrypt.
 * FORMAT.md, "Encryption".
 *
 * Invariants
 * 1. Key material is held in `KeyObject`s only: printing, inspecting or serialising a ring shows
 *    none of it.
 * 2. No key of a ring encrypts a block itself: every file has a key of its own, derived from it.
 * 3. Derived keys are a cache, bounded by `LIMITS.derivedKeys` and forgotten by `replace`.
 *
 * Owned by whoever opened the database; `replace` swaps the keys while it runs.
 */
import { type KeyObject, createHash, createSecretKey, hkdfSync } from 'node:crypto';
import { HoldfastError } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { Random } from './random.ts';

export const KEY_BYTES = 32;

const CHECK_BYTES = 8;
const DRAWN_BYTES = 4096;
const KEY_ID_LABEL = 'holdfast key id';
const CHECK_LABEL = 'holdfast key check';
const BLOCK_LABEL = 'holdfast block';
/** What a file that lost its bytes, or a program that failed, gives for a raw key. */
const ALL_ZERO = createSecretKey(Buffer.alloc(KEY_BYTES));

/** A key and the number that blocks name it by. */
export interface NumberedKey {
  readonly id: number;
  readonly key: KeyObject;
}

/** What the blocks of one file are encrypted with. */
export interface FileKey {
  readonly cipher: KeyObject;
  /** Makes nonces. */
  readonly nonce: KeyObject;
}

/** What tells the keys of two files under one key apart. */
export interface FileKeyScope {
  /** Database id, and the salt of the segment where there is one. */
  readonly salt: Uint8Array;
  readonly kind: number;
  readonly fileId: number;
}

export class KeyRing {
  /** In the order given: the first is active. */
  #keys: ReadonlyMap<number, KeyObject>;
  #active: NumberedKey;
  readonly #random: Random;
  #drawn: Buffer = Buffer.alloc(0);
  /** Least recently used first. I3. */
  readonly #derived = new Map<string, FileKey>();

  /**
   * Throws `INVALID_KEY` for no key, a key that is not 32 bytes or only zeros, or two with one id.
   *
   * @param keys the first is active.
   * @param random where nonces come from.
   */
  constructor(keys: readonly KeyObject[], random: Random) {
    this.#random = random;
    this.#keys = numbered(keys);
    this.#active = firstOf(this.#keys);
  }

  get active(): NumberedKey {
    return this.#active;
  }

  /** The active one first. */
  get ids(): readonly number[] {
    return [...this.#keys.keys()];
  }

  has(id: number): boolean {
    return this.#keys.has(id);
  }

  find(id: number): NumberedKey | undefined {
    const key = this.#keys.get(id);
    return key === undefined ? undefined : { id, key };
  }

  /** For a thread that works on this database, and nobody else: the active one first. */
  exportKeys(): readonly KeyObject[] {
    return [...this.#keys.values()];
  }

  /** What `replace` would make of this ring. */
  with(keys: readonly KeyObject[]): KeyRing {
    return new KeyRing(keys, this.#random);
  }

  /** From now on `keys`, the first active. Throws as the constructor does, and changes nothing. */
  replace(keys: readonly KeyObject[]): void {
    const next = numbered(keys);
    this.#keys = next;
    this.#active = firstOf(next);
    this.#derived.clear();
  }

  /** Proves knowledge of a key without giving it away: what the layout of a database holds. */
  checkOf(id: number, databaseId: Uint8Array): string | undefined {
    const key = this.#keys.get(id);
    if (key === undefined) return undefined;
    return Buffer.from(hkdfSync('sha256', key, databaseId, CHECK_LABEL, CHECK_BYTES)).toString(
      'hex',
    );
  }

  /** The key of one file under `key`. I2. */
  fileKey(key: NumberedKey, scope: FileKeyScope): FileKey {
    const salt = Buffer.from(scope.salt).toString('latin1');
    const name = `${key.id}/${scope.kind}/${scope.fileId}/${salt}`;
    const known = this.#derived.get(name);
    if (known !== undefined) {
      this.#derived.delete(name);
      this.#derived.set(name, known);
      return known;
    }
    const derived = derive(key.key, scope);
    this.#derived.set(name, derived);
    if (this.#derived.size > LIMITS.derivedKeys) {
      for (const oldest of this.#derived.keys()) {
        this.#derived.delete(oldest);
        break;
      }
    }
    return derived;
  }

  /** Fresh bytes for a nonce, given out once. Drawn many at a time, for each draw has its price. */
  randomBytes(length: number): Buffer {
    if (this.#drawn.length < length) this.#drawn = this.#random.bytes(DRAWN_BYTES);
    const bytes = this.#drawn.subarray(0, length);
    this.#drawn = this.#drawn.subarray(length);
    return bytes;
  }
}

/** A fingerprint; says nothing of the key that helps to find it. */
export function keyIdOf(key: KeyObject): number {
  const bytes = key.export();
  const digest = createHash('sha256').update(KEY_ID_LABEL).update(bytes).digest();
  bytes.fill(0);
  return digest.readUInt32LE(0);
}

/** How a key id is written for people, and in the layout. */
export function formatKeyId(id: number): string {
  return id.toString(16).padStart(8, '0');
}

/** The opposite of `formatKeyId`. */
export function parseKeyId(text: string): number {
  return Number.parseInt(text, 16);
}

function derive(key: KeyObject, { salt, kind, fileId }: FileKeyScope): FileKey {
  const info = Buffer.alloc(BLOCK_LABEL.length + 9);
  info.write(BLOCK_LABEL, 'latin1');
  info[BLOCK_LABEL.length] = kind;
  info.writeBigUInt64LE(BigInt(fileId), BLOCK_LABEL.length + 1);
  const bytes = Buffer.from(hkdfSync('sha256', key, salt, info, 2 * KEY_BYTES));
  const derived = {
    cipher: createSecretKey(bytes.subarray(0, KEY_BYTES)),
    nonce: createSecretKey(bytes.subarray(KEY_BYTES)),
  };
  bytes.fill(0);
  return derived;
}

function numbered(keys: readonly KeyObject[]): ReadonlyMap<number, KeyObject> {
  const found = new Map<number, KeyObject>();
  for (const [index, key] of keys.entries()) {
    if (key.type !== 'secret' || key.symmetricKeySize !== KEY_BYTES) {
      throw invalidKey(`a key must be ${KEY_BYTES} bytes key=${index + 1}`);
    }
    if (key.equals(ALL_ZERO)) throw invalidKey(`a key must not be all zeros key=${index + 1}`);
    const id = keyIdOf(key);
    if (id === 0) throw invalidKey(`this key cannot be used, generate another key=${index + 1}`);
    if (found.has(id)) {
      throw invalidKey(`the same key is there twice key=${index + 1} id=${formatKeyId(id)}`);
    }
    found.set(id, key);
  }
  if (found.size === 0) throw invalidKey('there is no key');
  return found;
}

function firstOf(keys: ReadonlyMap<number, KeyObject>): NumberedKey {
  for (const [id, key] of keys) return { id, key };
  throw invalidKey('there is no key');
}

export function invalidKey(reason: string): HoldfastError {
  return new HoldfastError('INVALID_KEY', reason);
}
