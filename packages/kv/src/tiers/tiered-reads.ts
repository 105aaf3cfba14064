/**
 * Reads of single keys, by rules 1 and 7.
 *
 * Invariants
 * 1. That there is no entry is said by the primary alone, of an ephemeral key by its tier alone: a
 *    backup that has none leaves the caller with the error of the primary.
 * 2. What a backup gave is marked.
 */
import { type Clock, isHoldfastError } from '@holdfast/core';
import type { KvEntry } from '../kv-store.ts';
import type { EphemeralLimits } from './ephemeral-limits.ts';
import { assertNotReserved } from './reserved-keys.ts';
import type { TierRules } from './tier-rules.ts';
import type { TierSet } from './tier-set.ts';
import type { TieredEntry, TieredSettings } from './tiered-store.ts';

export interface TieredReadsParts {
  readonly clock: Clock;
  readonly tiers: TierSet;
  readonly rules: TierRules;
  readonly limits: EphemeralLimits;
}

export class TieredReads {
  readonly #parts: TieredReadsParts;
  readonly #fallback: NonNullable<TieredSettings['readFallback']>;
  fallbackReads = 0;

  constructor(parts: TieredReadsParts, fallback: TieredSettings['readFallback']) {
    this.#parts = parts;
    this.#fallback = fallback ?? 'never';
  }

  async read(key: string): Promise<TieredEntry | undefined> {
    assertNotReserved(key);
    const { tiers, rules, limits } = this.#parts;
    if (tiers.ephemeral !== undefined && rules.isEphemeral(key)) {
      limits.read(key);
      return tiers.ephemeral.tier.read((store) => store.getEntry(key));
    }
    const primary = tiers.primary.tier.read((store) => store.getEntry(key));
    if (this.#fallback === 'never' || tiers.backup === undefined) return primary;
    if (this.#fallback === 'if-unavailable') {
      return primary.catch((error: unknown) => this.#instead(key, error));
    }
    return this.#hedge(key, primary, this.#fallback.hedgedAfterMs);
  }

  async #instead(key: string, error: unknown): Promise<TieredEntry> {
    if (!isUnavailable(error)) throw error;
    const found = await this.#fromBackup(key);
    if (found === undefined) throw error; // I1
    this.fallbackReads++;
    return found;
  }

  /** `undefined`: it has none, or does not answer. */
  async #fromBackup(key: string): Promise<TieredEntry | undefined> {
    const backup = this.#parts.tiers.backup?.tier;
    const entry = await backup?.read((store) => store.getEntry(key)).catch(() => undefined);
    return entry && { ...entry, source: 'backup', stale: true }; // I2
  }

  #hedge(
    key: string,
    primary: Promise<KvEntry | undefined>,
    afterMs: number,
  ): Promise<TieredEntry | undefined> {
    return new Promise((resolve, reject) => {
      const timer = this.#parts.clock.after(afterMs, () => {
        void this.#fromBackup(key).then((found) => {
          if (found === undefined || answered) return;
          answered = true;
          this.fallbackReads++;
          resolve(found);
        });
      });
      let answered = false;
      primary.then(
        (entry) => {
          timer.cancel();
          answered = true;
          resolve(entry);
        },
        (error: unknown) => {
          timer.cancel();
          if (answered) return;
          answered = true;
          this.#instead(key, error).then(resolve, reject);
        },
      );
    });
  }
}

/** The tier cannot tell what there is. Errors of drivers say just that. */
function isUnavailable(error: unknown): boolean {
  if (!isHoldfastError(error)) return !(error instanceof TypeError);
  return ['unavailable', 'corrupt', 'closed'].includes(error.kind);
}
