/**
 * A store that passes every call on to another one, which may be another one each time, or none yet.
 * Calls are passed on in their own turn, so that their order stays what it was.
 */
import type {
  KvAck,
  KvCallOptions,
  KvCapabilities,
  KvChange,
  KvDeleteOptions,
  KvEntry,
  KvOperation,
  KvPage,
  KvPageOptions,
  KvPutOptions,
  KvRange,
  KvStore,
  KvWatchOptions,
} from '@holdfast/kv';

export interface ForwardingParts {
  readonly id: string;
  readonly capabilities: () => KvCapabilities;
  /** Throws while there is none. */
  readonly target: () => KvStore;
  readonly close: () => Promise<void>;
}

export class ForwardingKvStore implements KvStore {
  readonly #parts: ForwardingParts;

  constructor(parts: ForwardingParts) {
    this.#parts = parts;
  }

  get id(): string {
    return this.#parts.id;
  }

  get capabilities(): KvCapabilities {
    return this.#parts.capabilities();
  }

  async get(key: string, options?: KvCallOptions): Promise<Uint8Array | undefined> {
    return this.#parts.target().get(key, options);
  }

  async getEntry(key: string, options?: KvCallOptions): Promise<KvEntry | undefined> {
    return this.#parts.target().getEntry(key, options);
  }

  async getMany(
    keys: readonly string[],
    options?: KvCallOptions,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    return this.#parts.target().getMany(keys, options);
  }

  async has(key: string, options?: KvCallOptions): Promise<boolean> {
    return this.#parts.target().has(key, options);
  }

  async put(key: string, value: Uint8Array, options?: KvPutOptions): Promise<KvAck> {
    return this.#parts.target().put(key, value, options);
  }

  async del(key: string, options?: KvDeleteOptions): Promise<KvAck> {
    return this.#parts.target().del(key, options);
  }

  async batch(
    operations: readonly KvOperation[],
    options?: KvCallOptions,
  ): Promise<readonly KvAck[]> {
    return this.#parts.target().batch(operations, options);
  }

  async *keys(range?: KvRange): AsyncGenerator<string, void, undefined> {
    yield* this.#parts.target().keys(range);
  }

  async *values(range?: KvRange): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.#parts.target().values(range);
  }

  async *iterator(
    range?: KvRange,
  ): AsyncGenerator<[key: string, value: Uint8Array], void, undefined> {
    yield* this.#parts.target().iterator(range);
  }

  async *entries(range?: KvRange): AsyncGenerator<KvEntry, void, undefined> {
    yield* this.#parts.target().entries(range);
  }

  async page(options: KvPageOptions): Promise<KvPage> {
    return this.#parts.target().page(options);
  }

  async clear(range?: KvRange): Promise<void> {
    return this.#parts.target().clear(range);
  }

  /** Begins here, as a watch does, and not at the first step. */
  watch(options?: KvWatchOptions): AsyncIterable<KvChange> {
    try {
      return this.#parts.target().watch(options);
    } catch (error) {
      return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error as Error) }) };
    }
  }

  async lastChange(options?: KvCallOptions): Promise<number> {
    return this.#parts.target().lastChange(options);
  }

  async flush(options?: KvCallOptions): Promise<void> {
    return this.#parts.target().flush(options);
  }

  close(): Promise<void> {
    return this.#parts.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
