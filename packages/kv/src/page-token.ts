/**
 * Tokens of pages: where the next page goes on, and what the token is good for.
 *
 * | size | field |
 * | --- | --- |
 * | 1 | version, 2 |
 * | 8 | first bytes of the SHA-256 of store, order, direction and prefix |
 * | varint | `seq` of the last entry of the page |
 * | string | its key, without the prefix |
 * | 4 | CRC-32C of all before |
 *
 * The prefix is asked for together with the token: so both fit into a URL, however long they are.
 */
import { createHash } from 'node:crypto';
import {
  assert,
  ByteReader,
  ByteWriter,
  crc32c,
  hasCode,
  HoldfastError,
  LIMITS,
} from '@holdfast/core';
import type { CreatedPlace } from './kv-backend.ts';
import type { KvPageOptions } from './kv-store.ts';

const VERSION = 2;
const BINDING_BYTES = 8;
const CRC_BYTES = 4;

type Bound = Pick<KvPageOptions, 'order' | 'reverse' | 'prefix'>;

/** @param last entry that was given: its key begins with the prefix. */
export function encodePageToken(storeId: string, page: Bound, last: CreatedPlace): string {
  const { prefix = '' } = page;
  assert(last.key.startsWith(prefix), 'an entry of a page is none of its prefix');
  const body = new ByteWriter().u8(VERSION).raw(binding(storeId, page)).varint(last.seq);
  const bytes = body.string(last.key.slice(prefix.length)).finish();
  return new ByteWriter().raw(bytes).u32(crc32c(bytes)).finish().toString('base64url');
}

/** The entry behind which the page begins; it need not be there any more. */
export function decodePageToken(storeId: string, page: Bound, token: string): CreatedPlace {
  if (typeof token !== 'string' || token.length > LIMITS.maxPageTokenChars) throw invalid();
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length <= CRC_BYTES || bytes.toString('base64url') !== token) throw invalid();
  const body = bytes.subarray(0, -CRC_BYTES);
  if (bytes.readUInt32LE(body.length) !== crc32c(body)) throw invalid();
  const { seq, key } = readBody(body, binding(storeId, page));
  return { seq, key: `${page.prefix ?? ''}${key}` };
}

/** A checksum is no seal: whoever wants to can make one up. */
function readBody(body: Buffer, bound: Buffer): CreatedPlace {
  try {
    const reader = new ByteReader(body);
    if (reader.u8() !== VERSION || !reader.raw(BINDING_BYTES).equals(bound)) throw invalid();
    const seq = reader.varint();
    const bytes = reader.bytes();
    reader.end();
    const key = bytes.toString('utf8');
    if (!Buffer.from(key).equals(bytes)) throw invalid();
    return { seq, key };
  } catch (cause) {
    throw hasCode(cause, 'FORMAT_INVALID') ? invalid() : cause;
  }
}

function binding(storeId: string, { order, reverse = false, prefix = '' }: Bound): Buffer {
  const bound = JSON.stringify([storeId, order, reverse, prefix]);
  return createHash('sha256').update(bound).digest().subarray(0, BINDING_BYTES);
}

function invalid(): HoldfastError {
  return new HoldfastError(
    'INVALID_PAGE_TOKEN',
    'page token is not one of this store, order, direction and prefix',
  );
}
