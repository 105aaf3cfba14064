/** Entity tags of reads (PROTOCOL 10.1). */
import { formatPosition, type Position } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';

/**
 * The tag changes on closure: a cached 304 must not hide the end of the stream. It tells streams
 * apart by their time too: in a fresh data directory ids begin anew, and caches keep their tags.
 */
export function entityTag(
  { id, createdAtMs }: Pick<StreamInfo, 'id' | 'createdAtMs'>,
  from: Position,
  to: Position,
  closed: boolean,
): string {
  const stream = `${id}-${createdAtMs.toString(36)}`;
  return `"${stream}:${formatPosition(from)}:${formatPosition(to)}${closed ? ':c' : ''}"`;
}
