/**
 * Server-sent events: bytes of a stream as one `data` event, always followed by a `control` event
 * (PROTOCOL 5.8).
 *
 * Invariants
 * 1. No byte of a stream can end an event or start another: every CR, LF and CRLF becomes a line
 *    of its own behind a `data:`, and a space at the start of a line is kept by one more.
 * 2. What is not text travels as base64, byte for byte.
 */
import { formatPosition, type Position } from '../position.ts';
import type { StreamInfo } from '../stream-store.ts';
import { factsOf } from './media-type.ts';
import { withoutLastByte } from './send-slice.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

const DATA_EVENT = Buffer.from('event: data\ndata:');
const NEXT_LINE = Buffer.from('\ndata:');
const ONE_SPACE = Buffer.from(' ');
const END_EVENT = Buffer.from('\n\n');
const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');
const CHUNK_END = '\r\n';

/** A comment: keeps proxies awake, says nothing. */
export const HEARTBEAT: SseFrame = frameOf([Buffer.from(':\n\n')]);

/** Bytes to send to one reader, or to all. */
export interface SseFrame {
  /** As `ServerResponse.write` takes them. */
  readonly plain: Buffer;
  /** The same as one chunk of HTTP/1.1, to be written to the socket. */
  readonly chunked: Buffer;
}

export interface Control {
  readonly next: Position;
  readonly cursor: string;
  readonly upToDate: boolean;
  readonly closed: boolean;
}

/** `true` when the stream's bytes go as base64. */
export function needsBase64(info: StreamInfo): boolean {
  return !factsOf(info.contentType).text;
}

/** One data event with all of `bytes`, if there are any, and its control event. */
export function encodeEvents(
  info: StreamInfo,
  bytes: readonly Buffer[],
  control: Control,
): SseFrame {
  const parts: Buffer[] = [];
  if (bytes.some((buffer) => buffer.length > 0)) pushDataEvent(parts, info, bytes);
  parts.push(Buffer.from(`event: control\ndata:${controlText(control)}\n\n`, 'latin1'));
  return frameOf(parts);
}

/** All values are digits and underscores: nothing has to be escaped. */
function controlText(control: Control): string {
  const next = `{"streamNextOffset":"${formatPosition(control.next)}"`;
  if (control.closed) return `${next},"upToDate":true,"streamClosed":true}`;
  const cursor = `${next},"streamCursor":"${control.cursor}"`;
  return control.upToDate ? `${cursor},"upToDate":true}` : `${cursor}}`;
}

function pushDataEvent(parts: Buffer[], info: StreamInfo, bytes: readonly Buffer[]): void {
  parts.push(DATA_EVENT);
  if (needsBase64(info)) {
    const whole = bytes.length === 1 ? (bytes[0] as Buffer) : Buffer.concat(bytes);
    parts.push(Buffer.from(whole.toString('base64'), 'latin1'));
  } else if (info.json) {
    parts.push(OPEN);
    pushLines(parts, withoutLastByte(bytes), false);
    parts.push(CLOSE);
  } else {
    pushLines(parts, bytes, true);
  }
  parts.push(END_EVENT);
}

/** @param atLineStart the text starts right behind a `data:` */
function pushLines(parts: Buffer[], bytes: readonly Buffer[], atLineStart: boolean): void {
  if (!bytes.some((buffer) => buffer.includes(LF) || buffer.includes(CR))) {
    if (atLineStart && firstByte(bytes) === SPACE) parts.push(ONE_SPACE);
    parts.push(...bytes);
    return;
  }
  const text = bytes.length === 1 ? (bytes[0] as Buffer) : Buffer.concat(bytes);
  let start = 0;
  let lineStart = atLineStart;
  for (;;) {
    if (lineStart && text[start] === SPACE) parts.push(ONE_SPACE);
    const end = lineEnd(text, start);
    parts.push(text.subarray(start, end));
    if (end === text.length) return;
    parts.push(NEXT_LINE);
    start = text[end] === CR && text[end + 1] === LF ? end + 2 : end + 1;
    lineStart = true;
  }
}

function lineEnd(text: Buffer, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== LF && text[at] !== CR) at++;
  return at;
}

function firstByte(bytes: readonly Buffer[]): number | undefined {
  for (const buffer of bytes) if (buffer.length > 0) return buffer[0];
  return undefined;
}

function frameOf(parts: readonly Buffer[]): SseFrame {
  let size = 0;
  for (const part of parts) size += part.length;
  const head = size.toString(16) + CHUNK_END;
  const chunked = Buffer.allocUnsafe(head.length + size + CHUNK_END.length);
  let at = chunked.write(head, 0, 'latin1');
  for (const part of parts) at += part.copy(chunked, at);
  chunked.write(CHUNK_END, at, 'latin1');
  return { plain: chunked.subarray(head.length, at), chunked };
}
