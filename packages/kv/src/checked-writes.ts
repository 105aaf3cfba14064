/** What a caller asks to be written, checked: rules 1, 2, 9 and 20 of the contract. */
import { LIMITS } from '@holdfast/core';
import type { KvDeleteWrite, KvPutWrite, KvWrite } from './kv-backend.ts';
import { tooLarge, unsupported } from './kv-errors.ts';
import { assertKey } from './kv-key.ts';
import type {
  KvCapabilities,
  KvDeleteOperation,
  KvOperation,
  KvPutConditions,
  KvPutOperation,
  KvStamp,
} from './kv-store.ts';

export function checkBatch(
  operations: readonly KvOperation[],
  capabilities: KvCapabilities,
  nowMs: () => number,
): KvWrite[] {
  const { atomicBatch, maxBatchOperations, maxBatchBytes } = capabilities;
  if (!Array.isArray(operations)) throw new TypeError('a batch is an array of operations');
  if (operations.length > 1 && !atomicBatch) throw unsupported('a batch of several operations');
  if (operations.length > maxBatchOperations) {
    throw tooLarge('batch', operations.length, maxBatchOperations);
  }
  let bytes = 0;
  for (const operation of operations) {
    bytes += assertKey(operation.key, capabilities.maxKeyBytes);
    if (operation.type === 'put') bytes += valueBytes(operation.value, capabilities);
  }
  if (bytes > maxBatchBytes && operations.length > 1) {
    throw tooLarge('batch', bytes, maxBatchBytes);
  }
  return operations.map((operation) => checkOperation(operation, capabilities, nowMs));
}

function checkOperation(
  operation: KvOperation,
  capabilities: KvCapabilities,
  nowMs: () => number,
): KvWrite {
  switch (operation.type) {
    case 'put':
      return checkPut(operation, capabilities, nowMs);
    case 'del':
      return checkDelete(operation, capabilities);
    default:
      throw new TypeError('an operation is a put or a del');
  }
}

function checkPut(
  options: KvPutOperation,
  capabilities: KvCapabilities,
  nowMs: () => number,
): KvPutWrite {
  const { key, value, ifAbsent = false, stamp } = options;
  const ifVersion = checkVersion(options.ifVersion, capabilities);
  if (ifAbsent && !capabilities.compareAndSet) throw unsupported('ifAbsent');
  if (ifAbsent && ifVersion !== undefined) {
    throw new TypeError('ifAbsent and ifVersion exclude each other');
  }
  if (stamp !== undefined) {
    if (!capabilities.stamps) throw unsupported('stamp');
    if (ifAbsent || ifVersion !== undefined) {
      throw new TypeError('a stamped put has no condition');
    }
    assertStamp(stamp);
  }
  return {
    type: 'put',
    key,
    value: Buffer.from(value), // rule 3
    expiresAtMs: expiryOf(options, capabilities, nowMs),
    ifVersion,
    ifAbsent,
    stamp,
  };
}

function checkDelete(
  { key, ifVersion }: KvDeleteOperation,
  capabilities: KvCapabilities,
): KvDeleteWrite {
  return { type: 'del', key, ifVersion: checkVersion(ifVersion, capabilities) };
}

function valueBytes(value: Uint8Array, { maxValueBytes }: KvCapabilities): number {
  if (!(value instanceof Uint8Array)) throw new TypeError('a value is a Uint8Array');
  if (value.length > maxValueBytes) throw tooLarge('value', value.length, maxValueBytes);
  return value.length;
}

function checkVersion(
  ifVersion: number | undefined,
  capabilities: KvCapabilities,
): number | undefined {
  if (ifVersion === undefined) return undefined;
  assertCount('ifVersion', ifVersion);
  if (!capabilities.compareAndSet) throw unsupported('ifVersion');
  return ifVersion;
}

function expiryOf(
  { ttlMs, expiresAtMs }: KvPutConditions,
  capabilities: KvCapabilities,
  nowMs: () => number,
): number | undefined {
  if (ttlMs === undefined && expiresAtMs === undefined) return undefined;
  if (!capabilities.ttl) throw unsupported('expiry');
  if (ttlMs !== undefined && expiresAtMs !== undefined) {
    throw new TypeError('ttlMs and expiresAtMs exclude each other');
  }
  if (expiresAtMs !== undefined) {
    assertCount('expiresAtMs', expiresAtMs);
    return expiresAtMs;
  }
  assertCount('ttlMs', ttlMs as number, 1);
  return Math.min(nowMs() + (ttlMs as number), Number.MAX_SAFE_INTEGER);
}

function assertStamp({ seq, version, epoch }: KvStamp): void {
  assertCount('seq', seq, 1);
  assertCount('version', version, seq);
  assertCount('epoch', epoch);
  // Later writes go above it, and are numbers too.
  if (version > LIMITS.maxStampedVersion)
    throw tooLarge('version', version, LIMITS.maxStampedVersion);
}

export function assertCount(name: string, value: number, least = 0): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new TypeError(`${name} is not a whole number of at least ${least}: ${value}`);
  }
}
