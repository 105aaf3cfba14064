/**
 * The sealed block: the one envelope of everything at rest (log batches, tables, extents,
 * manifests, objects of a backup). FORMAT.md, "Sealed block" and "Encryption".
 *
 * | at | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | magic `HFBK` |
 * | 4 | 1 | format version, 1 |
 * | 5 | 1 | block type |
 * | 6 | 2 | flags, 0 |
 * | 8 | 4 | payload length in bytes |
 * | 12 | 4 | key id, 0 = not encrypted |
 * | 16 | 8 | file id: the segment, table or extent file it belongs to |
 * | 24 | 8 | position: byte offset of this block in its file |
 * | 32 | 16 | tag. Plain: CRC-32C of identity, bytes 0-31 and payload in the first four bytes, rest 0. Encrypted: the tag of AES-256-GCM |
 * | 48 | 12 | plain: 0. Encrypted: the nonce |
 * | 60 | 4 | CRC-32C of identity and bytes 0-59 |
 *
 * Invariants
 * 1. All-zero bytes never decode (the magic is not zero).
 * 2. A block decodes only in its own database, file and position: moved, swapped or foreign
 *    blocks are found out. The identity of the database (16 random bytes, never shown to
 *    users) seeds both checksums, so that a payload cannot pose as a block. In an encrypted block
 *    identity, bytes 0-31 and the clear part of the payload are authenticated with it.
 * 3. The length is believed only after the header's checksum held.
 * 4. A codec with keys opens no plain block, one without keys no encrypted block. A key that is
 *    not there is `KEY_MISSING`, never damage.
 * 5. A nonce is made of randomness, everything authenticated and the plaintext: even when the
 *    randomness repeats (a cloned machine) two different blocks never share key and nonce.
 * 6. Ciphertext never ends in a zero byte: no sector of an encrypted frame is zero, however short
 *    the piece of it that the frame ends with (the log tells torn from rotten by that).
 * 7. Decrypting never touches the source.
 * 8. The footer of an extent file is encrypted without randomness, which I5 allows: it follows from
 *    the manifest and is made anew, byte for byte, when it is damaged.
 */
