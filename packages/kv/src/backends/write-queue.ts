/**
 * Writes that wait for their turn, in the order of calls.
 *
 * Invariants
 * 1. At most `LIMITS.maxWaitingWrites` writes with `maxWaitingWriteBytes` bytes wait; one more is
 *    refused, and nothing of it happens.
 * 2. A group is the longest beginning of what waits that stays within the bounds of a group, and at
 *    least one write. What its signal ended while it waited is not in it: nothing of it happened.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { abortedError } from '../kv-errors.ts';
import type { KvWrite } from '../kv-backend.ts';
import type { KvAck } from '../kv-store.ts';

export interface WaitingWrite {
  readonly writes: readonly KvWrite[];
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (acks: readonly KvAck[]) => void;
  readonly reject: (error: unknown) => void;
}

export class WriteQueue {
  #waiting: WaitingWrite[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(writes: readonly KvWrite[], signal: AbortSignal | undefined): Promise<readonly KvAck[]> {
    const bytes = bytesOf(writes);
    if (
      this.#waiting.length >= LIMITS.maxWaitingWrites ||
      (this.#waiting.length > 0 && this.#bytes + bytes > LIMITS.maxWaitingWriteBytes)
    ) {
      return Promise.reject(
        new HoldfastError('COMMIT_QUEUE_FULL', 'too many writes wait for the store'),
      );
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, bytes, signal, resolve, reject });
      this.#bytes += bytes;
    });
  }

  /** I2. */
  takeGroup(): WaitingWrite[] {
    const group: WaitingWrite[] = [];
    let operations = 0;
    let bytes = 0;
    let taken = 0;
    for (const each of this.#waiting) {
      operations += each.writes.length;
      bytes += each.bytes;
      const full = operations > LIMITS.maxGroupOperations || bytes > LIMITS.maxGroupBytes;
      if (full && group.length > 0) break;
      taken++;
      this.#bytes -= each.bytes;
      if (each.signal?.aborted) each.reject(abortedError(each.signal));
      else group.push(each);
    }
    this.#waiting = this.#waiting.slice(taken);
    return group;
  }
}

function bytesOf(writes: readonly KvWrite[]): number {
  let bytes = 0;
  for (const write of writes) {
    bytes += write.key.length + (write.type === 'put' ? write.value.length : 0);
  }
  return bytes;
}
