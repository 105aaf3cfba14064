import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keys, plain, rowsOf, values } from '../test/table-fixtures.ts';
import { Memtable } from './memtable.ts';
import { prefixRange, type Row } from './row.ts';

describe('memtable', () => {
  test('equals a sorted map after any puts and deletes, for gets and every range', () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ key: keys, value: values }) },
      fc.record({
        from: fc.option(keys, { nil: undefined }),
        to: fc.option(keys, { nil: undefined }),
      }),
    );
    fc.assert(
      fc.property(fc.array(operation, { size: 'max', maxLength: 80 }), (operations) => {
        const memtable = new Memtable();
        const model: [Buffer, Buffer | undefined][] = [];
        for (const step of operations) {
          if ('key' in step) {
            model.push([step.key, step.value]);
            if (step.value === undefined) memtable.delete(step.key);
            else memtable.put(step.key, step.value);
            continue;
          }
          const { from, to } = step;
          const range = { ...(from && { from }), ...(to && { to }) };
          expect(plain(memtable.scan(range))).toEqual(plain(rowsOf(model).filter(within(range))));
        }
        const expected = rowsOf(model);
        expect(memtable.rows).toBe(expected.length);
        for (const row of expected)
          expect(plain([memtable.get(row.key) as Row])).toEqual(plain([row]));
        expect(memtable.get(Buffer.from('absent key'))).toBeUndefined();
      }),
    );
  });

  test('a scan shows the moment it was called, whatever is put while it runs', () => {
    const memtable = new Memtable();
    memtable.put(Buffer.from('a'), Buffer.from('1'));
    memtable.put(Buffer.from('b'), Buffer.from('2'));
    const view = memtable.scan();
    memtable.put(Buffer.from('a'), Buffer.from('changed'));
    memtable.delete(Buffer.from('b'));
    memtable.put(Buffer.from('0'), Buffer.from('new'));
    expect([...view].map((row) => String(row.value))).toEqual(['1', '2']);
    expect([...memtable.scan()].map((row) => String(row.value))).toEqual([
      'new',
      'changed',
      'undefined',
    ]);
  });

  test('bytes rise with what is held and follow a replaced value', () => {
    const memtable = new Memtable();
    memtable.put(Buffer.from('k'), Buffer.alloc(1000));
    const before = memtable.bytes;
    memtable.put(Buffer.from('k'), Buffer.alloc(10));
    expect(memtable.bytes).toBe(before - 990);
    memtable.delete(Buffer.from('k'));
    expect(memtable.bytes).toBe(before - 1000);
  });

  test('a prefix range ends behind the last key with the prefix, also after 0xff', () => {
    expect(prefixRange(Buffer.from([1, 0xff])).to).toEqual(Buffer.from([2]));
    expect(prefixRange(Buffer.from([0xff, 0xff])).to).toBeUndefined();
  });
});

function within(range: { from?: Buffer; to?: Buffer }): (row: Row) => boolean {
  return ({ key }) =>
    (range.from === undefined || Buffer.compare(key, range.from) >= 0) &&
    (range.to === undefined || Buffer.compare(key, range.to) < 0);
}