import { type KeyObject, createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { readU64, writeU64 } from './bytes.ts';
import { crc32c } from './crc32c.ts';
import { HoldfastError } from './errors.ts';
import { type FileKey, type KeyRing, type NumberedKey, formatKeyId } from './key-ring.ts';

export const BLOCK_HEADER_BYTES = 64;
export const BLOCK_FORMAT_VERSION = 1;
/** The head of a batch frame that stays readable, and is authenticated, in an encrypted log. */
export const BATCH_CLEAR_BYTES = 64;

const MAGIC = 0x4b424648; // "HFBK", little-endian
const KEY_ID_AT = 12;
const TAG_AT = 32;
const TAG_BYTES = 16;
const NONCE_AT = 48;
const NONCE_BYTES = 12;
const NONCE_RANDOM_BYTES = 16;
const HEADER_CRC_AT = 60;
const CIPHER = 'aes-256-gcm';

/** Numbers on disk: never reused for another meaning. */
export const BLOCK_TYPES = {
  segmentHeader: 1,
  batch: 2,
  tableData: 3,
  tableIndex: 4,
  tableFilter: 5,
  tableFooter: 6,
  extentData: 7,
  extentDirectory: 8,
  extentFooter: 9,
  manifest: 10,
  writerClaim: 11,
  archivePiece: 12,
  snapshotManifest: 13,
  restorePoint: 14,
  archiveState: 15,
} as const;
export type BlockType = (typeof BLOCK_TYPES)[keyof typeof BLOCK_TYPES];

export interface BlockHeader {
  readonly type: number;
  readonly payloadLength: number;
  readonly keyId: number;
  readonly fileId: number;
  readonly position: number;
  /** A view of the 16 tag bytes. */
  readonly tag: Buffer;
}

/** Where a block belongs. */
interface BlockPlace {
  readonly type: BlockType;
  readonly fileId: number;
  readonly position: number;
}

/** What a codec made from another one has besides. */
interface CodecScope {
  readonly salt?: Uint8Array;
  readonly pinned?: NumberedKey;
}

export class BlockCodec {
  readonly #seed: number;
  readonly #databaseId: Buffer;
  readonly #ring: KeyRing | undefined;
  readonly #pinned: NumberedKey | undefined;
  /** Database id, and the salt of `salted`: what keys of files are derived with. */
  readonly #keySalt: Buffer;
  /** Blocks of one file mostly come one after the other. */
  #lastFile: { from: KeyObject; kind: number; fileId: number; key: FileKey } | undefined;

  /**
   * @param databaseId 16 bytes.
   * @param ring with it everything is encrypted, and nothing plain is opened.
   * @param scope for `salted` and `pinned`.
   */
  constructor(databaseId: Uint8Array, ring?: KeyRing, scope: CodecScope = {}) {
    if (databaseId.length !== 16) throw new TypeError('database id must be 16 bytes');
    this.#seed = crc32c(databaseId);
    this.#databaseId = Buffer.from(databaseId);
    this.#ring = ring;
    this.#pinned = scope.pinned;
    this.#keySalt = Buffer.concat([databaseId, scope.salt ?? Buffer.alloc(0)]);
  }

  get isEncrypted(): boolean {
    return this.#ring !== undefined;
  }

  get keys(): KeyRing | undefined {
    return this.#ring;
  }

  /** The key id that new blocks get; 0 without keys. */
  get keyId(): number {
    return this.#sealingKey()?.id ?? 0;
  }

  /** A codec for the frames of one segment: their key is derived with its salt too. */
  salted(salt: Uint8Array): BlockCodec {
    if (this.#ring === undefined) return this;
    return new BlockCodec(this.#databaseId, this.#ring, {
      salt,
      ...(this.#pinned === undefined ? {} : { pinned: this.#pinned }),
    });
  }

  /** A codec for one file: what is active now encrypts all of it, whatever the ring does. */
  pinned(): BlockCodec {
    if (this.#ring === undefined || this.#pinned !== undefined) return this;
    return this.#pinnedTo(this.#ring, this.#ring.active);
  }

  /** A codec that goes on with a file that was begun under `keyId`. Throws as `accepts` does. */
  under(keyId: number): BlockCodec {
    const key = this.accepts(keyId) ? this.#ring?.find(keyId) : undefined;
    return key === undefined ? this : this.#pinnedTo(this.#ring as KeyRing, key);
  }

  /**
   * Completes a block in place: the payload already stands at `at + BLOCK_HEADER_BYTES`, and is
   * encrypted there. Returns the tag as a view into `target`.
   */
  encode(target: Buffer, at: number, block: BlockPlace & { payloadLength: number }): Buffer {
    const key = this.#sealingKey();
    target.writeUInt32LE(MAGIC, at);
    target[at + 4] = BLOCK_FORMAT_VERSION;
    target[at + 5] = block.type;
    target.writeUInt16LE(0, at + 6);
    target.writeUInt32LE(block.payloadLength, at + 8);
    target.writeUInt32LE(key?.id ?? 0, at + KEY_ID_AT);
    writeU64(target, at + 16, block.fileId);
    writeU64(target, at + 24, block.position);
    target.fill(0, at + TAG_AT, at + HEADER_CRC_AT);
    if (key === undefined) {
      target.writeUInt32LE(this.#tag(target, at, block.payloadLength), at + TAG_AT);
    } else {
      this.#encrypt(target, at, block, this.#fileKey(key, block));
    }
    target.writeUInt32LE(
      crc32c(target.subarray(at, at + HEADER_CRC_AT), this.#seed),
      at + HEADER_CRC_AT,
    );
    return target.subarray(at + TAG_AT, at + TAG_AT + TAG_BYTES);
  }

  /** A whole block in a buffer of its own. */
  encodeNew(payload: Uint8Array, block: BlockPlace): Buffer {
    const target = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + payload.length);
    target.set(payload, BLOCK_HEADER_BYTES);
    this.encode(target, 0, { ...block, payloadLength: payload.length });
    return target;
  }

  /**
   * The header at `at`, if its own checksum holds; `undefined` otherwise. Says nothing about
   * the payload, nor whether the block belongs here.
   */
  peekHeader(source: Buffer, at: number): BlockHeader | undefined {
    if (source.length - at < BLOCK_HEADER_BYTES) return undefined;
    if (source.readUInt32LE(at) !== MAGIC) return undefined;
    const expected = source.readUInt32LE(at + HEADER_CRC_AT);
    if (crc32c(source.subarray(at, at + HEADER_CRC_AT), this.#seed) !== expected) return undefined;
    if (source[at + 4] !== BLOCK_FORMAT_VERSION) {
      throw new HoldfastError(
        'FORMAT_UNSUPPORTED',
        `block was written by another format version, upgrade holdfast version=${source[at + 4]}`,
      );
    }
    return {
      type: source[at + 5] as number,
      payloadLength: source.readUInt32LE(at + 8),
      keyId: source.readUInt32LE(at + KEY_ID_AT),
      fileId: readU64(source, at + 16),
      position: readU64(source, at + 24),
      tag: source.subarray(at + TAG_AT, at + TAG_AT + TAG_BYTES),
    };
  }

  /**
   * Whether this codec opens blocks under `keyId`, which an intact header in its place names. I4:
   * false is a change of what was written. Throws `KEY_MISSING`.
   */
  accepts(keyId: number): boolean {
    if (this.#ring === undefined) return keyId === 0;
    if (keyId === 0) return false;
    if (this.#ring.has(keyId) || this.#pinned?.id === keyId) return true;
    throw new HoldfastError(
      'KEY_MISSING',
      `the key that this is encrypted with was not given keyId=${formatKeyId(keyId)}`,
      { details: { keyId } },
    );
  }

  /**
   * The payload of the block at `at` after every check held; `undefined` when anything is wrong.
   * A view of a plain block, memory of its own for an encrypted one (I7). Callers that must say
   * what is wrong use `decode`. Throws as `accepts` does.
   */
  open(source: Buffer, at: number, expected: BlockPlace): Buffer | undefined {
    const header = this.peekHeader(source, at);
    if (
      header === undefined ||
      header.type !== expected.type ||
      header.fileId !== expected.fileId ||
      header.position !== expected.position ||
      header.payloadLength > source.length - at - BLOCK_HEADER_BYTES ||
      !this.accepts(header.keyId)
    ) {
      return undefined;
    }
    if (header.keyId !== 0) return this.#decrypt(source, at, header);
    if (this.#tag(source, at, header.payloadLength) !== header.tag.readUInt32LE(0)) {
      return undefined;
    }
    const start = at + BLOCK_HEADER_BYTES;
    return source.subarray(start, start + header.payloadLength);
  }

  /** Like `open`, but damage throws `CHECKSUM_MISMATCH` naming the file and position. */
  decode(source: Buffer, at: number, expected: BlockPlace & { path: string }): Buffer {
    const payload = this.open(source, at, expected);
    if (payload === undefined) {
      throw new HoldfastError(
        'CHECKSUM_MISMATCH',
        `block is damaged path=${expected.path} position=${expected.position}`,
        { details: { path: expected.path, position: expected.position } },
      );
    }
    return payload;
  }

  #pinnedTo(ring: KeyRing, pinned: NumberedKey): BlockCodec {
    const salt = this.#keySalt.subarray(this.#databaseId.length);
    return new BlockCodec(this.#databaseId, ring, { salt, pinned });
  }

  #tag(buffer: Buffer, at: number, payloadLength: number): number {
    const header = crc32c(buffer.subarray(at, at + TAG_AT), this.#seed);
    const start = at + BLOCK_HEADER_BYTES;
    return crc32c(buffer.subarray(start, start + payloadLength), header);
  }

  #sealingKey(): NumberedKey | undefined {
    return this.#pinned ?? this.#ring?.active;
  }

  #fileKey(key: NumberedKey, { type, fileId }: { type: number; fileId: number }): FileKey {
    const kind = kindOf(type);
    const last = this.#lastFile;
    if (last?.from === key.key && last.kind === kind && last.fileId === fileId) return last.key;
    const found = (this.#ring as KeyRing).fileKey(key, { salt: this.#keySalt, kind, fileId });
    this.#lastFile = { from: key.key, kind, fileId, key: found };
    return found;
  }

  /** Payload to ciphertext, tag and nonce, in place; the rest of the header stands. */
  #encrypt(
    target: Buffer,
    at: number,
    block: { type: number; payloadLength: number },
    key: FileKey,
  ): void {
    const start = at + BLOCK_HEADER_BYTES;
    const clear = Math.min(clearBytes(block.type), block.payloadLength);
    const aad = this.#authenticated(target, at, clear);
    const plain = target.subarray(start + clear, start + block.payloadLength);
    for (let attempt = 0; ; attempt++) {
      const nonce = this.#nonce(key, aad, plain, attempt, block.type);
      const cipher = createCipheriv(CIPHER, key.cipher, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(aad);
      const encrypted = cipher.update(plain);
      cipher.final();
      if (encrypted.at(-1) === 0) continue; // I6
      target.set(encrypted, start + clear);
      target.set(cipher.getAuthTag(), at + TAG_AT);
      target.set(nonce, at + NONCE_AT);
      return;
    }
  }

  /** I5. The whole plaintext is in it: a checksum of it could be made to collide. */
  #nonce(key: FileKey, aad: Buffer, plain: Buffer, attempt: number, type: number): Buffer {
    const random =
      type === BLOCK_TYPES.extentFooter // I8
        ? Buffer.alloc(NONCE_RANDOM_BYTES)
        : (this.#ring as KeyRing).randomBytes(NONCE_RANDOM_BYTES);
    return createHmac('sha256', key.nonce)
      .update(random)
      .update(Uint8Array.of(attempt))
      .update(aad)
      .update(plain)
      .digest()
      .subarray(0, NONCE_BYTES);
  }

  #decrypt(source: Buffer, at: number, header: BlockHeader): Buffer | undefined {
    const ring = this.#ring as KeyRing;
    const pinned = this.#pinned?.id === header.keyId ? this.#pinned : undefined;
    const key = this.#fileKey((pinned ?? ring.find(header.keyId)) as NumberedKey, header);
    const start = at + BLOCK_HEADER_BYTES;
    const clear = Math.min(clearBytes(header.type), header.payloadLength);
    const nonce = source.subarray(at + NONCE_AT, at + NONCE_AT + NONCE_BYTES);
    const decipher = createDecipheriv(CIPHER, key.cipher, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(this.#authenticated(source, at, clear));
    decipher.setAuthTag(header.tag);
    const plain = decipher.update(source.subarray(start + clear, start + header.payloadLength));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    if (clear === 0) return plain;
    const payload = Buffer.allocUnsafeSlow(header.payloadLength);
    source.copy(payload, 0, start, start + clear);
    plain.copy(payload, clear);
    return payload;
  }

  /** What is authenticated besides the ciphertext. */
  #authenticated(source: Buffer, at: number, clear: number): Buffer {
    const start = at + BLOCK_HEADER_BYTES;
    return Buffer.concat([
      this.#databaseId,
      source.subarray(at, at + TAG_AT),
      source.subarray(start, start + clear),
    ]);
  }
}

/** Bytes of a payload that stay readable; they are authenticated. */
function clearBytes(type: number): number {
  if (type === BLOCK_TYPES.segmentHeader) return Number.MAX_SAFE_INTEGER;
  return type === BLOCK_TYPES.batch ? BATCH_CLEAR_BYTES : 0;
}

/** The kind of file a block is in: files of one kind have ids of their own. */
function kindOf(type: number): number {
  if (type <= BLOCK_TYPES.batch) return BLOCK_TYPES.segmentHeader;
  if (type <= BLOCK_TYPES.tableFooter) return BLOCK_TYPES.tableData;
  return type <= BLOCK_TYPES.extentFooter ? BLOCK_TYPES.extentData : type;
}
