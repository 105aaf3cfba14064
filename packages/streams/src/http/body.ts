/**
 * Collects a request body, bounded by itself and together with all others. A body is usually one
 * chunk, which is passed on as it is; more chunks are copied into one buffer, because a client
 * that sends a byte at a time would make each of them an object a hundred times its size.
 * An upload that breaks off never reaches `done`: nothing of it is stored.
 */
import type { IncomingMessage } from 'node:http';
import { HoldfastError } from '@holdfast/core';
import type { BodyBudget } from './body-budget.ts';

const EMPTY = Buffer.alloc(0);

/** Capacity once a second chunk has come. */
const FIRST_CAPACITY_BYTES = 16 * 1024;

/** One request whose body is wanted. */
export interface BodyRequest {
  readonly request: IncomingMessage;
  readonly fields: { readonly contentLength: string | undefined };
  readonly context: {
    readonly bodies: BodyBudget;
    readonly settings: { readonly maxBodyBytes: number };
  };
  /** Answers. */
  fail(error: unknown): void;
}

/** What `done` throws becomes the answer. */
export function collectBody(
  exchange: BodyRequest,
  done: (body: Buffer) => void,
  maxBytes: number = exchange.context.settings.maxBodyBytes,
): void {
  const { request, fields } = exchange;
  const { bodies } = exchange.context;
  if (fields.contentLength === '0') {
    done(EMPTY);
    return;
  }
  // Checked before a byte is read. The parser has made sure that it is digits.
  const announced = fields.contentLength === undefined ? NaN : Number(fields.contentLength);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  const body = new GrowingBody(bodies, maxBytes, announced);
  let refused = false;
  request.on('data', (chunk: Buffer) => {
    if (refused) return;
    try {
      body.add(chunk);
    } catch (error) {
      refused = true;
      body.release();
      exchange.fail(error);
    }
  });
  request.on('end', () => {
    if (refused) return;
    try {
      done(body.bytes);
    } catch (error) {
      exchange.fail(error);
    } finally {
      body.release(); // what is to be written is counted by whoever queues it
    }
  });
  request.on('close', () => body.release());
}

/** Invariant: `#buffer` is counted in the budget from its making until `release`. */
class GrowingBody {
  readonly #budget: BodyBudget;
  readonly #maxBytes: number;
  readonly #maxCapacity: number;
  #buffer: Buffer = EMPTY;
  #size = 0;

  constructor(budget: BodyBudget, maxBytes: number, announced: number) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
    this.#maxCapacity = Number.isSafeInteger(announced) ? announced : maxBytes;
  }

  get bytes(): Buffer {
    return this.#size === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, this.#size);
  }

  /** Throws `BODY_TOO_LARGE` or `BODY_MEMORY_FULL`. */
  add(chunk: Buffer): void {
    const size = this.#size + chunk.length;
    if (size > this.#maxBytes) throw tooLarge(this.#maxBytes);
    if (this.#size === 0) {
      this.#budget.take(chunk.length);
      this.#buffer = chunk;
    } else {
      if (size > this.#buffer.length) this.#grow(size);
      chunk.copy(this.#buffer, this.#size);
    }
    this.#size = size;
  }

  release(): void {
    this.#budget.give(this.#buffer.length);
    this.#buffer = EMPTY;
    this.#size = 0;
  }

  #grow(needed: number): void {
    const doubled = Math.max(2 * this.#buffer.length, FIRST_CAPACITY_BYTES);
    const capacity = Math.max(needed, Math.min(doubled, this.#maxCapacity));
    this.#budget.take(capacity - this.#buffer.length);
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(grown, 0, 0, this.#size);
    this.#buffer = grown;
  }
}

function tooLarge(limit: number): HoldfastError {
  return new HoldfastError('BODY_TOO_LARGE', `body is too large limit=${limit}`);
}
