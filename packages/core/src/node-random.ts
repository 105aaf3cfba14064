/** Randomness from the operating system. One of the few files that may touch it directly. */
import { randomBytes, randomInt } from 'node:crypto';
import type { Random } from './random.ts';

export class NodeRandom implements Random {
  bytes(length: number): Buffer {
    return randomBytes(length);
  }

  integer(below: number): number {
    return randomInt(below);
  }
}
