import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Coordinate,
  compareDistances,
  coordinateFromBytes,
  peerCoordinate,
  type PeerId,
  recordCoordinate,
  sharedPrefixBits,
} from './coordinate.ts';
import { recordIdFromBytes } from './record-key.ts';

const place = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes): Coordinate => coordinateFromBytes(bytes));

function number(bytes: Coordinate): bigint {
  return BigInt(`0x${bytes.toString('hex')}`);
}

describe('coordinates', () => {
  it('of a peer are the hash of its id, of a record its id', () => {
    expect(peerCoordinate('peer-a' as PeerId).toString('hex')).toBe(
      '5f46f9347d622564242a4b432320a2afe81a0ae716795610829a8748fb4ed354',
    );
    const id = recordIdFromBytes(Buffer.alloc(32, 0xa1));
    expect(recordCoordinate(id)).toEqual(Buffer.alloc(32, 0xa1));
  });

  it('have 32 bytes', () => {
    expect(() => coordinateFromBytes(Buffer.alloc(31))).toThrow(TypeError);
  });

  it('are nearer where the exclusive or is the smaller number', () => {
    fc.assert(
      fc.property(place, place, place, (target, a, b) => {
        const difference = (number(target) ^ number(a)) - (number(target) ^ number(b));
        const sign = difference < 0n ? -1 : difference > 0n ? 1 : 0;
        expect(Math.sign(compareDistances(target, a, b))).toBe(sign);
      }),
    );
    const at = Buffer.alloc(32, 1) as Buffer as Coordinate;
    expect(compareDistances(at, at, at)).toBe(0);
  });

  it('share as many bits as come before the first that differs', () => {
    fc.assert(
      fc.property(place, fc.nat(255), (a, bit) => {
        const other = coordinateFromBytes(a);
        other[bit >> 3] = (other[bit >> 3] as number) ^ (0x80 >> (bit & 7));
        expect(sharedPrefixBits(a, other)).toBe(bit);
        expect(sharedPrefixBits(a, a)).toBe(256);
      }),
    );
  });
});
