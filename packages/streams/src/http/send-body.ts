/** Sends a body that is in memory, behind a head that was written. */
import type { ServerResponse } from 'node:http';
import type { ResponseMemory } from './response-memory.ts';

/** Up to here a body is copied next to its head and both leave in one write. */
const MAX_JOINED_BYTES = 16 * 1024;

export function sendBody(
  response: ServerResponse,
  parts: readonly Buffer[],
  memory: ResponseMemory,
): void {
  let size = 0;
  for (const part of parts) size += part.length;
  if (size <= MAX_JOINED_BYTES) {
    response.end(joinLatin1(parts), 'latin1');
    return;
  }
  response.cork();
  for (const part of parts) response.write(part);
  response.end();
  memory.holdUnsent(response, parts);
}

/** Bytes as a string of the same length: Node.js sends it together with the head. */
export function joinLatin1(parts: readonly Buffer[]): string {
  let text = '';
  for (const part of parts) text += part.toString('latin1');
  return text;
}
