/**
 * The end of an answer that was given before its request had come. Closing at once would make the
 * system reset the connection under what still arrives, and a client that is busy sending would
 * see a broken connection, and try again for ever, instead of the answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LIMITS, type Clock } from '@holdfast/core';

/** The whole answer is written; takes and drops what still comes, for a while, then ends it. */
export function endAfterRequest(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
): void {
  const end = (): void => {
    timer.cancel();
    request.off('end', end);
    request.off('close', end);
    response.end();
  };
  const timer = clock.after(LIMITS.lingerMs, end);
  request.on('end', end);
  request.on('close', end);
  request.resume();
}
