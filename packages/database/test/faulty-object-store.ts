/**
 * An object store as a process sees it over a bad network: calls that fail before they did
 * anything, that did it and say they failed, and that do it later, when the caller may be gone.
 */
import { type Clock, HoldfastError, sleep } from '@holdfast/core';
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
} from '@holdfast/objects';
import type { SeededRandom } from '@holdfast/testkit';

export interface NetworkFaults {
  /** Of a hundred calls. */
  failures: number;
  /** Nothing gets through. */
  away: boolean;
}

export interface FaultyStoreParts {
  readonly inner: ObjectStore;
  /** Of the world: what is under way goes on when the process has ended. */
  readonly world: Clock;
  /** Of the process: its calls take time. */
  readonly clock: Clock;
  readonly random: SeededRandom;
  /** Rejects once the process has ended. */
  readonly alive: () => Promise<unknown>;
}

const LATE_MS = 20_000;

export class FaultyObjectStore implements ObjectStore {
  readonly faults: NetworkFaults = { failures: 0, away: false };
  readonly #parts: FaultyStoreParts;

  constructor(parts: FaultyStoreParts) {
    this.#parts = parts;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#parts.inner.capabilities;
  }

  put(key: string, body: ObjectBody, options?: PutOptions): Promise<PutResult> {
    return this.#call(() => this.#parts.inner.put(key, body, { ...options, signal: undefined }));
  }

  get(key: string, options?: GetOptions): Promise<ObjectContent> {
    return this.#call(
      () => this.#parts.inner.get(key, options),
      (content) => content.close(),
    );
  }

  head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    return this.#call(() => this.#parts.inner.head(key, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#call(() => this.#parts.inner.delete(key, options));
  }

  list(options?: ListOptions): Promise<ObjectPage> {
    return this.#call(() => this.#parts.inner.list(options));
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#call(() => this.#parts.inner.removeLeftovers(options));
  }

  async close(): Promise<void> {
    // Its owner closes the store itself.
  }

  /** @param lose gives back what a result holds that nobody gets. */
  async #call<Result>(
    work: () => Promise<Result>,
    lose: (result: Result) => Promise<void> = async () => undefined,
  ): Promise<Result> {
    const { random, clock, world, alive } = this.#parts;
    await alive();
    if (random.integer(3) === 0) await sleep(clock, 1 + random.integer(400));
    const way = random.integer(100) < this.faults.failures ? random.integer(3) : undefined;
    if (way === 0 || this.faults.away) throw away('none');
    if (way === 1) {
      world.after(1 + random.integer(LATE_MS), () => void work().then(lose, () => undefined));
      throw away('unknown');
    }
    const result = await work();
    await alive();
    if (way !== 2) return result;
    await lose(result);
    throw away('unknown');
  }
}

function away(effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', 'the network is bad', { effect });
}
