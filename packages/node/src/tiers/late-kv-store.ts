/**
 * A store on a place that may be away: it is opened in the background, again and again, and until
 * then every call is `STORAGE_UNAVAILABLE` at once, certain to have done nothing.
 *
 * Invariants
 * 1. One attempt to open is under way at a time; after one that failed for a time there is a pause,
 *    longer each time. What fails for good is not tried again, and every call fails with it.
 * 2. What is open stays open until this store is closed: reaching its server again is its own doing.
 * 3. Writes carry the epoch this store was made with, or claimed, also when it is opened later.
 *
 * Owner: who made it closes it, and with it what was opened.
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
import type { FencedKvStore, KvCapabilities, KvFence, KvStore } from '@holdfast/kv';
import { ForwardingKvStore } from './forwarding-kv-store.ts';

export interface LateKvParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly open: (epoch: number) => Promise<FencedKvStore>;
  /** It opened, after the first attempt had failed. */
  readonly onLate?: () => void;
}

export interface LateKvSettings {
  readonly id: string;
  /** `undefined`: the newest that is found there, for copies into what nobody else writes. */
  readonly epoch: number | undefined;
  /** What it can do, for as long as that cannot be asked. */
  readonly assumed: KvCapabilities;
}

export class LateKvStore extends ForwardingKvStore implements FencedKvStore {
  readonly fence: KvFence;
  readonly #parts: LateKvParts;
  readonly #ended: AbortController;
  readonly #opened: { store?: FencedKvStore; capabilities: KvCapabilities };
  #epoch: number | undefined;
  #error: HoldfastError | undefined;
  #isLost = false;
  #opening: Promise<void> | undefined;
  #firstAttempt: Promise<void> = Promise.resolve();

  constructor(parts: LateKvParts, { id, epoch, assumed }: LateKvSettings) {
    const opened: { store?: FencedKvStore; capabilities: KvCapabilities } = {
      capabilities: assumed,
    };
    super({
      id,
      capabilities: () => opened.capabilities,
      target: () => this.#target(),
      close: () => this.#close(),
    });
    this.#parts = parts;
    this.#ended = new AbortController();
    this.#opened = opened;
    this.#epoch = epoch;
    this.fence = this.#makeFence();
  }

  /** Why it is not open, when it is not. */
  get error(): HoldfastError | undefined {
    return this.#opened.store === undefined ? this.#error : undefined;
  }

  get isOpen(): boolean {
    return this.#opened.store !== undefined;
  }

  /** What was opened, as `open` gave it. */
  get opened(): FencedKvStore | undefined {
    return this.#opened.store;
  }

  /** Nothing but somebody's doing opens it. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Resolves once the first attempt has ended, however. */
  begin(): Promise<void> {
    if (this.#opening === undefined) {
      this.#firstAttempt = this.#attempt();
      this.#opening = this.#goOn();
    }
    return this.#firstAttempt;
  }

  #target(): KvStore {
    const { store } = this.#opened;
    if (store !== undefined) return store;
    if (this.#ended.signal.aborted) throw new HoldfastError('CLOSED', 'the store is closed');
    const cause = this.#error;
    if (this.#isLost && cause !== undefined) throw cause;
    const why = cause === undefined ? '' : `: ${cause.message}`;
    throw new HoldfastError('STORAGE_UNAVAILABLE', `the place is not reached yet${why}`, {
      ...(cause === undefined ? {} : { cause }),
    });
  }

  async #attempt(): Promise<void> {
    try {
      const store = await this.#openPlace();
      if (this.#ended.signal.aborted) return await store.close();
      this.#opened.store = store;
      this.#opened.capabilities = store.capabilities;
    } catch (error) {
      this.#error = asError(error);
      this.#isLost = !mayPass(this.#error);
    }
  }

  async #openPlace(): Promise<FencedKvStore> {
    const store = await this.#parts.open(this.#epoch ?? 0);
    if (this.#epoch !== undefined) return store;
    const newest = await store.fence.newest();
    this.#epoch = newest;
    if (newest === 0) return store;
    await store.close();
    return this.#parts.open(newest);
  }

  /** I1. */
  async #goOn(): Promise<void> {
    await this.#firstAttempt;
    if (this.isOpen) return;
    for (let failures = 0; !this.isOpen && !this.#isLost; failures++) {
      const { clock, random } = this.#parts;
      const most = Math.min(LIMITS.maxDrainPauseMs, LIMITS.drainPauseMs * 2 ** failures);
      await sleep(clock, 1 + random.integer(most), this.#ended.signal).catch(() => undefined);
      if (this.#ended.signal.aborted) return;
      await this.#attempt();
    }
    if (this.isOpen && !this.#ended.signal.aborted) this.#parts.onLate?.();
  }

  async #close(): Promise<void> {
    this.#ended.abort();
    await this.#opening;
    await this.#opened.store?.close();
  }

  /** I3. */
  #makeFence(): KvFence {
    const inner = (): KvFence => (this.#target() as FencedKvStore).fence;
    const epoch = (): number => this.#opened.store?.fence.epoch ?? this.#epoch ?? 0;
    return {
      get epoch(): number {
        return epoch();
      },
      newest: async (options) => inner().newest(options),
      claim: async (next, options) => {
        await inner().claim(next, options);
        this.#epoch = next;
      },
    };
  }
}

/** Passwords are put right on the server, and who holds a lock ends. */
function mayPass(error: HoldfastError): boolean {
  return error.retryable || hasCode(error, 'ACCESS_DENIED') || hasCode(error, 'DIRECTORY_LOCKED');
}

function asError(error: unknown): HoldfastError {
  if (isHoldfastError(error)) return error;
  const said = error instanceof Error ? error.message : String(error);
  return new HoldfastError('STORAGE_UNAVAILABLE', `the place cannot be opened: ${said}`, {
    cause: error,
  });
}

/** One that is never asked: for a place that was given up. */
export function goneStore(
  { clock, random }: Pick<LateKvParts, 'clock' | 'random'>,
  settings: LateKvSettings,
): LateKvStore {
  const open = (): Promise<never> =>
    Promise.reject(new HoldfastError('STORAGE_UNAVAILABLE', 'the primary is not asked'));
  const assumed = { ...settings.assumed, watch: false };
  return new LateKvStore({ clock, random, open }, { ...settings, assumed });
}

/** The same, and of which part. */
export function unopened(part: string, cause: HoldfastError): HoldfastError {
  const { code, message, details } = cause;
  return new HoldfastError(code, `the ${part} cannot be opened: ${message}`, { cause, details });
}
