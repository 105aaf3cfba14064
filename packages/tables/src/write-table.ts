/** Writes one immutable sorted table from rows in key order, and syncs it. */
import type { Row } from './row.ts';
import type { TableInfo } from './table-info.ts';
import { type TableTarget, type TableWriteComponents, TableWriter } from './table-writer.ts';

/**
 * Resolves with what the manifest has to say, or with `undefined`, and no file, when there
 * are no rows. A leftover file of the same name is replaced; after a failure nothing is left
 * that anybody names. The caller syncs the directory before the manifest names the table.
 */
export async function writeTable(
  components: TableWriteComponents,
  target: TableTarget,
  rows: Iterable<Row> | AsyncIterable<Row>,
): Promise<TableInfo | undefined> {
  return writeTableWith(components, target, async (writer) => {
    if (Symbol.iterator in rows) {
      for (const row of rows) {
        writer.add(row);
        if (writer.wantsFlush) await writer.flush();
      }
      return;
    }
    for await (const row of rows) {
      writer.add(row);
      if (writer.wantsFlush) await writer.flush();
    }
  });
}

/** The same for rows that come in batches: no promise per row. */
export async function writeTableFromBatches(
  components: TableWriteComponents,
  target: TableTarget,
  batches: AsyncIterable<readonly Row[]>,
): Promise<TableInfo | undefined> {
  return writeTableWith(components, target, async (writer) => {
    for await (const batch of batches) {
      for (const row of batch) writer.add(row);
      if (writer.wantsFlush) await writer.flush();
    }
  });
}

async function writeTableWith(
  components: TableWriteComponents,
  target: TableTarget,
  fill: (writer: TableWriter) => Promise<void>,
): Promise<TableInfo | undefined> {
  const writer = new TableWriter(components, target);
  try {
    await fill(writer);
    return await writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}
