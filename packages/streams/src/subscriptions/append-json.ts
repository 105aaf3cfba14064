/** Appends one JSON message of the engine's own to a stream, as a client would. */
import { splitJson } from '../messages.ts';
import type { AppendResult, ProducerTag, StreamStore } from '../stream-store.ts';

export const JSON_TYPE = 'application/json';

/** @param producer makes a retry a duplicate. */
export function appendJson(
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
