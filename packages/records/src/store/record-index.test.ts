import fc from 'fast-check';
import { expect, it } from 'vitest';
import { peer } from '../../test/store/made-records.ts';
import type { RecordId } from '../record-key.ts';
import { RecordIndex } from './record-index.ts';

const ORIGINS = [undefined, peer('a'), peer('b'), peer('c')];

interface Kept {
  readonly id: RecordId;
  origin: number;
  bytes: number;
  counted: boolean;
}

/** In order of use, oldest first. */
class Plain {
  readonly all: Kept[] = [];

  find(id: RecordId): Kept | undefined {
    return this.all.find((one) => one.id === id);
  }

  drop(id: RecordId): void {
    const at = this.all.findIndex((one) => one.id === id);
    if (at >= 0) this.all.splice(at, 1);
  }

  sum(what: 'bytes' | 'records', origin?: number): number {
    const those = this.all.filter((one) => one.counted && (origin ?? one.origin) === one.origin);
    return what === 'records' ? those.length : those.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Those whom it may hit: several origins may have the most. */
  victims(what: 'bytes' | 'records'): (RecordId | undefined)[] {
    const origins = [...new Set(this.all.map(({ origin }) => origin))];
    const sums = origins.map((origin) => this.sum(what, origin));
    const most = Math.max(0, ...sums);
    const counted = this.all.filter((one) => one.counted);
    const over = most > (1.5 * this.sum(what)) / origins.length;
    if (!over) return [counted[0]?.id];
    return origins
      .filter((_, at) => sums[at] === most)
      .map((origin) => counted.find((one) => one.origin === origin)?.id);
  }
}

const step = fc.record({
  kind: fc.constantFrom('put', 'change', 'count', 'touch', 'remove', 'victim'),
  nth: fc.nat(9),
  origin: fc.nat(ORIGINS.length - 1),
  bytes: fc.nat(500),
});

it('counts and orders as a plain list does, and evicts whom that would', () => {
  let victims = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const index = new RecordIndex();
      const plain = new Plain();
      for (const { kind, nth, origin, bytes } of steps) {
        const id = String(nth) as RecordId;
        const known = plain.find(id);
        if (kind === 'put') {
          const rest = { version: 1, touchedAtMs: 0, touchWrittenAtMs: 0, uncertain: false };
          index.put(id, { ...rest, origin: ORIGINS[origin], bytes, counted: true });
          plain.drop(id);
          plain.all.push({ id, origin, bytes, counted: true });
        } else if (kind === 'change') {
          index.change(id, { bytes });
          if (known !== undefined) known.bytes = bytes;
        } else if (kind === 'count') {
          index.change(id, { counted: bytes % 2 === 0 });
          if (known !== undefined) known.counted = bytes % 2 === 0;
        } else if (kind === 'touch') {
          index.touch(id, bytes);
          if (known !== undefined) plain.all.push(...plain.all.splice(plain.all.indexOf(known), 1));
        } else if (kind === 'remove') {
          index.remove(id);
          plain.drop(id);
        } else {
          const what = bytes % 2 === 0 ? 'bytes' : 'records';
          expect(plain.victims(what)).toContain(index.victim(what, () => true)?.id);
          victims++;
        }
        expect([index.bytes, index.records]).toEqual([plain.sum('bytes'), plain.sum('records')]);
        expect(index.ofOrigin(ORIGINS[origin]).bytes).toBe(plain.sum('bytes', origin));
        expect(index.ids()).toEqual(plain.all.map((one) => one.id));
      }
    }),
    { numRuns: 400, seed: 5 },
  );
  expect(victims).toBeGreaterThan(1_000);
});
