import { expect } from 'vitest';
import { after, type KvHeld, MORTAL, operationOf } from './kv-operations.ts';

/** What a life found when it began. */
export interface KvFound {
  readonly entries: readonly [writer: number, key: string, n: number, version: number][];
  readonly counter: number;
  readonly lastChange: number;
}

export interface KvWriterRecord {
  /** Operations acknowledged. */
  done: number;
  held: KvHeld;
}

/** What was acknowledged to the writers of a kill test, over all lives, and what it says of what is found. */
export class KvLives {
  readonly writers: KvWriterRecord[];
  counted = 0;
  /** Writers of which one more operation than was acknowledged had happened at a kill. */
  unheard = 0;
  highest = 0;
  operations = 0;

  constructor(writers: number) {
    this.writers = Array.from({ length: writers }, () => ({ done: 0, held: new Map() }));
  }

  acknowledged(
    { writer, n, version }: { writer: number; n: number; version: number },
    versions: number,
  ): void {
    const known = this.writers[writer] as KvWriterRecord;
    expect(n).toBe(known.done);
    const op = operationOf(writer, n);
    known.held = after(known.held, op, n);
    known.done++;
    if (op.kind === 'count') this.counted++;
    // A delete of nothing changes nothing.
    if (version > 0) expect(version).toBeGreaterThan(versions);
    this.highest = Math.max(this.highest, version);
    this.operations++;
  }

  /** What the last life left: everything acknowledged, and of each writer perhaps one more. */
  found({ entries, counter, lastChange }: KvFound): void {
    expect(lastChange).toBeGreaterThanOrEqual(this.highest);
    let mayHaveCounted = 0;
    for (const [index, writer] of this.writers.entries()) {
      const own = entries.filter(([of, key]) => of === index && key !== MORTAL);
      const held = shown(new Map(own.map(([, key, n]) => [key, n])));
      const op = operationOf(index, writer.done);
      const further = after(writer.held, op, writer.done);
      if (op.kind === 'count') mayHaveCounted++;
      expect([shown(writer.held), shown(further)]).toContain(held);
      if (held !== shown(further) || held === shown(writer.held)) continue;
      this.unheard++;
      writer.held = further; // and it is done once more
    }
    for (const [writer, key, n] of entries) {
      expect([writer, key, n >= 0]).toEqual([writer, key, true]); // whole
    }
    expect(counter).toBeGreaterThanOrEqual(this.counted);
    expect(counter).toBeLessThanOrEqual(this.counted + mayHaveCounted);
    this.counted = counter;
    this.highest = Math.max(this.highest, lastChange);
  }
}

function shown(held: KvHeld): string {
  return JSON.stringify([...held].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
