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
import type { Messages } from './stream-store.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

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

/** One level of a top-level array is flattened; anything else is one message. */
export function splitJson(body: Buffer, limits: JsonSplitLimits = LIMITS): Messages {
  if (!isUtf8(body)) throw invalidJson('not valid utf-8');
  const scan = new JsonScan(body, limits.maxJsonDepth);
  const ends = scan.run();
  try {
    JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's message quotes the body: it is not passed on.
    throw invalidJson('not valid json');
  }
  if (!scan.isArray) return copyElements(body, [0, body.length]);
  if (ends.length === 2 && trimmedLength(body, ends[0] as number, ends[1] as number) === 0) {
    if (limits.allowEmpty === true) return { bytes: Buffer.alloc(0), lengths: [] };
    throw new HoldfastError('EMPTY_BODY', 'an append needs at least one message');
  }
  if (ends.length - 1 > limits.maxJsonMessages) {
    throw new HoldfastError(
      'BODY_TOO_LARGE',
      `too many messages in one append count=${ends.length - 1} limit=${limits.maxJsonMessages}`,
    );
  }
  return scan.spaced ? copyElements(body, ends) : copyWhole(body, ends);
}

/**
 * One pass over the bytes: where the elements of a top-level array end, how deep it nests,
 * and whether escapes pair their surrogates. Says nothing useful about invalid JSON, which
 * the parser finds afterwards.
 */
class JsonScan {
  readonly #body: Buffer;
  readonly #maxDepth: number;
  isArray = false;
  /** There is white space outside strings: elements have to be trimmed. */
  spaced = false;

  constructor(body: Buffer, maxDepth: number) {
    this.#body = body;
    this.#maxDepth = maxDepth;
  }

  /** Index of the byte before each element's own bytes, then of the closing bracket. */
  run(): number[] {
    const body = this.#body;
    const length = body.length;
    const marks: number[] = [];
    let at = 0;
    while (at < length && isSpace(body[at] as number)) at++;
    this.spaced = at > 0;
    this.isArray = body[at] === OPEN_ARRAY;
    const outer = this.isArray ? 1 : 0;
    const deepest = this.#maxDepth + outer;
    let depth = 0;
    for (; at < length; at++) {
      const byte = body[at] as number;
      if (byte === QUOTE) {
        at = this.#skipString(at);
      } else if (byte === COMMA) {
        if (depth === 1 && outer === 1) marks.push(at);
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (++depth > deepest) throw invalidJson(`nested too deep limit=${this.#maxDepth}`);
        if (depth === 1) marks.push(at);
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        if (--depth === 0) marks.push(at);
      } else if (byte <= 0x20) {
        this.spaced = true;
      }
    }
    return marks;
  }

  /** From the opening quote to the closing one. */
  #skipString(from: number): number {
    const body = this.#body;
    for (let at = from + 1; ; at++) {
      const byte = body[at];
      if (byte === QUOTE || byte === undefined) return at;
      if (byte === BACKSLASH) {
        at++;
        if (body[at] === LOWER_U) at = this.#skipEscape(at);
      }
    }
  }

  /** From the `u` to the last digit of the escape, or of both escapes of a pair. */
  #skipEscape(at: number): number {
    const unit = this.#unit(at);
    if (unit < 0xd800 || unit > 0xdfff) return at + 4;
    const paired =
      unit < 0xdc00 && this.#body[at + 5] === BACKSLASH && this.#body[at + 6] === LOWER_U;
    const low = paired ? this.#unit(at + 6) : 0;
    if (low < 0xdc00 || low > 0xdfff) throw invalidJson('lone surrogate');
    return at + 10;
  }

  /** The code unit of an escape; anything if its digits are wrong, which the parser finds. */
  #unit(at: number): number {
    let unit = 0;
    for (let digit = at + 1; digit <= at + 4; digit++) {
      const byte = this.#body[digit] ?? 0;
      unit = unit * 16 + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57);
    }
    return unit;
  }
}

/** No white space anywhere: the body between the brackets is the messages but for one comma. */
function copyWhole(body: Buffer, marks: readonly number[]): Messages {
  const first = (marks[0] as number) + 1;
  const last = marks.at(-1) as number;
  const bytes = Buffer.allocUnsafe(last - first + 1);
  body.copy(bytes, 0, first, last);
  bytes[bytes.length - 1] = COMMA;
  const lengths: number[] = [];
  for (let i = 1; i < marks.length; i++) {
    lengths.push((marks[i] as number) - (marks[i - 1] as number));
  }
  return { bytes, lengths };
}

function copyElements(body: Buffer, marks: readonly number[]): Messages {
  const single = marks[0] === 0 && marks[1] === body.length;
  const skip = single ? 0 : 1;
  const bytes = Buffer.allocUnsafe(body.length + 1);
  const lengths: number[] = [];
  let to = 0;
  for (let i = 1; i < marks.length; i++) {
    let from = (marks[i - 1] as number) + skip;
    let end = marks[i] as number;
    while (from < end && isSpace(body[from] as number)) from++;
    while (end > from && isSpace(body[end - 1] as number)) end--;
    body.copy(bytes, to, from, end);
    to += end - from;
    bytes[to++] = COMMA;
    lengths.push(end - from + 1);
  }
  return { bytes: bytes.subarray(0, to), lengths };
}

function trimmedLength(body: Buffer, open: number, close: number): number {
  let from = open + 1;
  while (from < close && isSpace(body[from] as number)) from++;
  return close - from;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function invalidJson(why: string): HoldfastError {
  return new HoldfastError('INVALID_JSON', `body is ${why}`);
}
