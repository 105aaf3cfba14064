/**
 * How far the archive is behind the log: counted as things happen, so that asking costs nothing.
 * Times are those of batches where they are known, else of when a batch was settled.
 */
import type { Clock, Lsn } from '@holdfast/core';
import type { Log, StoredRecord } from '@holdfast/log';
import { ARCHIVED_RECORD_BYTES } from '../repository/archive-piece.ts';

/** Where the log stood when a round of the archive began. */
export interface LagTurn {
  readonly payloadBytes: number;
  readonly writtenBytes: number;
}

export class ArchiveLag {
  readonly #log: Log;
  readonly #clock: Clock;
  #archivedLsn: Lsn;
  /** Of the oldest record that is not archived; `undefined` for none, or as long as unknown. */
  #oldestMs: number | undefined;
  /** Of the oldest record that came since the round under way began. */
  #laterMs: number | undefined;
  #inTurn = false;
  /** `writtenBytes` of the log up to which all is archived; below 0 for what earlier lives left. */
  #archivedBytes: number;
  #archivedPayloadBytes = 0;

  constructor(log: Log, clock: Clock, archivedLsn: Lsn) {
    this.#log = log;
    this.#clock = clock;
    this.#archivedLsn = archivedLsn;
    this.#archivedBytes = log.writtenBytes - this.#backlogBytes();
  }

  /** Records up to `lsn` are durable. */
  durable(lsn: Lsn): void {
    if (lsn <= this.#archivedLsn) return;
    if (this.#inTurn) this.#laterMs ??= this.#clock.now();
    else this.#oldestMs ??= this.#clock.now();
  }

  /** A round of the archive begins: it takes what is durable now. */
  turn(): LagTurn {
    this.#inTurn = true;
    this.#oldestMs ??= this.#laterMs; // of a round that failed
    this.#laterMs = undefined;
    return { payloadBytes: this.#payloadBytes(), writtenBytes: this.#log.writtenBytes };
  }

  /** The next record to be archived. */
  oldest(record: StoredRecord): void {
    this.#oldestMs = record.committedAtMs;
  }

  archived(lsn: Lsn): void {
    this.#archivedLsn = lsn;
  }

  /** @param leftBytes of what was durable when it began, and waits for more. */
  roundEnded({ payloadBytes, writtenBytes }: LagTurn, leftBytes: number): void {
    this.#inTurn = false;
    this.#archivedPayloadBytes = payloadBytes - leftBytes;
    this.#archivedBytes = writtenBytes - leftBytes;
    if (leftBytes === 0) this.#oldestMs = this.#laterMs;
    this.#laterMs = undefined;
  }

  /** Bytes that the records durable since the last round would take in a piece, about. */
  pieceBytes(): number {
    return this.#payloadBytes() - this.#archivedPayloadBytes;
  }

  stats(): { lagSeconds: number; lagRecords: number; lagBytes: number } {
    const lagRecords = Math.max(0, this.#log.durableLsn - this.#archivedLsn);
    if (lagRecords === 0) return { lagSeconds: 0, lagRecords, lagBytes: 0 };
    const since = this.#oldestMs ?? this.#laterMs ?? this.#clock.now();
    const lagSeconds = Math.max(0, (this.#clock.now() - since) / 1000);
    return { lagSeconds, lagRecords, lagBytes: this.#log.writtenBytes - this.#archivedBytes };
  }

  #payloadBytes(): number {
    const { payloadBytes, records } = this.#log.stats();
    return payloadBytes + records * ARCHIVED_RECORD_BYTES;
  }

  /** Of segments that hold any of it. */
  #backlogBytes(): number {
    return this.#log
      .segments()
      .reduce((sum, { lastLsn, bytes }) => sum + (lastLsn > this.#archivedLsn ? bytes : 0), 0);
  }
}
