/** The options of a call, checked once for every backend. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { preconditionFailed, unsupported, type Condition } from './object-errors.ts';
import type { ListOptions, ObjectStoreCapabilities, PutOptions } from './object-store.ts';

const WRITE_ID = /^[0-9a-f]{32}$/;

/** Wrong arguments are `TypeError`s; a condition the store does not keep is refused (rule 3). */
export function conditionOf(
  options: PutOptions,
  capabilities: ObjectStoreCapabilities,
): Condition | undefined {
  const { ifAbsent = false, ifMatch, writeId, contentLength } = options;
  if (ifAbsent && ifMatch !== undefined) throw new TypeError('ifAbsent and ifMatch exclude');
  if (ifMatch !== undefined && !/^[\x21\x23-\x7e]{1,128}$/.test(ifMatch)) {
    throw new TypeError('ifMatch is not an etag');
  }
  if (writeId !== undefined && !WRITE_ID.test(writeId)) {
    throw new TypeError('writeId is not 32 hexadecimal digits');
  }
  if (contentLength !== undefined && (!Number.isSafeInteger(contentLength) || contentLength < 0)) {
    throw new TypeError(`contentLength is not a number of bytes: ${contentLength}`);
  }
  const condition = ifAbsent ? 'ifAbsent' : ifMatch === undefined ? undefined : 'ifMatch';
  if (condition !== undefined && !capabilities[condition]) {
    throw unsupported(`the object store does not enforce ${condition}`);
  }
  return condition;
}

/** Refuses what is larger than the store puts with a condition. */
export function assertConditionalSize(
  condition: Condition | undefined,
  bytes: number,
  { maxConditionalBytes }: ObjectStoreCapabilities,
): void {
  if (condition === undefined || bytes <= maxConditionalBytes) return;
  throw new HoldfastError(
    'OBJECT_TOO_LARGE',
    `too large to be put with a condition bytes=${bytes} limit=${maxConditionalBytes}`,
  );
}

/** @param etag of the object that is there. */
export function assertCondition(key: string, options: PutOptions, etag: string | undefined): void {
  if (options.ifAbsent === true && etag !== undefined) throw preconditionFailed(key, 'ifAbsent');
  if (options.ifMatch !== undefined && etag !== options.ifMatch) {
    throw preconditionFailed(key, 'ifMatch');
  }
}

export function listBounds(options: ListOptions): { prefix: string; after: string; limit: number } {
  const { prefix = '', after = '', limit = LIMITS.objectListKeys } = options;
  if (!Number.isSafeInteger(limit) || limit < 1) throw new TypeError(`not a limit: ${limit}`);
  return { prefix, after, limit: Math.min(limit, LIMITS.objectListKeys) };
}
