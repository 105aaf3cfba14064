/**
 * How data of a stream is shown: as it is, or as one JSON line per batch. Lines carry the
 * offset to go on from, so that a program can stop and resume.
 */
import type { ConsoleIo } from '../console-io.ts';
import { jsonElements } from '../json-elements.ts';
import { isJsonType, isTextType } from './stream-answer.ts';

export interface ShownBatch {
  readonly contentType: string;
  /** JSON streams: an array of messages. */
  readonly bytes: Uint8Array;
  readonly nextOffset: string;
  readonly upToDate: boolean;
  readonly closed: boolean;
}

/** False for a read that only said where the tail is. */
export function hasData(batch: ShownBatch): boolean {
  const { bytes, contentType } = batch;
  return isJsonType(contentType) ? bytes.length > '[]'.length : bytes.length > 0;
}

export async function showBatch(io: ConsoleIo, json: boolean, batch: ShownBatch): Promise<void> {
  const isJson = isJsonType(batch.contentType);
  const messages = isJson ? jsonElements(Buffer.from(batch.bytes).toString('utf8')) : [];
  if (!json) {
    if (!isJson) await io.out(batch.bytes);
    else if (messages.length > 0) await io.out(`${messages.join('\n')}\n`);
    return;
  }
  const { nextOffset, upToDate, closed } = batch;
  const about = JSON.stringify({ nextOffset, upToDate, closed }).slice(0, -1);
  await io.out(`${about},${content(batch, isJson, messages)}}\n`);
}

function content(batch: ShownBatch, isJson: boolean, messages: readonly string[]): string {
  // Spliced in as text: parsing and writing again would change numbers and the order of keys.
  if (isJson) return `"messages":[${messages.join(',')}]`;
  const bytes = Buffer.from(batch.bytes);
  return isTextType(batch.contentType)
    ? `"text":${JSON.stringify(bytes.toString('utf8'))}`
    : `"base64":${JSON.stringify(bytes.toString('base64'))}`;
}
