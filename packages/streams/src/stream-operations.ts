/**
 * The operations of the stream engine: absolute effects, one log record each (FORMAT.md,
 * "Stream records"). Data, producer state, `Stream-Seq` and closure of one append are one
 * operation, so no crash can part them.
 */
import { type Operation, RECORD_RANGES, REQUIRED_RECORD } from '@holdfast/database';
import { type Position, START } from './position.ts';
import type { ProducerTag } from './stream-store.ts';

const range = RECORD_RANGES.streams | REQUIRED_RECORD;

/** Numbers on disk: never reused for another meaning. */
export const STREAM_RECORDS = {
  create: (range | 0) as 0x8010,
  append: (range | 1) as 0x8011,
  softDelete: (range | 2) as 0x8012,
  remove: (range | 3) as 0x8013,
  setForks: (range | 4) as 0x8014,
} as const;

/** Where a fork branches off, and what was asked for (to recognise the same request again). */
export interface ForkOrigin {
  readonly sourceId: number;
  readonly sourcePath: string;
  /** The fork's own data begins here; what is before comes from the source. */
  readonly base: Position;
  readonly requestedAt?: Position;
  readonly subOffset: number;
  /** Expiry was not given but taken over from the source. */
  readonly inheritsExpiry: boolean;
}

/** Data of one append: `lengths` are its messages, the last one ends the append. */
export interface AppendData {
  readonly bytes: Buffer;
  readonly lengths: readonly number[];
}

export interface CreateOperation extends Operation {
  readonly type: typeof STREAM_RECORDS.create;
  readonly id: number;
  readonly path: string;
  readonly contentType: string;
  readonly ttlSeconds?: number;
  readonly expiresAtMs?: number;
  readonly expiresAtText?: string;
  readonly createdAtMs: number;
  readonly closed: boolean;
  readonly fork?: ForkOrigin;
  /** Starts at the fork's base, or at the start. */
  readonly initial?: AppendData;
}

export interface AppendOperation extends Operation {
  readonly type: typeof STREAM_RECORDS.append;
  readonly id: number;
  /** Where the data begins: the tail before. */
  readonly first: Position;
  /** Absent: close only. */
  readonly data?: AppendData;
  readonly producer?: ProducerTag;
  readonly streamSeq?: string;
  readonly close: boolean;
  readonly atMs: number;
}

/** The stream is gone for its users and stays for its forks. */
export interface SoftDeleteOperation extends Operation {
  readonly type: typeof STREAM_RECORDS.softDelete;
  readonly id: number;
}

export interface RemoveOperation extends Operation {
  readonly type: typeof STREAM_RECORDS.remove;
  readonly id: number;
}

/** The number of forks that name this stream as their source. */
export interface SetForksOperation extends Operation {
  readonly type: typeof STREAM_RECORDS.setForks;
  readonly id: number;
  readonly forks: number;
}

export type StreamOperation =
  CreateOperation | AppendOperation | SoftDeleteOperation | RemoveOperation | SetForksOperation;

/** The tail right after creation. */
export function tailOf(operation: CreateOperation): Position {
  const { fork, initial } = operation;
  const base = fork?.base ?? START;
  if (initial === undefined) return base;
  return {
    messages: base.messages + initial.lengths.length,
    bytes: base.bytes + initial.bytes.length,
  };
}
