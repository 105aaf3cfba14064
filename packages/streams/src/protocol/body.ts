/**
 * Collects a request body, bounded. A body is usually one chunk, which is passed on as it is.
 * An upload that breaks off never reaches `done`: nothing of it is stored.
 */
import type { IncomingMessage } from 'node:http';
import { HoldfastError } from '@holdfast/core';
import type { Exchange } from './exchange.ts';

const EMPTY = Buffer.alloc(0);

/** What `done` throws becomes the answer. */
export function collectBody(exchange: Exchange, done: (body: Buffer) => void): void {
  const { request, fields } = exchange;
  const { maxBodyBytes } = exchange.context.settings;
  if (fields.contentLength === '0') {
    done(EMPTY);
    return;
  }
  // Checked before a byte is read. The parser has made sure that it is digits.
  if (fields.contentLength !== undefined && Number(fields.contentLength) > maxBodyBytes) {
    throw tooLarge(maxBodyBytes);
  }
  let first: Buffer | undefined;
  let all: Buffer[] | undefined;
  let size = 0;
  let refused = false;
  request.on('data', (chunk: Buffer) => {
    if (refused) return;
    size += chunk.length;
    if (size > maxBodyBytes) {
      refused = true;
      stopReading(request);
      exchange.fail(tooLarge(maxBodyBytes));
    } else if (first === undefined) first = chunk;
    else if (all === undefined) all = [first, chunk];
    else all.push(chunk);
  });
  request.on('end', () => {
    if (refused) return;
    try {
      done(all === undefined ? (first ?? EMPTY) : Buffer.concat(all, size));
    } catch (error) {
      exchange.fail(error);
    }
  });
}

function stopReading(request: IncomingMessage): void {
  request.pause();
}

function tooLarge(limit: number): HoldfastError {
  return new HoldfastError('BODY_TOO_LARGE', `body is too large limit=${limit}`);
}
