/** Appends one JSON message of the engine's own to a stream, as a client would. */
import { hasCode } from '@holdfast/core';
import { splitJson } from '../messages.ts';
import type { AppendResult, ProducerTag, StreamStore } from '../stream-store.ts';

export const JSON_TYPE = 'application/json';

/** @param producer makes a retry a duplicate. */
function appendJson(
  streams: StreamStore,
  path: string,
  value: object,
  producer?: ProducerTag,
): Promise<AppendResult> {
  const text = JSON.stringify(value);
  return streams.append({
    path,
    contentType: JSON_TYPE,
    messages: () => splitJson(Buffer.from(text)),
    close: false,
    ...(producer === undefined ? {} : { producer }),
  });
}

/**
 * The same once, whatever is retried, while the stream knows the producer or has room for one
 * more; otherwise at least once: each subscription there ever was is a producer of its own.
 */
export async function appendTagged(
  streams: StreamStore,
  path: string,
  value: object,
  producer: ProducerTag,
): Promise<void> {
  try {
    await appendJson(streams, path, value, producer);
  } catch (error) {
    if (!hasCode(error, 'QUOTA_EXCEEDED')) throw error;
    await appendJson(streams, path, value);
  }
}
