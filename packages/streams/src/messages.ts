/**
 * Bodies into messages. A JSON body keeps its bytes exactly: elements are found by scanning
 * and copied, never parsed and written again, so that big integers, `1.0`, the order of keys
 * and duplicate keys survive.
 *
 * Invariants
 * 1. What is accepted is valid JSON in strict UTF-8 without lone surrogates, raw or escaped:
 *    every reader in every language can decode what it is sent.
 * 2. A JSON message rests without white space around it and with one comma behind it, so that
 *    any range of messages becomes an array by brackets alone.
 */
import { isUtf8 } from 'node:buffer';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { JsonScanner } from './json-scanner.ts';
import type { Messages } from './stream-store.ts';

const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

const NO_MESSAGES: Messages = { bytes: Buffer.alloc(0), lengths: [] };

export interface JsonSplitLimits {
  readonly maxJsonDepth: number;
  readonly maxJsonMessages: number;
  /** `[]` is no messages (create) instead of `EMPTY_BODY` (append). */
  readonly allowEmpty?: boolean;
}

/** For types other than JSON: the body is one message. */
export function splitBytes(body: Buffer): Messages {
  if (body.length === 0) throw new HoldfastError('EMPTY_BODY', 'an append needs a body');
  return { bytes: body, lengths: [body.length] };
}

/**
 * One level of a top-level array is flattened; anything else is one message.
 *
 * @param body ownership passes: its bytes may become the messages, and its last bracket a comma.
 */
export function splitJson(body: Buffer, limits: JsonSplitLimits = LIMITS): Messages {
  if (!isUtf8(body)) throw new HoldfastError('INVALID_JSON', 'body is not valid utf-8');
  const scanner = new JsonScanner(body, limits.maxJsonDepth);
  scanner.space();
  const bounds =
    scanner.peek() === OPEN_ARRAY
      ? elementBounds(scanner, limits.maxJsonMessages)
      : [scanner.at, scanner.value()];
  scanner.space();
  if (!scanner.atEnd) {
    throw new HoldfastError('INVALID_JSON', `body goes on behind its value at=${scanner.at}`);
  }
  if (bounds.length > 0) return gather(body, bounds);
  if (limits.allowEmpty === true) return NO_MESSAGES;
  throw new HoldfastError('EMPTY_BODY', 'an append needs at least one message');
}

/** Start and end of each element of the array at the scanner's position, alternating. */
function elementBounds(scanner: JsonScanner, maxMessages: number): number[] {
  const bounds: number[] = [];
  scanner.at++;
  scanner.space();
  if (scanner.peek() === CLOSE_ARRAY) {
    scanner.at++;
    return bounds;
  }
  for (;;) {
    if (bounds.length >= 2 * maxMessages) {
      throw new HoldfastError(
        'BODY_TOO_LARGE',
        `too many messages in one append limit=${maxMessages}`,
      );
    }
    bounds.push(scanner.at, scanner.value());
    scanner.space();
    const next = scanner.peek();
    scanner.at++;
    if (next === CLOSE_ARRAY) return bounds;
    if (next !== COMMA) {
      throw new HoldfastError('INVALID_JSON', `body lacks a comma or bracket at=${scanner.at - 1}`);
    }
    scanner.space();
  }
}

/** The messages, each with a comma behind it; in place where they already stand like that. */
function gather(body: Buffer, bounds: readonly number[]): Messages {
  const lengths: number[] = [];
  let total = 0;
  for (let i = 0; i < bounds.length; i += 2) {
    const length = (bounds[i + 1] as number) - (bounds[i] as number) + 1;
    lengths.push(length);
    total += length;
  }
  const first = bounds[0] as number;
  const last = bounds[bounds.length - 1] as number;
  if (total === last - first + 1 && last < body.length) {
    // No white space between messages: they already stand with one comma between them.
    body[last] = COMMA;
    return { bytes: body.subarray(first, last + 1), lengths };
  }
  const bytes = Buffer.allocUnsafe(total);
  let to = 0;
  for (let i = 0; i < bounds.length; i += 2) {
    to += body.copy(bytes, to, bounds[i], bounds[i + 1]);
    bytes[to++] = COMMA;
  }
  return { bytes, lengths };
}
