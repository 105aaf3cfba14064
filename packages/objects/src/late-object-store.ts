/**
 * A store that is opened when it is first needed, and until then as often as it is needed: its
 * users start also while nobody answers there.
 *
 * Invariants
 * 1. It is opened once. Of many who ask meanwhile one opens; each is told why it failed, and the
 *    next one tries again.
 * 2. `capabilities` are those of the store once it is open, before that the ones that were assumed:
 *    what is assumed wrongly is refused by the store itself.
 * 3. After `close` nothing is opened, and what was just being opened is closed.
 */
import { endedError, unlessEnded } from './object-errors.ts';
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

export class LateObjectStore implements ObjectStore {
  readonly #open: (options: CallOptions) => Promise<ObjectStore>;
  readonly #assumed: ObjectStoreCapabilities;
  /** Those that wait for the store to be open. */
  readonly #waiting = new OpenCalls();
  /** The opening itself, which is nobody's call. */
  readonly #openings = new OpenCalls();
  #inner: ObjectStore | undefined;
  #opening: Promise<ObjectStore> | undefined;

  /** @param open ends with the signal it gets. */
  constructor(
    open: (options: CallOptions) => Promise<ObjectStore>,
    assumed: ObjectStoreCapabilities,
  ) {
    this.#open = open;
    this.#assumed = assumed;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner?.capabilities ?? this.#assumed; // I2
  }

  put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<PutResult> {
    return this.#with(options.signal, (store) => store.put(key, body, options));
  }

  get(key: string, options: GetOptions = {}): Promise<ObjectContent> {
    return this.#with(options.signal, (store) => store.get(key, options));
  }

  head(key: string, options: CallOptions = {}): Promise<ObjectInfo> {
    return this.#with(options.signal, (store) => store.head(key, options));
  }

  delete(key: string, options: CallOptions = {}): Promise<void> {
    return this.#with(options.signal, (store) => store.delete(key, options));
  }

  list(options: ListOptions = {}): Promise<ObjectPage> {
    return this.#with(options.signal, (store) => store.list(options));
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#with(options.signal, (store) => store.removeLeftovers(options));
  }

  async close(): Promise<void> {
    await Promise.all([this.#waiting.close(), this.#openings.close()]); // I3
    await this.#inner?.close();
  }

  async #with<Result>(
    signal: AbortSignal | undefined,
    act: (store: ObjectStore) => Promise<Result>,
  ): Promise<Result> {
    if (this.#inner !== undefined) return act(this.#inner);
    const store = await this.#waiting.run(signal, (ended) => unlessEnded(ended, this.#opened()));
    return act(store);
  }

  #opened(): Promise<ObjectStore> {
    this.#opening ??= this.#openings
      .run(undefined, (signal) => this.#openNow(signal))
      .finally(() => (this.#opening = undefined)); // I1
    return this.#opening;
  }

  async #openNow(signal: AbortSignal): Promise<ObjectStore> {
    const store = await this.#open({ signal });
    if (signal.aborted) {
      await store.close();
      throw endedError(signal, 'none');
    }
    this.#inner = store;
    return store;
  }
}
