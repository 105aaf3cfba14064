import { fileId } from '@holdfast/core';
import { expect, test } from 'vitest';
import {
  extentFileName,
  manifestFileName,
  parseExtentFileName,
  parseManifestFileName,
  parseTableFileName,
  tableFileName,
} from './file-names.ts';

test('names read back, sort as their numbers do, and never pass for another kind', () => {
  const id = fileId(42);
  expect(tableFileName(id)).toBe('table-0000000000000042.hft');
  expect(extentFileName(id)).toBe('extent-0000000000000042.hfx');
  expect(manifestFileName(42)).toBe('manifest-0000000000000042');
  expect(parseTableFileName(tableFileName(id))).toBe(42);
  expect(parseExtentFileName(extentFileName(id))).toBe(42);
  expect(parseManifestFileName(manifestFileName(42))).toBe(42);
  expect(tableFileName(fileId(9)) < tableFileName(fileId(10))).toBe(true);
  const largest = fileId(Number.MAX_SAFE_INTEGER);
  expect(parseTableFileName(tableFileName(largest))).toBe(largest);
});

test('what is not exactly such a name is left alone', () => {
  const parsers = [parseTableFileName, parseExtentFileName, parseManifestFileName];
  const names = ['', 'table-1.hft', 'manifest-0000000000000042.tmp', 'x', '.lock'];
  names.push('table-0000000000000042.hft.bak', 'manifest-9999999999999999', 'LOCK');
  for (const name of names) for (const parse of parsers) expect(parse(name)).toBeUndefined();
  expect(parseTableFileName(extentFileName(fileId(1)))).toBeUndefined();
});
