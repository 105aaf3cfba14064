/**
 * What a compactor and its thread tell each other. Posting turns buffers into plain byte
 * arrays, drags the memory around a view along, and strips errors of their class: this puts
 * all three right.
 */
import type { KeyObject } from 'node:crypto';
import {
  type Effect,
  ERROR_CODES,
  type ErrorCode,
  HoldfastError,
  isHoldfastError,
} from '@holdfast/core';
import type { CompactionJob } from './compaction.ts';
import type { TableInfo } from './table-info.ts';

/** A job without what only lives in one thread. */
type PostedJob = Omit<CompactionJob, 'keys'>;

export interface CompactionRequest {
  readonly job: PostedJob;
  /** Of the key ring, the active one first. Handles: their bytes are in no message. */
  readonly keys: readonly KeyObject[] | undefined;
  readonly bytesPerSecond: number;
}

export type CompactionReply =
  | { readonly ok: true; readonly info: TableInfo | undefined }
  | { readonly ok: false; readonly error: PostedError };

interface PostedError {
  readonly code: string | undefined;
  readonly message: string;
  readonly effect: Effect;
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

/** Copies every view, so that posting it does not post the whole block it lies in. */
export function postableJob(job: CompactionJob): PostedJob {
  return {
    databaseId: Uint8Array.from(job.databaseId),
    inputs: job.inputs.map(({ path, info }) => ({ path, info: postableInfo(info) })),
    output: job.output,
    dropTombstones: job.dropTombstones,
  };
}

export function postableInfo(info: TableInfo): TableInfo {
  return mapBytes(info, (bytes) => Uint8Array.from(bytes) as Buffer);
}

/** The opposite of `postableJob`, on the other side. */
export function receivedJob(job: PostedJob): PostedJob {
  return {
    ...job,
    inputs: job.inputs.map(({ path, info }) => ({ path, info: receivedInfo(info) })),
  };
}

export function receivedInfo(info: TableInfo): TableInfo {
  return mapBytes(info, (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

export function postableError(error: unknown): PostedError {
  if (isHoldfastError(error)) {
    const { code, message, effect, details } = error;
    return { code, message, effect, details };
  }
  return { code: undefined, message: String(error), effect: 'none', details: {} };
}

export function receivedError(error: PostedError): HoldfastError {
  const { message, effect, details } = error;
  if (error.code === undefined || !Object.hasOwn(ERROR_CODES, error.code)) {
    return new HoldfastError('INTERNAL_ERROR', `compaction failed: ${message}`, { effect });
  }
  return new HoldfastError(error.code as ErrorCode, message, { effect, details });
}

function mapBytes(info: TableInfo, change: (bytes: Uint8Array) => Buffer): TableInfo {
  return {
    ...info,
    firstKey: change(info.firstKey),
    lastKey: change(info.lastKey),
    digest: change(info.digest),
  };
}
