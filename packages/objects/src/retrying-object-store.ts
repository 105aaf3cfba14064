/**
 * Tries again what may be tried again, around any store.
 *
 * Invariants
 * 1. Only `STORAGE_UNAVAILABLE` is tried again; with a pause that doubles, is shortened by chance,
 *    and is never shorter than what the store asked for.
 * 2. A body that can be given once is put once.
 * 3. Every put carries a name of its own. When an answer was lost and a later attempt finds its
 *    condition broken, the name on the object says whose write it is: if it is ours, the put has
 *    succeeded. (That an attempt whose answer was lost still lands later changes nothing: its
 *    condition is broken by then, or its bytes are the same.)
 * 4. Once an attempt ended with effect `unknown`, a final failure has effect `unknown` as well,
 *    whatever the last attempt says of itself.
 * 5. A body that breaks goes on where it broke, in the same object or not at all.
 *
 * Owner: who made it; it closes the store inside.
 */
import {
  type Clock,
  hasCode,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Random,
  sleep,
} from '@holdfast/core';
import { isReplayable } from './object-body.ts';
import { readOnce } from './object-content.ts';
import { throwIfEnded } from './object-errors.ts';
import type {
  CallOptions,
  GetOptions,
  LeftoverOptions,
  ListOptions,
  ObjectBody,
  ObjectContent,
  ObjectInfo,
  ObjectPage,
  ObjectStore,
  ObjectStoreCapabilities,
  PutOptions,
  PutResult,
} from './object-store.ts';
import { OpenCalls } from './open-calls.ts';

export interface RetryingComponents {
  readonly clock: Clock;
  readonly random: Random;
}

export interface RetrySettings {
  /** Attempts for one call, the first included. */
  readonly attempts?: number | undefined;
  /** The first pause at most. */
  readonly retryMs?: number | undefined;
  /** Any pause at most, also one that the store asked for. */
  readonly maxRetryMs?: number | undefined;
}

const WRITE_ID_BYTES = 16;

export class RetryingObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #attempts: number;
  readonly #retryMs: number;
  readonly #maxRetryMs: number;
  readonly #calls = new OpenCalls();

  constructor(inner: ObjectStore, components: RetryingComponents, settings: RetrySettings = {}) {
    this.#inner = inner;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#attempts = settings.attempts ?? LIMITS.objectAttempts;
    this.#retryMs = settings.retryMs ?? LIMITS.objectRetryMs;
    this.#maxRetryMs = settings.maxRetryMs ?? LIMITS.maxObjectRetryMs;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<PutResult> {
    const writeId = options.writeId ?? this.#random.bytes(WRITE_ID_BYTES).toString('hex'); // I3
    const conditional = options.ifAbsent === true || options.ifMatch !== undefined;
    let lost = false;
    const attempt = async (): Promise<PutResult> => {
      try {
        return await this.#inner.put(key, body, { ...options, writeId });
      } catch (error) {
        if (lost && conditional && hasCode(error, 'PRECONDITION_FAILED')) {
          return await this.#ownWrite(key, writeId, error, options.signal);
        }
        lost ||= isHoldfastError(error) && error.effect === 'unknown';
        throw error;
      }
    };
    try {
      return await this.#retry(options.signal, attempt, isReplayable(body) ? undefined : 1); // I2
    } catch (error) {
      throw lost ? withUnknownEffect(error) : error; // I4
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectContent> {
    const content = await this.#retry(options.signal, () => this.#inner.get(key, options));
    const current = { content };
    return {
      ...content,
      body: readOnce(() => this.#body(key, options.signal, current)),
      close: () => current.content.close(),
    };
  }

  head(key: string, options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#retry(options.signal, () => this.#inner.head(key, options));
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    let lost = false;
    try {
      await this.#retry(options.signal, async () => {
        try {
          await this.#inner.delete(key, options);
        } catch (error) {
          lost ||= isHoldfastError(error) && error.effect === 'unknown';
          throw error;
        }
      });
    } catch (error) {
      throw lost ? withUnknownEffect(error) : error; // I4
    }
  }

  list(options: ListOptions = {}): Promise<ObjectPage> {
    return this.#retry(options.signal, () => this.#inner.list(options));
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#retry(options.signal, () => this.#inner.removeLeftovers(options));
  }

  async close(): Promise<void> {
    await Promise.all([this.#calls.close(), this.#inner.close()]);
  }

  /** I3: the object that breaks our condition may be the one we put. */
  async #ownWrite(
    key: string,
    writeId: string,
    refusal: HoldfastError,
    signal: AbortSignal | undefined,
  ): Promise<PutResult> {
    let found: ObjectInfo | undefined;
    try {
      found = await this.head(key, { signal });
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw withUnknownEffect(error);
    }
    if (found?.writeId === writeId) return { etag: found.etag, size: found.size };
    throw refusal; // its effect becomes `unknown`: ours may have been there and be replaced
  }

  /** I5 */
  async *#body(
    key: string,
    signal: AbortSignal | undefined,
    current: { content: ObjectContent },
  ): AsyncGenerator<Buffer, void, void> {
    const { etag, offset, length } = current.content;
    const end = offset + length;
    let at = offset;
    let failures = 0;
    for (;;) {
      try {
        for await (const piece of current.content.body) {
          at += piece.length;
          failures = 0;
          yield piece;
        }
        return;
      } catch (error) {
        if (!isRetryable(error) || ++failures >= this.#attempts) throw error;
        if (at === end) return; // what broke came after the last byte
        await this.#calls.run(signal, (call) => this.#pause(failures, error, call));
      }
      const range = { offset: at, length: end - at };
      current.content = await this.#retry(signal, () =>
        this.#inner.get(key, { range, ifMatch: etag, signal }),
      );
    }
  }

  #retry<Result>(
    signal: AbortSignal | undefined,
    attempt: () => Promise<Result>,
    attempts: number = this.#attempts,
  ): Promise<Result> {
    return this.#calls.run(signal, async (call) => {
      for (let failures = 1; ; failures++) {
        try {
          return await attempt();
        } catch (error) {
          if (!isRetryable(error) || failures >= attempts) throw error;
          await this.#pause(failures, error, call);
        }
      }
    });
  }

  async #pause(failures: number, error: HoldfastError, call: AbortSignal): Promise<void> {
    const longest = Math.min(this.#maxRetryMs, this.#retryMs * 2 ** (failures - 1));
    const askedMs = Number(error.details['retryAfterMs'] ?? 0);
    const pauseMs = Math.max(1 + this.#random.integer(longest), askedMs); // I1
    await sleep(this.#clock, Math.min(pauseMs, this.#maxRetryMs), call).catch(() => undefined);
    throwIfEnded(call);
  }
}

/** I1 */
function isRetryable(error: unknown): error is HoldfastError {
  return hasCode(error, 'STORAGE_UNAVAILABLE');
}

/** I4 */
function withUnknownEffect(error: unknown): unknown {
  if (!isHoldfastError(error) || error.effect === 'unknown') return error;
  const { code, message, details } = error;
  return new HoldfastError(code, message, { effect: 'unknown', cause: error, details });
}
