/**
 * A transaction as applications have it: while it lasts its records are locked here against plain sets.
 * It unlocks them once, when it ends: by a call, because peers ended it, or after `transactionLifeMs`,
 * when no peer knows it any more. So one that an application forgot locks nothing for ever.
 *
 * Owner: the application; `PeerRecords` rolls back those of records that are closed.
 */
import { type Clock, hasCode, RECORD_LIMITS, type Timer } from '@holdfast/core';
import type { RecordId, RecordKey } from '../record-key.ts';
import type {
  GetResult,
  InspectReport,
  RecordCallOptions,
  RecordTransaction,
  SetResult,
} from '../records.ts';
import type { Sequence } from '../sequence.ts';

export interface TransactionWrite {
  readonly record: RecordId;
  readonly subkey: number;
  readonly sequence: Sequence;
}

export class LockedTransaction implements RecordTransaction {
  readonly #inner: RecordTransaction;
  readonly #unlock: () => void;
  readonly #onCommitted: (written: readonly TransactionWrite[]) => void;
  readonly #written: TransactionWrite[] = [];
  readonly #timer: Timer;
  #isCommitting = false;

  constructor(
    clock: Clock,
    inner: RecordTransaction,
    unlock: () => void,
    onCommitted: (written: readonly TransactionWrite[]) => void,
  ) {
    this.#inner = inner;
    this.#unlock = unlock;
    this.#onCommitted = onCommitted;
    const { transactionLifeMs } = RECORD_LIMITS;
    this.#timer = clock.after(transactionLifeMs, () => void this[Symbol.asyncDispose]());
  }

  get(key: RecordKey, subkey: number, options?: RecordCallOptions): Promise<GetResult> {
    return this.#call(() => this.#inner.get(key, subkey, options));
  }

  set(
    key: RecordKey,
    subkey: number,
    data: Uint8Array,
    options?: RecordCallOptions,
  ): Promise<SetResult> {
    return this.#write(key, subkey, () => this.#inner.set(key, subkey, data, options));
  }

  erase(key: RecordKey, subkey: number, options?: RecordCallOptions): Promise<SetResult> {
    return this.#write(key, subkey, () => this.#inner.erase(key, subkey, options));
  }

  inspect(key: RecordKey, options?: RecordCallOptions): Promise<InspectReport> {
    return this.#call(() => this.#inner.inspect(key, options));
  }

  async commit(options?: RecordCallOptions): Promise<void> {
    if (this.#isCommitting) return this.#inner.commit(options); // refused
    this.#isCommitting = true;
    try {
      await this.#inner.commit(options);
      this.#onCommitted(this.#written);
    } finally {
      this.#isCommitting = false;
      this.#end();
    }
  }

  rollback(options?: RecordCallOptions): Promise<void> {
    return this.#last(() => this.#inner.rollback(options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#last(() => this.#inner[Symbol.asyncDispose]());
  }

  async #write(
    { id: record }: RecordKey,
    subkey: number,
    work: () => Promise<SetResult>,
  ): Promise<SetResult> {
    const result = await this.#call(work);
    const { status, sequence } = result;
    if (status === 'pending') this.#written.push({ record, subkey, sequence });
    return result;
  }

  async #call<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (hasCode(error, 'TRANSACTION_GONE')) this.#end();
      throw error;
    }
  }

  async #last(work: () => PromiseLike<void>): Promise<void> {
    try {
      await work();
    } finally {
      this.#end();
    }
  }

  /** Whatever else is called during a commit ends nothing. */
  #end(): void {
    if (this.#isCommitting) return;
    this.#timer.cancel();
    this.#unlock();
  }
}
