/** Values of the embedded API to bytes at rest and back. */
import { splitJson, type Messages } from '@holdfast/streams';

/** Content of streams that are not JSON. */
export type Bytes = string | Uint8Array;

const NOTHING: Messages = { bytes: Buffer.alloc(0), lengths: [] };

/**
 * One message per value for JSON streams; for others the values' bytes are one message.
 * @throws `TypeError` for a value the stream cannot hold.
 */
export function encodeMessages(values: readonly unknown[], json: boolean): Messages {
  return json ? encodeJson(values) : encodeBytes(values);
}

function encodeJson(values: readonly unknown[]): Messages {
  if (values.length === 0) return NOTHING;
  const texts = values.map((value) => {
    if (value instanceof Uint8Array) {
      throw new TypeError('this stream is JSON: append a value, not its bytes');
    }
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new TypeError(`a ${typeof value} is not a JSON value`);
    return text;
  });
  // The same gate as for HTTP bodies: depth, count, and surrogates every reader can decode.
  return splitJson(Buffer.from(`[${texts.join(',')}]`));
}

function encodeBytes(values: readonly unknown[]): Messages {
  const parts = values.map((value) => {
    if (typeof value === 'string') return Buffer.from(value);
    if (value instanceof Uint8Array) return value;
    throw new TypeError('this stream is not JSON: append a string or a Uint8Array');
  });
  // A copy even of one part: the caller may change its bytes while ours wait for the disk.
  const bytes = Buffer.concat(parts);
  return { bytes, lengths: bytes.length === 0 ? [] : [bytes.length] };
}

/** @param bytes whole messages as they rest: each with its comma. */
export function decodeJson(bytes: Buffer): unknown[] {
  if (bytes.length === 0) return [];
  return JSON.parse(`[${bytes.toString('utf8', 0, bytes.length - 1)}]`) as unknown[];
}
