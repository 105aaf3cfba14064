/**
 * Who may do what with a record at one time: calls on its subkeys beside each other (`shared`), calls
 * that make, end or lock it alone (`exclusive`). In the order in which they came: none waits for ever.
 * Sets of one subkey take turns in the engine.
 */
import type { RecordId } from '../record-key.ts';

interface RecordLock {
  /** Ended once the newest exclusive call has. Never rejects. */
  exclusive: Promise<unknown>;
  /** Of shared calls since then. Never reject. */
  shared: Promise<unknown>[];
  users: number;
}

export class RecordLocks {
  readonly #locks = new Map<RecordId, RecordLock>();

  shared<Result>(record: RecordId, work: () => Promise<Result>): Promise<Result> {
    const lock = this.#lock(record);
    const done = lock.exclusive.then(work);
    lock.shared.push(quiet(done));
    return this.#used(record, lock, done);
  }

  exclusive<Result>(record: RecordId, work: () => Promise<Result>): Promise<Result> {
    const lock = this.#lock(record);
    const done = Promise.all([lock.exclusive, ...lock.shared]).then(work);
    lock.exclusive = quiet(done);
    lock.shared = [];
    return this.#used(record, lock, done);
  }

  #lock(record: RecordId): RecordLock {
    let lock = this.#locks.get(record);
    if (lock === undefined) {
      lock = { exclusive: Promise.resolve(), shared: [], users: 0 };
      this.#locks.set(record, lock);
    }
    return lock;
  }

  async #used<Result>(record: RecordId, lock: RecordLock, done: Promise<Result>): Promise<Result> {
    lock.users++;
    try {
      return await done;
    } finally {
      if (--lock.users === 0) this.#locks.delete(record);
    }
  }
}

function quiet(work: Promise<unknown>): Promise<unknown> {
  return work.catch(() => undefined);
}
