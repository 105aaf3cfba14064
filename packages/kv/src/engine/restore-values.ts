/** The bytes of damaged extents of values, from what the log still says about their writing. */
import { isHoldfastError } from '@holdfast/core';
import type { DamagedRow, Operation } from '@holdfast/database';
import { KV_RECORDS, type KvRecord } from './kv-operations.ts';
import { extentOfValueRow, nameOfRow } from './kv-rows.ts';

/** For each row one buffer for each hole; `undefined` when the log does not have the value. */
export async function restoreValues(
  rows: readonly DamagedRow[],
  history: () => AsyncIterable<Operation>,
): Promise<(readonly Buffer[] | undefined)[]> {
  /** A change is of one entry of one store, and of no other ever. */
  const wanted = new Map(rows.map((row, at) => [nameOfRow(row.key).number, at]));
  const restored: (readonly Buffer[] | undefined)[] = rows.map(() => undefined);
  try {
    for await (const operation of history()) {
      const record = operation as KvRecord;
      const at = record.type === KV_RECORDS.put ? wanted.get(record.change) : undefined;
      const row = at === undefined ? undefined : rows[at];
      if (at === undefined || row === undefined || record.type !== KV_RECORDS.put) continue;
      if (extentOfValueRow(row.key, row.value)?.length !== record.value.length) continue;
      restored[at] = row.holes.map(({ from, to }) => record.value.subarray(from, to));
      wanted.delete(record.change);
      if (wanted.size === 0) break;
    }
  } catch (error) {
    // Behind damage in the log nothing can be had; what came before it counts.
    if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
  }
  return restored;
}
