/**
 * The disk below a `SimFs`. It outlives the incarnations of the process: tests plan faults on
 * it, set its capacity, look at its bytes, let them rot, and count its calls.
 *
 * Owner of everything that survives `powerCut` and `kill`; one incarnation acts at a time.
 *
 * Invariants
 * 1. `usedBytes` is the sum of the sizes of files with a name or an open handle; holes count.
 * 2. Every call is counted and traced before it takes effect.
 * 3. A call of a dead incarnation changes nothing.
 */
import { crc32c, systemError } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';
import { SimFaults, type Fault, type SimOperation } from './sim-faults.ts';
import { SimFile } from './sim-file.ts';
import { SimNames, type Place, type SimDirectory } from './sim-names.ts';
import { TraceHash } from './trace-hash.ts';

export interface SimCall {
  /** 1 for the first call on this disk. */
  readonly index: number;
  readonly operation: SimOperation;
  readonly path: string;
  readonly position: number;
  readonly length: number;
}

/** What every call of a dead process gets, for ever. */
export class SimDeadError extends Error {
  override readonly name = 'SimDeadError';
  readonly code = 'SIM_DEAD';

  constructor() {
    super('the simulated process is dead');
  }
}

export function isSimDead(value: unknown): value is SimDeadError {
  return value instanceof SimDeadError || (value instanceof Error && isSimDead(value.cause));
}

export class SimDisk {
  readonly faults: SimFaults = new SimFaults();
  /** May change while running; a disk that is too small for what it holds is full. */
  capacityBytes: number;
  /** Hears every call before it takes effect. */
  onCall: ((call: SimCall) => void) | undefined;
  /** Used by `SimFs` alone. */
  names: SimNames = new SimNames();
  /** Used by `SimFs` alone. */
  readonly locked: Set<SimDirectory> = new Set();
  readonly #counts = new Map<SimOperation, number>();
  readonly #trace = new TraceHash();
  readonly #pathHashes = new Map<string, number>();
  readonly #dirty = new Set<SimFile>();
  readonly #open = new Set<SimFile>();
  #calls = 0;
  #order = 0;
  #used = 0;
  #incarnation = 0;
  #halted = false;

  constructor(capacityBytes: number = Infinity) {
    this.capacityBytes = capacityBytes;
  }

  // -- incarnations ------------------------------------------------------------------------

  /** Number of the process that may act. */
  get incarnation(): number {
    return this.#incarnation;
  }

  isAlive(incarnation: number): boolean {
    return incarnation === this.#incarnation && !this.#halted;
  }

  /** The process ends here, as by `kill -9`: what it wrote is still in the page cache. */
  halt(): void {
    this.#halted = true;
  }

