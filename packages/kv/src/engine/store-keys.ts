/**
 * The keys of one store that memory knows something of.
 *
 * Invariants
 * 1. A key has at most one state, and none that is idle.
 * 2. `byKey` and `byCreated` hold exactly the states that are dirty and have an entry: what the rows
 *    do not say yet, in both orders. A dirty state in neither is a deletion.
 */
import type { EngineHost } from '@holdfast/database';
import { SortedMap } from '../sorted-map.ts';
import { type AppliedEntry, KeyState } from './key-state.ts';
import { identityOfEntry } from './kv-rows.ts';

const NUMBER_DIGITS = 16;

/** A place in the order of creation, newest first. */
export function createdPosition(seq: number, key: string): string {
  const inverted = String(Number.MAX_SAFE_INTEGER - seq).padStart(NUMBER_DIGITS, '0');
  return `${inverted} ${key}`;
}

export function placeOfPosition(position: string): { readonly seq: number; readonly key: string } {
  const seq = Number.MAX_SAFE_INTEGER - Number(position.slice(0, NUMBER_DIGITS));
  return { seq, key: position.slice(NUMBER_DIGITS + 1) };
}

export class StoreKeys {
  readonly name: string;
  readonly byKey: SortedMap<KeyState> = new SortedMap<KeyState>();
  readonly byCreated: SortedMap<KeyState> = new SortedMap<KeyState>();
  /** Stores of this name that are open. */
  handles = 0;
  readonly #host: EngineHost;
  readonly #states = new Map<string, KeyState>();

  constructor(name: string, host: EngineHost) {
    this.name = name;
    this.#host = host;
  }

  /** Nobody uses it, and memory knows nothing that the rows do not say. */
  get isIdle(): boolean {
    return this.handles === 0 && this.#states.size === 0;
  }

  get(key: string): KeyState | undefined {
    return this.#states.get(key);
  }

  /** Made when there is none; `release` has to follow. */
  stateOf(key: string): KeyState {
    let state = this.#states.get(key);
    if (state === undefined) {
      const shard = this.#host.shardOf(identityOfEntry(this.name, key));
      state = new KeyState(this.name, key, shard);
      this.#states.set(key, state);
    }
    return state;
  }

  /** I1. */
  release(state: KeyState): void {
    if (state.isIdle && this.#states.get(state.key) === state) this.#states.delete(state.key);
  }

  /** I2. */
  setApplied(state: KeyState, entry: AppliedEntry | undefined): void {
    const { applied, key } = state;
    if (applied !== undefined && applied.facts.seq !== entry?.facts.seq) {
      this.byCreated.delete(createdPosition(applied.facts.seq, key));
    }
    state.applied = entry;
    if (entry === undefined) {
      this.byKey.delete(key);
    } else {
      this.byKey.set(key, state);
      this.byCreated.set(createdPosition(entry.facts.seq, key), state);
    }
  }

  /** The rows say now what was applied to these. */
  setCollected(states: readonly KeyState[]): void {
    const byKey: string[] = [];
    const byCreated: string[] = [];
    for (const state of states) {
      const { applied, key } = state;
      if (applied !== undefined) {
        byKey.push(key);
        byCreated.push(createdPosition(applied.facts.seq, key));
      }
      state.applied = undefined;
      state.resting = applied?.facts;
      state.known = true;
      state.dirty = false;
      this.release(state);
    }
    this.byKey.deleteAll(byKey);
    this.byCreated.deleteAll(byCreated);
  }
}
