/**
 * Keeps the ephemeral tier within its bounds: what was used longest ago goes.
 *
 * Invariants
 * 1. `#used` holds the ephemeral keys in order of use, each with its bytes; `#bytes` is their sum.
 * 2. Only keys that were written as ephemeral ones, or found there, ever go.
 */
import { RecentMap } from '../recent-map.ts';
import type { EphemeralBounds } from './tiered-store.ts';

export class EphemeralLimits {
  readonly #bounds: EphemeralBounds | undefined;
  readonly #evict: (key: string) => Promise<void>;
  readonly #used = new RecentMap<number>();
  #bytes = 0;
  #evicting: Promise<void> | undefined;
  evicted = 0;

  /** @param evict deletes the entry, in the lane of its key. */
  constructor(bounds: EphemeralBounds | undefined, evict: (key: string) => Promise<void>) {
    this.#bounds = bounds;
    this.#evict = evict;
  }

  get bounded(): boolean {
    return this.#bounds !== undefined;
  }

  /** @param bytes of the value; `undefined`: the entry is gone. */
  wrote(key: string, bytes: number | undefined): void {
    if (this.#bounds === undefined) return;
    this.#bytes -= this.#used.peek(key) ?? 0;
    if (bytes === undefined) {
      this.#used.delete(key);
      return;
    }
    const whole = key.length + bytes;
    this.#used.set(key, whole);
    this.#bytes += whole;
    if (!this.#isOver) return;
    this.#evicting ??= this.#shrink().finally(() => {
      this.#evicting = undefined;
    });
  }

  /** It was there before anything that was written here. */
  found(key: string, bytes: number): void {
    if (this.#used.peek(key) === undefined) this.wrote(key, bytes);
  }

  read(key: string): void {
    this.#used.get(key);
  }

  /** Resolves when the tier is within its bounds, or could not be brought there. */
  async settled(): Promise<void> {
    await this.#evicting;
  }

  get #isOver(): boolean {
    const { maxBytes = Infinity, maxEntries = Infinity } = this.#bounds ?? {};
    return this.#bytes > maxBytes || this.#used.size > maxEntries;
  }

  async #shrink(): Promise<void> {
    try {
      while (this.#isOver) {
        const oldest = this.#used.oldestKey;
        if (oldest === undefined) break;
        await this.#evict(oldest);
        this.evicted++;
        this.wrote(oldest, undefined);
      }
    } catch {
      // The tier is down: the next write tries again.
    }
  }
}
