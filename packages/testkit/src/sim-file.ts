/**
 * The bytes of one simulated file: what a running process sees (live), and what a power cut
 * would leave (durable), with everything that lies between the two.
 *
 * Invariants
 * 1. live = durable with `#unsynced` applied in order, but for what a lying sync lost.
 * 2. After a power cut each sector holds one of the contents it had since the last sync, and
 *    the file one of the sizes it had; sectors and size are drawn independently.
 * 3. A sync covers what was written before it was asked for, nothing later.
 */
import { LIMITS, SparseBytes, isZero } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';

/** Small pages: simulated files are small, and thousands of disks are made a second. */
const PAGE_BYTES = 4096;
const SECTOR_BYTES = LIMITS.sectorBytes;

interface Change {
  readonly order: number;
  readonly at: number;
  /** Bytes from `at`; for a truncation everything from `at` became zero. */
  readonly length: number;
  /** `undefined` for zeros and truncations. */
  readonly bytes: Buffer | undefined;
  readonly sizeAfter: number;
}

export class SimFile {
  #live = new SparseBytes(PAGE_BYTES);
  #durable = new SparseBytes(PAGE_BYTES);
  #unsynced: Change[] = [];
  #lost = false;
  /** Names that lead here in the live tree: 0 or 1. */
  linked = false;
  openHandles = 0;

  get size(): number {
    return this.#live.size;
  }

  /** Whether a power cut could change what is here. */
  get isDirty(): boolean {
    return this.#lost || this.#unsynced.length > 0;
  }

  read(target: Uint8Array, position: number): number {
    return this.#live.read(target, position);
  }

  write(bytes: Uint8Array, position: number, order: number): void {
    if (bytes.length === 0) return;
    this.#live.write(bytes, position);
    this.#unsynced.push({
      order,
      at: position,
      length: bytes.length,
      bytes: isZero(bytes) ? undefined : Buffer.from(bytes),
      sizeAfter: this.#live.size,
    });
  }

  truncate(size: number, order: number): void {
    const length = Math.max(0, this.#live.size - size);
    this.#live.truncate(size);
    this.#unsynced.push({ order, at: size, length, bytes: undefined, sizeAfter: size });
  }

  /** Makes changes up to `order` durable; I3. */
  sync(order: number): void {
    let count = 0;
    for (const change of this.#unsynced) {
      if (change.order > order) break;
      this.#applyDurably(change);
      count++;
    }
    if (count === this.#unsynced.length) {
      this.#unsynced = [];
      this.#durable.truncate(this.#live.size);
    } else {
      this.#unsynced.splice(0, count);
    }
  }

  /** A failed sync after which the page cache calls the lost bytes clean. */
  loseUnsynced(): void {
    this.#lost ||= this.#unsynced.length > 0;
    this.#unsynced = [];
  }

  /** I2. */
  powerCut(random: SeededRandom): void {
    const keep = random.pick(KEEP_CHANCES);
    const sizes = [this.#durable.size, ...this.#unsynced.map((change) => change.sizeAfter)];
    const size =
      keep === 0
        ? this.#durable.size
        : keep === 1
          ? (sizes[sizes.length - 1] as number)
          : random.pick(sizes);
    if (keep > 0) this.#keepSectors(random, keep);
    this.#durable.truncate(size);
    this.#live = this.#durable.clone();
    this.#unsynced = [];
    this.#lost = false;
  }

  /** Rot: rewrites both images behind everybody's back. */
  replaceContent(bytes: Uint8Array): void {
    this.#durable.truncate(0);
    this.#durable.write(bytes, 0);
    this.#live = this.#durable.clone();
    this.#unsynced = [];
    this.#lost = false;
  }

  content(): Buffer {
    return whole(this.#live);
  }

  durableContent(): Buffer {
    return whole(this.#durable);
  }

  /** Without its handles. */
  clone(): SimFile {
    const copy = new SimFile();
    copy.#live = this.#live.clone();
    copy.#durable = this.#durable.clone();
    copy.#unsynced = [...this.#unsynced];
    copy.#lost = this.#lost;
    copy.linked = this.linked;
    return copy;
  }

  #applyDurably(change: Change): void {
    if (change.bytes !== undefined) this.#durable.write(change.bytes, change.at);
    else if (change.length > 0) writeZeros(this.#durable, change.at, change.length);
    this.#durable.truncate(change.sizeAfter);
  }

  /** Per sector: the first few of the changes that touched it, never a later without an earlier. */
  #keepSectors(random: SeededRandom, keep: number): void {
    const stopped = new Set<number>();
    // Zeros beyond everything written so far look the same kept or lost.
    let written = this.#durable.size;
    for (const { at, length, bytes } of this.#unsynced) {
      const end = at + length;
      if (bytes === undefined && at >= written) continue;
      written = Math.max(written, end);
      for (let from = at; from < end;) {
        const sector = Math.floor(from / SECTOR_BYTES);
        const to = Math.min(end, (sector + 1) * SECTOR_BYTES);
        if (!stopped.has(sector)) {
          if (keep < 1 && !random.chance(keep)) stopped.add(sector);
          else if (bytes === undefined) writeZeros(this.#durable, from, to - from);
          else this.#durable.write(bytes.subarray(from - at, to - at), from);
        }
        from = to;
      }
    }
  }
}

/** Nothing and everything are the two cuts most often met; the rest finds what they hide. */
const KEEP_CHANCES: readonly number[] = [0, 1, 0.1, 0.5, 0.5, 0.9];

const ZEROS = Buffer.alloc(64 * 1024);

/** Never extends a file further than its bytes: sizes are set apart from them. */
function writeZeros(target: SparseBytes, at: number, length: number): void {
  const end = Math.min(at + length, target.size);
  for (let from = at; from < end; from += ZEROS.length) {
    target.write(ZEROS.subarray(0, Math.min(ZEROS.length, end - from)), from);
  }
}

function whole(bytes: SparseBytes): Buffer {
  const target = Buffer.allocUnsafe(bytes.size);
  bytes.read(target, 0);
  return target;
}