  /** The next process: nobody else's handles and locks count any more. */
  startIncarnation(): number {
    this.locked.clear();
    for (const file of this.#open) file.openHandles = 0;
    this.#open.clear();
    this.#used = 0;
    for (const [, file] of this.names.files()) {
      file.linked = true; // an unlink that was lost
      this.#used += file.size;
    }
    this.#halted = false;
    return ++this.#incarnation;
  }

  /** Loses what no sync covered, in part or whole; `SimFs.powerCut` also ends the process. */
  powerCut(random: SeededRandom): void {
    this.#halted = true;
    this.names.powerCut(random);
    for (const file of this.#dirty) file.powerCut(random);
    this.#dirty.clear();
  }

  /** An independent disk in the same state, to try several futures. Faults are not copied. */
  clone(): SimDisk {
    const copy = new SimDisk(this.capacityBytes);
    const copies = new Map<SimFile, SimFile>();
    const copyFile = (file: SimFile): SimFile => {
      const known = copies.get(file);
      if (known !== undefined) return known;
      const made = file.clone();
      copies.set(file, made);
      if (made.isDirty) copy.#dirty.add(made);
      return made;
    };
    copy.names = this.names.clone(copyFile);
    copy.#order = this.#order;
    copy.startIncarnation();
    return copy;
  }

  // -- calls (used by SimFs) ---------------------------------------------------------------

  /** Grows with every change; what a sync covers is told by it. */
  get order(): number {
    return this.#order;
  }

  /** I2, I3. */
  begin(
    incarnation: number,
    operation: SimOperation,
    path: string,
    position = 0,
    length = 0,
  ): Fault | undefined {
    if (!this.isAlive(incarnation)) throw new SimDeadError();
    this.#calls++;
    this.#counts.set(operation, (this.#counts.get(operation) ?? 0) + 1);
    this.#trace.add(this.#hashOf(operation) ^ this.#hashOf(path));
    this.#trace.add(position);
    this.#trace.add(length);
    this.onCall?.({ index: this.#calls, operation, path, position, length });
    return this.faults.next(operation, path);
  }

  create({ parent, name }: Place): SimFile {
    const file = new SimFile();
    file.linked = true;
    this.names.change(++this.#order, [{ directory: parent, name, node: file }]);
    return file;
  }

  /** Returns the bytes written: up to the boundary of a full disk, `ENOSPC` at it. */
  write(file: SimFile, bytes: Uint8Array, position: number, path: string): number {
    const growth = position + bytes.length - file.size;
    let taken = bytes;
    if (growth > 0 && bytes.length > 0) {
      const missing = growth - this.freeBytes();
      if (missing >= bytes.length) throw systemError('ENOSPC', 'write', path);
      if (missing > 0) taken = bytes.subarray(0, bytes.length - missing);
    }
    const before = file.size;
    file.write(taken, position, ++this.#order);
    this.#used += file.size - before;
    this.#dirty.add(file);
    this.#trace.add(crc32c(taken));
    return taken.length;
  }

  truncate(file: SimFile, size: number, path: string): void {
    const growth = size - file.size;
    if (growth > 0 && growth > this.freeBytes()) throw systemError('ENOSPC', 'ftruncate', path);
    file.truncate(size, ++this.#order);
    this.#used += growth;
    this.#dirty.add(file);
  }

  datasync(file: SimFile, order: number): void {
    file.sync(order);
    if (!file.isDirty) this.#dirty.delete(file);
  }

  rename(from: Place, to: Place): void {
    const node = from.parent.live.get(from.name);
    const replaced = to.parent.live.get(to.name);
    if (node === replaced) return;
    this.names.change(++this.#order, [
      { directory: from.parent, name: from.name, node: undefined },
      { directory: to.parent, name: to.name, node },
    ]);
    if (replaced instanceof SimFile) this.#unlinked(replaced);
  }

  unlink({ parent, name }: Place): void {
    const node = parent.live.get(name);
    this.names.change(++this.#order, [{ directory: parent, name, node: undefined }]);
    if (node instanceof SimFile) this.#unlinked(node);
  }

  handleOpened(file: SimFile): void {
    file.openHandles++;
    this.#open.add(file);
  }

  handleClosed(file: SimFile): void {
    file.openHandles--;
    if (file.openHandles > 0) return;
    this.#open.delete(file);
    if (!file.linked) this.#used -= file.size;
  }

  // -- what tests look at ------------------------------------------------------------------

  freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.#used);
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Handles that the current process has not closed. */
  get openHandles(): number {
    let handles = 0;
    for (const file of this.#open) handles += file.openHandles;
    return handles;
  }

  /** Calls of one kind, or all calls, since the disk was made. */
  calls(operation?: SimOperation): number {
    return operation === undefined ? this.#calls : (this.#counts.get(operation) ?? 0);
  }

  /** Equal for two disks that saw the same calls with the same bytes in the same order. */
  traceHash(): string {
    return this.#trace.digest();
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return [...this.names.files()].map(([path]) => path).sort();
  }

  /** What a running process reads. */
  content(path: string): Buffer {
    return this.#file(path).content();
  }

  /** What the platter holds for certain. */
  durableContent(path: string): Buffer {
    return this.#file(path).durableContent();
  }

  // -- rot: both images change, as if it had always been so --------------------------------

  flipBit(path: string, position: number, bit: number): void {
    const bytes = this.content(path);
    if (position >= bytes.length) throw new RangeError(`beyond the end of ${path}: ${position}`);
    bytes[position] = (bytes[position] as number) ^ (1 << bit);
    this.replaceContent(path, bytes);
  }

  replaceContent(path: string, bytes: Uint8Array): void {
    const file = this.#file(path);
    this.#used += bytes.length - file.size;
    file.replaceContent(bytes);
    this.#dirty.delete(file);
  }

  truncateFile(path: string, size: number): void {
    this.replaceContent(path, this.content(path).subarray(0, size));
  }

  deleteFile(path: string): void {
    const file = this.#file(path);
    this.names.replace(path, undefined);
    this.#unlinked(file);
  }

  /** Each name leads to what the other held. */
  swapFiles(one: string, other: string): void {
    const first = this.content(one);
    this.replaceContent(one, this.content(other));
    this.replaceContent(other, first);
  }

  /** `to` becomes what `from` is; made when missing. */
  duplicateFile(from: string, to: string): void {
    const bytes = this.content(from);
    if (this.names.find(to) === undefined) {
      const file = new SimFile();
      file.linked = true;
      this.names.replace(to, file);
    }
    this.replaceContent(to, bytes);
  }

  #file(path: string): SimFile {
    const found = this.names.find(path);
    if (!(found instanceof SimFile)) throw systemError('ENOENT', 'inspect', path);
    return found;
  }

  #unlinked(file: SimFile): void {
    file.linked = false;
    if (file.openHandles === 0) this.#used -= file.size;
  }

  #hashOf(text: string): number {
    let hash = this.#pathHashes.get(text);
    if (hash === undefined) {
      hash = crc32c(Buffer.from(text));
      this.#pathHashes.set(text, hash);
    }
    return hash;
  }
}
