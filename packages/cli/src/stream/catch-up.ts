/** All there is from an offset to the tail, response by response. */
import type { NodeClient } from '../node-client.ts';
import { streamAnswer } from './stream-answer.ts';
import type { ShownBatch } from './batch-output.ts';

export async function* catchUp(
  client: NodeClient,
  path: string,
  from: string,
  signal?: AbortSignal,
): AsyncGenerator<ShownBatch> {
  let offset = from;
  for (;;) {
    const response = await client.stream(path, { method: 'GET', query: { offset }, signal });
    const answer = streamAnswer(response);
    yield { ...answer, bytes: new Uint8Array(await response.arrayBuffer()) };
    if (answer.upToDate || answer.closed) return;
    if (answer.nextOffset === offset) throw new Error('the node gave no data and no end');
    offset = answer.nextOffset;
  }
}

/** `start` and `now` as the protocol says them. */
export function offsetOf(from: string): string {
  return from === 'start' ? '-1' : from;
}
