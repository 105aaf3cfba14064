/** Bodies of objects on their way in and out. */
import { HoldfastError, LIMITS } from '@holdfast/core';
import { unlessEnded } from './object-errors.ts';
import type { CallOptions, ObjectBody, ObjectContent, ObjectStore } from './object-store.ts';

/** True when a second attempt would see the same bytes. */
export function isReplayable(body: ObjectBody): boolean {
  return body instanceof Uint8Array || typeof body === 'function';
}

/** The bytes of `body` if they are known already, else `undefined`. */
export function knownLength(body: ObjectBody, announced: number | undefined): number | undefined {
  return body instanceof Uint8Array ? body.byteLength : announced;
}

/**
 * The pieces of a body, none larger than `objectReadBytes` when the body is one buffer. Throws
 * `OBJECT_LENGTH_MISMATCH` as soon as they cannot add up to what was announced, and when `signal`
 * ends, even if the source says nothing more.
 */
export async function* piecesOf(
  body: ObjectBody,
  announced: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const source = body instanceof Uint8Array ? slices(body) : toPieces(body);
  const iterator = source[Symbol.asyncIterator]();
  let given = 0;
  let ended = false;
  try {
    for (;;) {
      const next = await unlessEnded(signal, iterator.next());
      if (next.done === true) {
        ended = true;
        break;
      }
      const piece = next.value;
      given += piece.byteLength;
      if (announced !== undefined && given > announced) throw lengthMismatch(given, announced);
      if (piece.byteLength > 0) yield piece;
    }
  } finally {
    // Not awaited: a source that says nothing more does not answer this either.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
  if (announced !== undefined && given !== announced) throw lengthMismatch(given, announced);
}

/**
 * The body in parts of exactly `partBytes`, the last one smaller. Of one buffer they are views,
 * else they are filled piece by piece. An empty body is one empty part.
 */
export async function* partsOf(
  body: ObjectBody,
  announced: number | undefined,
  partBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  if (body instanceof Uint8Array) {
    if (announced !== undefined && announced !== body.byteLength) {
      throw lengthMismatch(body.byteLength, announced);
    }
    yield body.subarray(0, partBytes);
    for (let at = partBytes; at < body.byteLength; at += partBytes) {
      yield body.subarray(at, at + partBytes);
    }
    return;
  }
  let part = Buffer.allocUnsafeSlow(Math.min(partBytes, announced ?? partBytes));
  let filled = 0;
  let any = false;
  for await (const piece of piecesOf(body, announced, signal)) {
    let taken = 0;
    while (taken < piece.byteLength) {
      if (filled === partBytes) {
        yield part;
        any = true;
        part = Buffer.allocUnsafeSlow(partBytes);
        filled = 0;
      }
      const some = Math.min(piece.byteLength - taken, partBytes - filled);
      part.set(piece.subarray(taken, taken + some), filled);
      filled += some;
      taken += some;
    }
  }
  if (filled > 0 || !any) yield part.subarray(0, filled);
}

function toPieces(body: Exclude<ObjectBody, Uint8Array>): AsyncIterable<Uint8Array> {
  return typeof body === 'function' ? body() : body;
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.byteLength; at += LIMITS.objectReadBytes) {
    yield bytes.subarray(at, at + LIMITS.objectReadBytes);
  }
}

function lengthMismatch(given: number, announced: number): HoldfastError {
  return new HoldfastError(
    'OBJECT_LENGTH_MISMATCH',
    `the source does not give what was announced bytes=${given} announced=${announced}`,
  );
}

/** A whole object in memory. One larger than `maxBytes` is `OBJECT_TOO_LARGE`. */
export async function readObject(
  store: ObjectStore,
  key: string,
  options: CallOptions & { readonly maxBytes: number },
): Promise<Buffer> {
  const content = await store.get(key, { signal: options.signal });
  if (content.size > options.maxBytes) {
    await content.close();
    throw new HoldfastError(
      'OBJECT_TOO_LARGE',
      `object is larger than expected key=${key} bytes=${content.size} limit=${options.maxBytes}`,
    );
  }
  return collectContent(content);
}

async function collectContent(content: ObjectContent): Promise<Buffer> {
  const target = Buffer.allocUnsafeSlow(content.length);
  let filled = 0;
  for await (const piece of content.body) filled += piece.copy(target, filled);
  return target;
}
