import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keys, plain, sortedRows } from '../test/table-fixtures.ts';
import { RowBlock, RowBlockBuilder } from './row-block.ts';

test('a block of rows gives back what was put in, by order and by key', () => {
  fc.assert(
    fc.property(sortedRows, keys, (rows, probe) => {
      const builder = new RowBlockBuilder(16);
      for (const { key, value } of rows) builder.add(key, value);
      const expectedBytes = builder.bytes;
      const payload = builder.finish();
      expect(payload).toHaveLength(expectedBytes);
      const block = new RowBlock(payload);
      expect(plain(block.slice(0, block.count))).toEqual(plain(rows));
      const wanted = rows.find((row) => row.key.equals(probe));
      const found = block.get(probe);
      expect(found && plain([found])).toEqual(wanted && plain([wanted]));
      const index = rows.findIndex((row) => Buffer.compare(row.key, probe) >= 0);
      expect(block.firstAtOrAfter(probe)).toBe(index === -1 ? rows.length : index);
    }),
  );
});

test('bytes that are no block of rows give FORMAT_INVALID, never a wrong read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64, size: 'max' }), (bytes) => {
      try {
        const block = new RowBlock(Buffer.from(bytes));
        block.slice(0, block.count);
      } catch (error) {
        expect(error).toMatchObject({ code: 'FORMAT_INVALID' });
      }
    }),
  );
});
