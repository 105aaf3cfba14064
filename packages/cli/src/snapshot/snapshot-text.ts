/** Snapshots as people read them. */
import type { SnapshotSummary } from '@holdfast/node';
import { byteText } from '../progress.ts';

/** One snapshot by tabs: id, the moment it holds, kind, bytes, bytes it added, LSN. */
export function snapshotRow(snapshot: SnapshotSummary): string {
  const { id, at, kind, bytes, newBytes, lsn } = snapshot;
  return `${[id, at, kind, byteText(bytes), `+${byteText(newBytes)}`, lsn].join('\t')}\n`;
}

/** One fact on a line. */
export function factLines(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .filter(([, value]) => value !== undefined && value !== null && typeof value !== 'object')
    .map(([name, value]) => `${name.padEnd(18)}${onOneLine(String(value))}\n`)
    .join('');
}

/** Names and messages may hold anything, also what steers a terminal. */
function onOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
