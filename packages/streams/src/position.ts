/**
 * A position in a stream: how many messages and how many bytes come before it. On the wire it
 * is an opaque, sortable token `%016d_%016d` (decision 0005): both numbers only grow, so the
 * order of tokens is the order of positions, and every real position is told apart from
 * "one more than it" however short a message is.
 */
import { HoldfastError } from '@holdfast/core';

export interface Position {
  readonly messages: number;
  readonly bytes: number;
}

export const START: Position = { messages: 0, bytes: 0 };

const DIGITS = 16;
const TOKEN = /^\d{16}_\d{16}$/;

export function formatPosition(position: Position): string {
  return (
    String(position.messages).padStart(DIGITS, '0') +
    '_' +
    String(position.bytes).padStart(DIGITS, '0')
  );
}

/** Throws `INVALID_OFFSET`. Numbers above 2^53 - 1 cannot be positions of a stream. */
export function parsePosition(token: string): Position {
  if (!TOKEN.test(token)) throw invalid(token);
  const messages = Number(token.slice(0, DIGITS));
  const bytes = Number(token.slice(DIGITS + 1));
  if (!Number.isSafeInteger(messages) || !Number.isSafeInteger(bytes)) throw invalid(token);
  return { messages, bytes };
}

/** Negative, zero or positive, as tokens compare. */
export function comparePositions(a: Position, b: Position): number {
  return a.messages - b.messages || a.bytes - b.bytes;
}

function invalid(token: string): HoldfastError {
  return new HoldfastError(
    'INVALID_OFFSET',
    `offset is not one this server gave out length=${token.length}`,
  );
}
