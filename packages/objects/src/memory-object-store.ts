/**
 * Objects in the memory of this process: for tests, and for nodes that keep nothing.
 *
 * Invariants
 * 1. The bytes of an object never change: a put brings its own copy, a body takes copies.
 * 2. `#keys` holds the keys of `#objects` in order, or is `undefined` and made when needed.
 * 3. Between deciding about a condition and the change there is no `await`.
 */
import { createHash } from 'node:crypto';
import { type Clock, LIMITS } from '@holdfast/core';
import { piecesOf } from './object-body.ts';
import { clipRange, openContent } from './object-content.ts';
import { invalidRange, objectNotFound, preconditionFailed, throwIfEnded } from './object-errors.ts';
import { assertObjectKey, compareKeys } from './object-key.ts';
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
import { assertCondition, conditionOf, listBounds } from './put-condition.ts';

interface StoredObject {
  readonly info: ObjectInfo;
  readonly bytes: Buffer;
}

export class MemoryObjectStore implements ObjectStore {
  readonly capabilities: ObjectStoreCapabilities = {
    ifAbsent: true,
    ifMatch: true,
    maxConditionalBytes: Infinity,
    nestedKeys: true,
  };
  readonly #clock: Clock;
  readonly #calls = new OpenCalls();
  readonly #objects = new Map<string, StoredObject>();
  #keys: string[] | undefined = [];

  constructor(components: { readonly clock: Clock }) {
    this.#clock = components.clock;
  }

  put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<PutResult> {
    return this.#calls.run(options.signal, async (signal) => {
      assertObjectKey(key);
      conditionOf(options, this.capabilities);
      const pieces: Buffer[] = [];
      for await (const piece of piecesOf(body, options.contentLength, signal)) {
        pieces.push(Buffer.from(piece)); // I1
      }
      throwIfEnded(signal);
      const bytes = Buffer.concat(pieces);
      const etag = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
      const before = this.#objects.get(key);
      assertCondition(key, options, before?.info.etag); // I3
      const modifiedMs = this.#clock.now();
      const info = { etag, size: bytes.length, modifiedMs, writeId: options.writeId };
      this.#objects.set(key, { info, bytes });
      if (before === undefined) this.#keys = undefined; // I2
      return { etag, size: bytes.length };
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<ObjectContent> {
    const call = this.#calls.enter(options.signal);
    try {
      const { info, bytes } = this.#find(key);
      if (options.ifMatch !== undefined && options.ifMatch !== info.etag) {
        throw preconditionFailed(key, 'ifMatch');
      }
      const part = clipRange(options.range, info.size);
      if (part === undefined) throw invalidRange(key, options.range?.offset ?? 0, info.size);
      const end = part.offset + part.length;
      let at = part.offset;
      return openContent(
        call,
        { key, info, ...part },
        {
          next: async () => {
            if (at === end) return undefined;
            const piece = bytes.subarray(at, Math.min(at + LIMITS.objectReadBytes, end));
            at += piece.length;
            return Buffer.from(piece); // I1
          },
          release: async () => undefined,
        },
      );
    } catch (error) {
      call.leave();
      throw error;
    }
  }

  head(key: string, options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#calls.run(options.signal, async () => this.#find(key).info);
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.#calls.run(options.signal, async () => {
      assertObjectKey(key);
      if (this.#objects.delete(key)) this.#keys = undefined; // I2
    });
  }

  list(options: ListOptions = {}): Promise<ObjectPage> {
    return this.#calls.run(options.signal, async () => {
      const { prefix, after, limit } = listBounds(options);
      this.#keys ??= [...this.#objects.keys()].sort(compareKeys);
      const found = this.#keys.filter(
        (key) => key.startsWith(prefix) && compareKeys(key, after) > 0,
      );
      const page = found.slice(0, limit);
      const objects = page.map((key) => ({ key, size: this.#objects.get(key)?.info.size ?? 0 }));
      return { objects, after: found.length > limit ? page.at(-1) : undefined };
    });
  }

  /** Interrupted puts leave nothing. */
  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#calls.run(options.signal, async () => 0);
  }

  close(): Promise<void> {
    return this.#calls.close();
  }

  #find(key: string): StoredObject {
    assertObjectKey(key);
    const found = this.#objects.get(key);
    if (found === undefined) throw objectNotFound(key);
    return found;
  }
}
