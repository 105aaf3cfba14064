/**
 * The order of the entries of a bucket, which has none of its own: held in memory, made of what
 * the bucket tells.
 *
 * Invariants
 * 1. It says what the bucket held at `revision`, and of single keys what it held later. What it names
 *    is looked at in the bucket before it counts.
 * 2. At most `LIMITS.maxIndexedEntries` keys; one more makes it fail, and every walk with it.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import { compareKeys } from '../../kv-key.ts';
import { SortedMap } from '../../sorted-map.ts';
import type { DueEntries } from '../table/entry-table.ts';

const NUMBER_DIGITS = 16;

interface Known {
  readonly revision: number;
  /** `undefined`: deleted, at `atMs`; or damaged. */
  readonly facts: EntryFacts | undefined;
  readonly deletedAtMs: number | undefined;
}

export class NatsIndex {
  readonly #known = new SortedMap<Known>();
  readonly #created = new SortedMap<string>(byText);
  readonly #due = new SortedMap<string>(byText);
  /** By when they were deleted. */
  readonly #deleted = new SortedMap<string>(byText);
  /** Keys of entries whose place cannot be read from them. */
  readonly #damaged = new Set<string>();
  readonly #waiting = new Set<() => void>();
  #revision = 0;

  get damaged(): ReadonlySet<string> {
    return this.#damaged;
  }

  /** What the bucket told, in its order. */
  reach(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    for (const look of this.#waiting) look();
  }

  set(key: string, known: Known): void {
    const before = this.#known.get(key);
    if (before !== undefined && before.revision >= known.revision) return;
    if (before === undefined && this.#known.size >= LIMITS.maxIndexedEntries) {
      throw new HoldfastError(
        'QUOTA_EXCEEDED',
        `the bucket has more keys than are held in memory limit=${LIMITS.maxIndexedEntries}`,
      );
    }
    this.#dropPlaces(key, before);
    this.#known.set(key, known);
    const { facts, deletedAtMs } = known;
    if (facts === undefined && deletedAtMs === undefined) this.#damaged.add(key);
    else this.#damaged.delete(key);
    if (deletedAtMs !== undefined) this.#deleted.set(numbered(deletedAtMs, key), key);
    if (facts === undefined) return;
    this.#created.set(numbered(facts.seq, key), key);
    if (facts.expiresAtMs !== undefined) this.#due.set(numbered(facts.expiresAtMs, key), key);
  }

  /** The marker of a deleted key is gone. */
  forget(key: string, revision: number): void {
    const known = this.#known.get(key);
    if (known?.revision !== revision) return;
    this.#dropPlaces(key, known);
    this.#known.delete(key);
  }

  /** Resolves once it is as new as this. */
  reached(revision: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#revision < revision) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** The next keys that may have an entry. */
  keys({ from, to }: KeyInterval, reverse: boolean, most: number): string[] {
    const keys: string[] = [];
    let low = from;
    let high = to;
    while (keys.length < most) {
      const key = reverse ? this.#known.lastBelow(high) : this.#known.firstAtOrAbove(low);
      if (key === undefined || compareKeys(key, from) < 0) break;
      if (to !== undefined && compareKeys(key, to) >= 0) break;
      if (reverse) high = key;
      else low = `${key}\0`;
      if (this.#known.get(key)?.deletedAtMs === undefined) keys.push(key);
    }
    return keys;
  }

  created(behind: CreatedPlace | undefined, reverse: boolean, most: number): CreatedPlace[] {
    const places: CreatedPlace[] = [];
    let at = behind === undefined ? undefined : numbered(behind.seq, behind.key);
    while (places.length < most) {
      const next = reverse
        ? this.#created.firstAtOrAbove(at === undefined ? '' : `${at}\0`)
        : this.#created.lastBelow(at);
      if (next === undefined) break;
      at = next;
      const seq = Number(next.slice(0, NUMBER_DIGITS));
      places.push({ seq, key: this.#created.get(next) as string });
    }
    return places;
  }

  due(nowMs: number, limit: number): DueEntries {
    const keys: string[] = [];
    let at = this.#due.firstAtOrAbove('');
    while (at !== undefined) {
      const atMs = Number(at.slice(0, NUMBER_DIGITS));
      if (atMs > nowMs || keys.length >= limit) return { keys, nextMs: atMs };
      keys.push(this.#due.get(at) as string);
      at = this.#due.firstAtOrAbove(`${at}\0`);
    }
    return { keys, nextMs: undefined };
  }

  /** Keys that were deleted before then, with the revision of that. */
  deletedBefore(atMs: number, most: number): { key: string; revision: number }[] {
    const found: { key: string; revision: number }[] = [];
    let at = this.#deleted.firstAtOrAbove('');
    while (at !== undefined && found.length < most) {
      if (Number(at.slice(0, NUMBER_DIGITS)) >= atMs) break;
      const key = this.#deleted.get(at) as string;
      found.push({ key, revision: (this.#known.get(key) as Known).revision });
      at = this.#deleted.firstAtOrAbove(`${at}\0`);
    }
    return found;
  }

  #dropPlaces(key: string, known: Known | undefined): void {
    if (known === undefined) return;
    const { facts, deletedAtMs } = known;
    if (deletedAtMs !== undefined) this.#deleted.delete(numbered(deletedAtMs, key));
    if (facts === undefined) return;
    this.#created.delete(numbered(facts.seq, key));
    if (facts.expiresAtMs !== undefined) this.#due.delete(numbered(facts.expiresAtMs, key));
  }
}

function numbered(value: number, key: string): string {
  return `${String(value).padStart(NUMBER_DIGITS, '0')} ${key}`;
}

function byText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
