/** Who waits until subkeys are no longer queued. What is queued later, they do not wait for. */
import { type Clock, HoldfastError } from '@holdfast/core';
import type { RecordId } from '../record-key.ts';
import type { FlushOptions, FlushResult } from '../records.ts';
import type { SubkeySet } from '../subkey-set.ts';

interface FlushWait {
  readonly record: RecordId;
  left: SubkeySet;
  readonly end: (result: FlushResult | HoldfastError) => void;
}

export class FlushWaits {
  readonly #clock: Clock;
  readonly #waits = new Set<FlushWait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Until all of these are `sent`. */
  wait(record: RecordId, subkeys: SubkeySet, options: FlushOptions): Promise<FlushResult> {
    const { timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      const end = (result: FlushResult | HoldfastError): void => {
        this.#waits.delete(wait);
        timer?.cancel();
        signal?.removeEventListener('abort', onAbort);
        if (result instanceof HoldfastError) reject(result);
        else resolve(result);
      };
      const onAbort = (): void =>
        end(new HoldfastError('ABORTED', 'the call was aborted', { effect: 'none' }));
      const wait: FlushWait = { record, left: subkeys, end };
      const onTimeout = (): void => end({ status: 'pending', subkeys: wait.left });
      const timer = timeoutMs === undefined ? undefined : this.#clock.after(timeoutMs, onTimeout);
      this.#waits.add(wait);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  sent(record: RecordId, subkey: number): void {
    for (const wait of [...this.#waits]) {
      if (wait.record !== record) continue;
      wait.left = wait.left.without(subkey);
      if (wait.left.isEmpty) wait.end({ status: 'flushed' });
    }
  }

  /** Those of one record, or all. */
  fail(error: HoldfastError, record?: RecordId): void {
    for (const wait of [...this.#waits]) {
      if (record === undefined || wait.record === record) wait.end(error);
    }
  }
}
