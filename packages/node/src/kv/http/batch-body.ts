/**
 * The body of a batch: `{"operations": […]}`, read strictly. What is not understood is refused and not
 * skipped: a misspelt condition would otherwise be none.
 */
import { isUtf8 } from 'node:buffer';
import { closestName, HoldfastError } from '@holdfast/core';
import type { KvOperation } from '@holdfast/kv';
import { HALF_CHARACTER } from '@holdfast/streams';
import { parseExpiryTime } from './entry-expiry.ts';

type Members = Readonly<Record<string, unknown>>;

const BATCH = ['operations'];
const PUT = ['type', 'key', 'value', 'text', 'ifVersion', 'ifAbsent', 'ttlMs', 'expiresAt'];
const DELETE = ['type', 'key', 'ifVersion'];

/** Throws `INVALID_JSON`, `INVALID_TTL` and `RECORD_TOO_LARGE`. */
export function parseBatch(bytes: Buffer, maxOperations: number): KvOperation[] {
  if (!isUtf8(bytes)) throw invalid('the body is no text in UTF-8');
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalid('the body is not JSON');
  }
  const { operations } = membersOf(body, 'the body', BATCH);
  if (!Array.isArray(operations)) throw invalid('operations is not a list');
  if (operations.length > maxOperations) {
    const count = `got=${operations.length} limit=${maxOperations}`;
    throw new HoldfastError('RECORD_TOO_LARGE', `batch has too many operations ${count}`);
  }
  return operations.map((operation, at) => parseOperation(operation, `operations[${at}]`));
}

function parseOperation(operation: unknown, where: string): KvOperation {
  const isDelete = (operation as { type?: unknown } | null)?.type === 'del';
  const members = membersOf(operation, where, isDelete ? DELETE : PUT);
  const { type, key } = members;
  if (type !== 'put' && type !== 'del') throw invalid(`type of ${where} is neither put nor del`);
  if (typeof key !== 'string') throw invalid(`key of ${where} is not a text`);
  const ifVersion = countOf(members, 'ifVersion', where, 0);
  if (type === 'del') return { type, key, ifVersion };
  const ifAbsent = flagOf(members, 'ifAbsent', where);
  if (ifAbsent === true && ifVersion !== undefined) {
    throw invalid(`ifAbsent and ifVersion of ${where} exclude each other`);
  }
  const value = valueOf(members, where);
  return { type: 'put', key, value, ifVersion, ifAbsent, ...expiryOf(members, where) };
}

function valueOf({ value, text }: Members, where: string): Buffer {
  if ((value === undefined) === (text === undefined)) {
    throw invalid(`${where} needs either value, in base64, or text`);
  }
  if (value === undefined) {
    if (typeof text !== 'string' || HALF_CHARACTER.test(text)) {
      throw invalid(`text of ${where} is not a text`);
    }
    return Buffer.from(text);
  }
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
  // Node.js skips what is not base64: only what comes out again is.
  if (bytes?.toString('base64') !== value) throw invalid(`value of ${where} is not base64`);
  return bytes as Buffer;
}

function expiryOf(
  members: Members,
  where: string,
): { readonly ttlMs?: number; readonly expiresAtMs?: number } {
  const { expiresAt } = members;
  const ttlMs = countOf(members, 'ttlMs', where, 1);
  if (expiresAt === undefined) return ttlMs === undefined ? {} : { ttlMs };
  if (ttlMs !== undefined) throw invalid(`ttlMs and expiresAt of ${where} exclude each other`);
  if (typeof expiresAt !== 'string') throw invalid(`expiresAt of ${where} is not a text`);
  return { expiresAtMs: parseExpiryTime(expiresAt) };
}

function membersOf(value: unknown, where: string, known: readonly string[]): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`${where} is not an object`);
  }
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const near = closestName(name, known);
    const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
    throw invalid(`a member of ${where} is not known, ${hint}`);
  }
  // Of its own alone: what an object inherits is nobody's.
  return Object.assign(Object.create(null) as object, value) as Members;
}

function countOf(members: Members, name: string, where: string, least: number): number | undefined {
  const value = members[name];
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw invalid(`${name} of ${where} is not a whole number of at least ${least}`);
  }
  return value as number;
}

function flagOf(members: Members, name: string, where: string): boolean | undefined {
  const value = members[name];
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalid(`${name} of ${where} is not true or false`);
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_JSON', message);
}
