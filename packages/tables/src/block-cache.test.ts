import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import '../test/table-fixtures.ts';
import { BlockCache } from './block-cache.ts';

describe('block cache', () => {
  test('equals a list ordered by use, and never holds more than it may', () => {
    const operation = fc.record({
      act: fc.constantFrom('set', 'set', 'get', 'get', 'take', 'drop'),
      fileId: fc.integer({ min: 1, max: 3 }),
      position: fc.integer({ min: 0, max: 4 }),
      bytes: fc.integer({ min: 0, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { size: 'max', maxLength: 100 }), (operations) => {
        const cache = new BlockCache(100);
        let model: { fileId: number; position: number; payload: Buffer }[] = [];
        for (const { act, fileId, position, bytes } of operations) {
          const same = (entry: { fileId: number; position: number }): boolean =>
            entry.fileId === fileId && entry.position === position;
          const known = model.find(same);
          if (act === 'drop') {
            cache.drop(fileId);
            model = model.filter((entry) => entry.fileId !== fileId);
          } else if (act === 'set') {
            const payload = Buffer.alloc(bytes);
            cache.set(fileId, position, payload);
            model = [...model.filter((entry) => !same(entry)), { fileId, position, payload }];
            while (sum(model) > 100) model.shift();
          } else {
            expect(cache[act](fileId, position)).toBe(known?.payload);
            model = model.filter((entry) => !same(entry));
            if (known !== undefined && act === 'get') model.push(known);
          }
          expect(cache.bytes).toBe(sum(model));
        }
      }),
    );
  });

  test('a payload larger than the whole cache is not taken and displaces nothing', () => {
    const cache = new BlockCache(100);
    cache.set(1, 0, Buffer.alloc(80));
    cache.set(1, 1, Buffer.alloc(101));
    expect(cache.get(1, 1)).toBeUndefined();
    expect(cache.get(1, 0)).toHaveLength(80);
  });
});

function sum(entries: readonly { payload: Buffer }[]): number {
  return entries.reduce((total, entry) => total + entry.payload.length, 0);
}
