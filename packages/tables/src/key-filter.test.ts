import { expect, test } from 'vitest';
import { numberedRows } from '../test/table-fixtures.ts';
import { encodeKeyFilter, filterMayHold, hashKey } from './key-filter.ts';

test('the hash is MurmurHash3 x86 32-bit, as FORMAT.md names it', () => {
  expect(hashKey(Buffer.from(''))).toBe(0);
  expect(hashKey(Buffer.from('hello'))).toBe(0x248bfa47);
  expect(hashKey(Buffer.from('hello, world'))).toBe(0x149bbb7f);
  expect(hashKey(Buffer.from('The quick brown fox jumps over the lazy dog'))).toBe(0x2e4ff723);
});

test('a filter knows every key it was made of and few others', () => {
  const hashes = numberedRows(8192).map(({ key }) => hashKey(key));
  const filter = encodeKeyFilter(hashes);
  expect(hashes.every((hash) => filterMayHold(filter, hash))).toBe(true);
  let wrong = 0;
  for (let i = 0; i < 10_000; i++)
    if (filterMayHold(filter, hashKey(Buffer.from(`other-${i}`)))) wrong++;
  expect(wrong).toBeLessThan(200);
});

test('a payload that is no filter is refused', () => {
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(8),
    Buffer.alloc(40, 0xff),
    Buffer.alloc(16),
  ]) {
    expect(() => filterMayHold(bytes, 1)).toThrow('filter block');
  }
});
