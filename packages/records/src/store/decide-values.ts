/** Which of some values would be written to a record: the one place where a value wins, or does not. */
import type { SequenceFloor } from '../record-store.ts';
import { compareValues, type ValueRank, type VerifiedValue } from '../signed-value.ts';
import type { FloorMap, StoredHead } from './record-rows.ts';

export type Decision =
  | { readonly status: 'written' | 'same' | 'superseded' }
  | { readonly status: 'outdated'; readonly floor: SequenceFloor };

export function decideValue(
  value: ValueRank & { readonly subkey: number },
  head: StoredHead | undefined,
  floors: FloorMap,
): Decision {
  const stored = head?.subkeys[value.subkey];
  if (stored !== undefined) {
    const order = compareValues(value, stored);
    if (order > 0) return { status: 'written' };
    return { status: order === 0 ? 'same' : 'superseded' };
  }
  const floor = floors.get(value.subkey);
  // The very value that went may come back.
  if (floor === undefined || compareValues(value, floor) >= 0) return { status: 'written' };
  return { status: 'outdated', floor };
}

/** With the values of them that are written; counts its bytes anew. */
export function subkeysWith(
  subkeys: StoredHead['subkeys'],
  written: readonly VerifiedValue[],
): Pick<StoredHead, 'subkeys' | 'storedBytes'> {
  const after = [...subkeys];
  for (const { subkey, sequence, digest, blob } of written) {
    after[subkey] = { sequence, digest, bytes: blob.length };
  }
  const storedBytes = after.reduce((sum, one) => sum + (one?.bytes ?? 0), 0);
  return { subkeys: after, storedBytes };
}

/** Of each subkey the one that wins. */
export function mergeFloors(
  floors: FloorMap,
  more: Iterable<readonly [subkey: number, floor: SequenceFloor]>,
): Map<number, SequenceFloor> {
  const merged = new Map(floors);
  for (const [subkey, { sequence, digest }] of more) {
    const before = merged.get(subkey);
    if (before === undefined || compareValues({ sequence, digest }, before) > 0) {
      merged.set(subkey, { sequence, digest });
    }
  }
  return merged;
}
