/** One bit of the bytes of a disk turned around, again and again: what came of each. */
import type { SimDisk } from '@holdfast/testkit';

/** `harmless`: as before. `told`: an error. `refused`: the node did not start. */
export type Outcome = 'harmless' | 'told' | 'refused';

/** How often each came, and of how many bytes. */
export interface Flips {
  readonly counts: Record<Outcome, number>;
  readonly total: number;
}

/**
 * One bit of each chosen byte; which of its bits goes round.
 * @param wanted about so many, spread evenly.
 */
export async function flipThrough(
  from: SimDisk,
  wanted: number,
  outcomeOf: (disk: SimDisk) => Promise<Outcome>,
): Promise<Flips> {
  const counts: Record<Outcome, number> = { harmless: 0, told: 0, refused: 0 };
  const files = from.paths().map((path) => ({ path, length: from.content(path).length }));
  const total = files.reduce((sum, { length }) => sum + length, 0);
  const step = Math.max(1, Math.floor(total / wanted));
  let next = 0;
  for (const { path, length } of files) {
    for (; next < length; next += step) {
      const disk = from.clone();
      disk.flipBit(path, next, next % 8);
      try {
        counts[await outcomeOf(disk)]++;
      } catch (error) {
        throw new Error(`${path} byte ${next}`, { cause: error });
      }
    }
    next -= length;
  }
  return { counts, total };
}
