/**
 * Things that lie somewhere, found by distance: nearest first, as many as are wanted, without a look at
 * the others.
 *
 * Invariant: `#entries` rise by coordinate, each place once. Those that share their first bits lie
 * beside each other; the half of them that shares one bit more with a target is nearer to it, whole.
 */
import { COORDINATE_BYTES, type Coordinate } from '../coordinate.ts';

export interface Placed {
  readonly coordinate: Coordinate;
}

export class CoordinateIndex<Entry extends Placed> {
  readonly #entries: Entry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** The coordinate is of no other. */
  add(entry: Entry): void {
    this.#entries.splice(this.#position(entry.coordinate), 0, entry);
  }

  remove(entry: Entry): void {
    const at = this.#position(entry.coordinate);
    if (this.#entries[at] === entry) this.#entries.splice(at, 1);
  }

  /** Nearest first. The index must not change meanwhile. */
  nearest(target: Coordinate): Generator<Entry> {
    return this.#walk(target, 0, this.#entries.length, 0);
  }

  /** @param end behind the last of those that share their first `bit` bits. */
  *#walk(target: Coordinate, start: number, end: number, bit: number): Generator<Entry> {
    if (end - start <= 1) {
      const only = this.#entries[start];
      if (end > start && only !== undefined) yield only;
      return;
    }
    if (bit === COORDINATE_BYTES * 8) return; // no two have the same place
    const middle = this.#firstWithBit(start, end, bit);
    if (bitAt(target, bit)) {
      yield* this.#walk(target, middle, end, bit + 1);
      yield* this.#walk(target, start, middle, bit + 1);
    } else {
      yield* this.#walk(target, start, middle, bit + 1);
      yield* this.#walk(target, middle, end, bit + 1);
    }
  }

  #firstWithBit(start: number, end: number, bit: number): number {
    let low = start;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bitAt((this.#entries[middle] as Entry).coordinate, bit)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Of the first that does not come before it. */
  #position(coordinate: Coordinate): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare((this.#entries[middle] as Entry).coordinate, coordinate) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

function bitAt(coordinate: Coordinate, bit: number): boolean {
  return (((coordinate[bit >> 3] as number) >> (7 - (bit & 7))) & 1) === 1;
}
