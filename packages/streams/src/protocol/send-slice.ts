/**
 * Sends the body of a read. JSON rests as messages with a comma behind each, so an array is the
 * bytes between brackets without the last comma. From memory it goes out at once; from disk piece
 * by piece, the next only after the client took the last.
 *
 * The length is announced before the first byte: when the disk fails half-way, the connection is
 * cut and the client sees that the body is short.
 */
import { LIMITS } from '@holdfast/core';
import type { StreamSlice } from '../stream-store.ts';
import type { Exchange } from './exchange.ts';
import { sendBody } from '../http/send-body.ts';
import { writeAll } from '../http/write-gate.ts';

const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');
const EMPTY_ARRAY = Buffer.from('[]');
const EMPTY = Buffer.alloc(0);

/** Length of the body that `sendSlice` will send. */
export function bodyLength(slice: StreamSlice): number {
  if (!slice.info.json) return slice.byteLength;
  return slice.byteLength === 0 ? EMPTY_ARRAY.length : slice.byteLength + 1;
}

/** @param headers complete, with the length */
export function sendSlice(
  exchange: Exchange,
  slice: StreamSlice,
  status: number,
  headers: string[],
): void {
  const { response } = exchange;
  if (slice.byteLength === 0) {
    response.writeHead(status, headers);
    response.end(slice.info.json ? EMPTY_ARRAY : EMPTY);
  } else if (slice.bytes !== undefined) {
    response.writeHead(status, headers);
    const parts = bodyParts(slice.bytes, slice.info.json, slice.byteLength);
    sendBody(response, parts, exchange.context.memory);
  } else {
    sendStored(exchange, slice, status, headers).catch((error: unknown) => exchange.fail(error));
  }
}

/** Memory that a body from disk takes while it is sent: a piece on its way, and one ahead. */
export function pieceMemory(byteLength: number): number {
  const one = LIMITS.readPieceBytes + 3 * LIMITS.extentBlockBytes;
  return byteLength > LIMITS.readPieceBytes ? 2 * one : one;
}

/** The body of `byteLength` resting bytes as parts to send one after the other. */
export function bodyParts(
  bytes: readonly Buffer[],
  json: boolean,
  byteLength: number,
): readonly Buffer[] {
  if (!json) return bytes;
  if (byteLength === 0) return [EMPTY_ARRAY];
  return [OPEN, ...withoutLastByte(bytes), CLOSE];
}

export function withoutLastByte(bytes: readonly Buffer[]): readonly Buffer[] {
  let end = bytes.length - 1;
  while (end > 0 && bytes[end]?.length === 0) end--;
  const last = bytes[end] as Buffer;
  return [...bytes.slice(0, end), last.subarray(0, last.length - 1)];
}

/** The head waits for room too: whoever gets none can still be told. */
async function sendStored(
  exchange: Exchange,
  slice: StreamSlice,
  status: number,
  headers: string[],
): Promise<void> {
  const { response, context } = exchange;
  const held = context.memory.open(response);
  const room = context.memory.room(held, pieceMemory(slice.byteLength));
  if (room !== undefined) await room;
  if (response.destroyed) return;
  response.writeHead(status, headers);
  await sendPieces(exchange, slice);
}

async function sendPieces(exchange: Exchange, slice: StreamSlice): Promise<void> {
  const { response, context } = exchange;
  const { json } = slice.info;
  let left = json ? slice.byteLength - 1 : slice.byteLength;
  if (json) response.write(OPEN);
  const { clock, settings } = context;
  for await (const buffers of slice.pieces()) {
    const parts: Buffer[] = [];
    for (const buffer of buffers) {
      const part = buffer.length > left ? buffer.subarray(0, left) : buffer;
      if (part.length > 0) parts.push(part);
      left -= part.length;
    }
    // The memory of a piece is used again for the one after the next.
    if (!(await writeAll(response, parts, clock, settings))) return;
  }
  if (left > 0) {
    context.logger.error('protocol.short-read', { missingBytes: left });
    response.destroy();
    return;
  }
  response.end(json ? CLOSE : undefined);
}
