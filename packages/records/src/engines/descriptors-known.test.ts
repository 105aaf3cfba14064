import { expect, test } from 'vitest';
import type { PeerId } from '../coordinate.ts';
import type { RecordId } from '../record-key.ts';
import { DescriptorsKnown } from './descriptors-known.ts';

const R = '00'.repeat(32) as RecordId;
const peer = (number: number): PeerId => `peer-${number}` as PeerId;

test('pairs are kept up to the limit, and the one used longest ago goes', () => {
  const known = new DescriptorsKnown(3);
  for (const number of [1, 2, 3]) known.add(R, peer(number));
  known.add(R, peer(1));
  known.add(R, peer(4));
  expect(known.size).toBe(3);
  expect([1, 2, 3, 4].map((number) => known.has(R, peer(number)))).toEqual([
    true,
    false,
    true,
    true,
  ]);
  known.delete(R, peer(1));
  expect(known.has(R, peer(1))).toBe(false);
});
