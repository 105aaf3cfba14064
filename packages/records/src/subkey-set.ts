/**
 * A set of subkeys, as ranges with both ends in them. Values: no call changes a set.
 *
 * Invariants
 * 1. Ranges rise, do not overlap and do not touch: equal sets have equal ranges.
 * 2. All numbers are u32. `ALL_SUBKEYS` is everything a record could have; `within` cuts a set to what
 *    it has.
 */
export interface SubkeyRange {
  readonly first: number;
  /** Belongs to it; at least `first`. */
  readonly last: number;
}

const HIGHEST = 0xffff_ffff;

export class SubkeySet implements Iterable<number> {
  /** I1 */
  readonly ranges: readonly SubkeyRange[];
  readonly size: number;

  /** @param ranges as in I1. */
  private constructor(ranges: readonly SubkeyRange[]) {
    this.ranges = ranges;
    this.size = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  }

  static of(...subkeys: readonly number[]): SubkeySet {
    return SubkeySet.fromRanges(subkeys.map((subkey) => ({ first: subkey, last: subkey })));
  }

  static range(first: number, last: number): SubkeySet {
    return SubkeySet.fromRanges([{ first, last }]);
  }

  /** In any order, overlapping or not. */
  static fromRanges(ranges: readonly SubkeyRange[]): SubkeySet {
    for (const { first, last } of ranges) {
      if (!isU32(first) || !isU32(last) || first > last) {
        throw new TypeError(`no range of subkeys: ${first} to ${last}`);
      }
    }
    return new SubkeySet(merged([...ranges].sort((a, b) => a.first - b.first)));
  }

  get isEmpty(): boolean {
    return this.ranges.length === 0;
  }

  get first(): number | undefined {
    return this.ranges[0]?.first;
  }

  get last(): number | undefined {
    return this.ranges.at(-1)?.last;
  }

  has(subkey: number): boolean {
    return this.indexOf(subkey) !== undefined;
  }

  /** How many of the set come before this one of it. */
  indexOf(subkey: number): number | undefined {
    let before = 0;
    for (const { first, last } of this.ranges) {
      if (subkey < first) return undefined;
      if (subkey <= last) return before + subkey - first;
      before += last - first + 1;
    }
    return undefined;
  }

  /** The one with so many of the set before it. */
  at(index: number): number | undefined {
    if (!Number.isInteger(index) || index < 0) return undefined;
    let rest = index;
    for (const { first, last } of this.ranges) {
      const length = last - first + 1;
      if (rest < length) return first + rest;
      rest -= length;
    }
    return undefined;
  }

  union(other: SubkeySet): SubkeySet {
    return SubkeySet.fromRanges([...this.ranges, ...other.ranges]);
  }

  with(subkey: number): SubkeySet {
    return this.has(subkey) ? this : this.union(SubkeySet.of(subkey));
  }

  without(subkey: number): SubkeySet {
    return this.has(subkey) ? this.difference(SubkeySet.of(subkey)) : this;
  }

  intersection(other: SubkeySet): SubkeySet {
    const found: SubkeyRange[] = [];
    let i = 0;
    let j = 0;
    for (;;) {
      const a = this.ranges[i];
      const b = other.ranges[j];
      if (a === undefined || b === undefined) return new SubkeySet(found);
      const first = Math.max(a.first, b.first);
      const last = Math.min(a.last, b.last);
      if (first <= last) found.push({ first, last });
      if (a.last < b.last) i++;
      else j++;
    }
  }

  difference(other: SubkeySet): SubkeySet {
    return this.intersection(other.complement());
  }

  isSubsetOf(other: SubkeySet): boolean {
    return this.difference(other).isEmpty;
  }

  equals(other: SubkeySet): boolean {
    return (
      this.ranges.length === other.ranges.length &&
      this.ranges.every(({ first, last }, index) => {
        const theirs = other.ranges[index];
        return theirs?.first === first && theirs.last === last;
      })
    );
  }

  /** Those of a record with so many subkeys. */
  within(subkeyCount: number): SubkeySet {
    if (subkeyCount === 0) return NO_SUBKEYS;
    return this.intersection(SubkeySet.range(0, subkeyCount - 1));
  }

  complement(): SubkeySet {
    const gaps: SubkeyRange[] = [];
    let next = 0;
    for (const { first, last } of this.ranges) {
      if (first > next) gaps.push({ first: next, last: first - 1 });
      next = last + 1;
    }
    if (next <= HIGHEST) gaps.push({ first: next, last: HIGHEST });
    return new SubkeySet(gaps);
  }

  /** Rising. Cut the set first: `ALL_SUBKEYS` has four billion. */
  *[Symbol.iterator](): Generator<number> {
    for (const { first, last } of this.ranges) {
      for (let subkey = first; subkey <= last; subkey++) yield subkey;
    }
  }
}

export const NO_SUBKEYS: SubkeySet = SubkeySet.fromRanges([]);
export const ALL_SUBKEYS: SubkeySet = SubkeySet.range(0, HIGHEST);

/** @param sorted by first. */
function merged(sorted: readonly SubkeyRange[]): SubkeyRange[] {
  const ranges: SubkeyRange[] = [];
  for (const range of sorted) {
    const before = ranges.at(-1);
    if (before === undefined || before.last + 1 < range.first) ranges.push(range);
    else if (before.last < range.last) {
      ranges[ranges.length - 1] = { first: before.first, last: range.last };
    }
  }
  return ranges;
}

function isU32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= HIGHEST;
}
