import type { Row } from './row.ts';

export type RowSource = Iterable<Row> | AsyncIterable<Row>;

export interface MergeOptions {
  /** Only right when nothing older than the sources exists. */
  readonly dropTombstones: boolean;
}

/** @param sources newest first. */
export async function* mergeRows(
  sources: readonly RowSource[],
  options: MergeOptions,
): AsyncGenerator<Row, void, undefined> {
  throw new Error(`soon ${String([sources, options])}`);
}
