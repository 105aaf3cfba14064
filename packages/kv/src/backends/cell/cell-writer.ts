/**
 * The right to write to a store of cells, and the versions that go with it.
 *
 * Invariants
 * 1. Versions are given from a block that was taken in the head before, by compare-and-set: nobody
 *    else gives one of them, and after a restart they go on above it.
 * 2. One writer at a time: whoever takes a block is the writer. A write is sent only after a look at
 *    the head that began after its call, and acknowledged only after one that began after the write
 *    ended, and both found this writer and its epoch there.
 * 3. A look is shared by all who ask for one before it begins.
 * 4. Who was found to be the writer no more does not become it again but by a claim.
 *
 * Owner: one `CellKvBackend`.
 */
import { HoldfastError, LIMITS, type Random } from '@holdfast/core';
import { fencedError } from '../../fencing.ts';
import type { Cell, CellStore } from './cell-store.ts';
import { decodeWriterHead, encodeWriterHead, NO_WRITER, type WriterHead } from './writer-head.ts';

const NAME_BYTES = 16;

export class CellWriter {
  readonly #store: CellStore;
  readonly #name: string;
  /** Nobody else can open the store: its head need not be looked at. */
  readonly #sole: boolean;
  #epoch: number;
  #next = 0;
  #end = 0;
  #started = false;
  #lost: HoldfastError | undefined;
  #taking: Promise<void> | undefined;
  #looking: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  constructor(
    components: { readonly store: CellStore; readonly random: Random },
    settings: { readonly epoch: number; readonly sole: boolean },
  ) {
    this.#store = components.store;
    this.#name = components.random.bytes(NAME_BYTES).toString('hex');
    this.#epoch = settings.epoch;
    this.#sole = settings.sole;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** It took a block; whether it still is the writer says `confirm`. */
  get isWriter(): boolean {
    return this.#started;
  }

  /** Of the versions given so far. */
  get last(): number {
    return Math.max(0, this.#next - 1);
  }

  async newest(): Promise<number> {
    return (await this.#read()).head.epoch;
  }

  async claim(epoch: number): Promise<void> {
    for (let tries = 0; tries < LIMITS.maxGroupTries; tries++) {
      const { head, cell } = await this.#read();
      if (head.epoch >= epoch) throw fencedError(head.epoch, epoch);
      if (await this.#write({ ...head, epoch }, cell, 0)) {
        this.#epoch = epoch;
        this.#lost = undefined;
        return;
      }
    }
    throw contended();
  }

  /** Becomes the writer, if it was not yet. */
  async begin(): Promise<void> {
    if (!this.#started) await this.raise(0);
  }

  /** The next version, above `floor`. I1. */
  async version(floor: number): Promise<number> {
    for (;;) {
      this.#next = Math.max(this.#next, floor + 1);
      if (this.#next < this.#end) return this.#next++;
      this.#taking ??= this.#take(floor).finally(() => (this.#taking = undefined));
      await this.#taking;
    }
  }

  /** Versions given from now on are above this one, also after a restart. */
  async raise(version: number): Promise<void> {
    while (this.#end <= version + 1) {
      this.#taking ??= this.#take(version).finally(() => (this.#taking = undefined));
      await this.#taking;
    }
    this.#next = Math.max(this.#next, version + 1);
  }

  /** I2, I3. It still is the writer; else `FENCED`. */
  confirm(): Promise<void> {
    if (this.#sole) return Promise.resolve();
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    this.#waiting ??= this.#looking
      .catch(() => undefined)
      .then(() => {
        this.#waiting = undefined;
        this.#looking = this.#look();
        return this.#looking;
      });
    return this.#waiting;
  }

  async #look(): Promise<void> {
    const { head } = await this.#read();
    if (head.writer === this.#name && head.epoch === this.#epoch) return;
    this.#lost = fencedError(head.epoch, this.#epoch); // I4
    throw this.#lost;
  }

  async #take(floor: number): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    for (let tries = 0; tries < LIMITS.maxGroupTries; tries++) {
      const { head, cell } = await this.#read();
      const lost = this.#started && head.writer !== this.#name; // I4
      if (lost || head.epoch !== this.#epoch) throw fencedError(head.epoch, this.#epoch);
      if (await this.#write(head, cell, floor)) return;
    }
    throw contended();
  }

  /** Takes a block, as the writer. */
  async #write(head: WriterHead, cell: Cell | undefined, floor: number): Promise<boolean> {
    const from = Math.max(head.taken, floor + 1);
    const taken = from + LIMITS.versionsPerBlock;
    const bytes = encodeWriterHead({ epoch: head.epoch, taken, writer: this.#name });
    if (!(await this.#store.writeHead(bytes, cell?.tag))) return false;
    this.#next = Math.max(this.#next, from);
    this.#end = taken;
    this.#started = true;
    return true;
  }

  async #read(): Promise<{ readonly head: WriterHead; readonly cell: Cell | undefined }> {
    const cell = await this.#store.readHead();
    const head = cell?.bytes === undefined ? NO_WRITER : decodeWriterHead(cell.bytes);
    return { head, cell };
  }
}

export function contended(): HoldfastError {
  return new HoldfastError(
    'STORAGE_UNAVAILABLE',
    'other processes write to the store all the time: no turn came',
  );
}
