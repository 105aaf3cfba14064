/**
 * The keys of one store that memory knows something of.
 *
 * Invariants
 * 1. A key has at most one state, and none that is idle.
 * 2. `byKey` and `byCreated` give exactly the states that are dirty and have an entry: what the rows
 *    do not say yet, in both orders. A dirty state in neither is a deletion.
 * 3. States get their places when somebody asks for an order, and not when they are written: mostly
 *    nobody does before the next checkpoint. Those that wait stand in `#unplaced` once, as the state
 *    says; some there have no entry any more.
 */
import type { EngineHost } from '@holdfast/database';
import { compareKeys } from '../kv-key.ts';
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
  /** Stores of this name that are open. */
  handles = 0;
  readonly #host: EngineHost;
  readonly #states = new Map<string, KeyState>();
  readonly #byKey = new SortedMap<KeyState>(compareKeys, Infinity);
  readonly #byCreated = new SortedMap<KeyState>(compareKeys, Infinity);
  #unplaced: KeyState[] = [];

  constructor(name: string, host: EngineHost) {
    this.name = name;
    this.#host = host;
  }

  /** Nobody uses it, and memory knows nothing that the rows do not say. */
  get isIdle(): boolean {
    return this.handles === 0 && this.#states.size === 0;
  }

  get byKey(): SortedMap<KeyState> {
    this.place();
    return this.#byKey;
  }

  get byCreated(): SortedMap<KeyState> {
    this.place();
    return this.#byCreated;
  }

  /** I3, for up to `most` of them; false: others wait still. */
  place(most: number = Infinity): boolean {
    if (this.#unplaced.length > 0) this.#placeStates(most);
    const [all, ofAll] = [this.#byKey.place(most), this.#byCreated.place(most)];
    return this.#unplaced.length === 0 && all && ofAll;
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
    const { createdAs } = state;
    if (createdAs !== undefined && state.applied?.facts.seq !== entry?.facts.seq) {
      this.#byCreated.delete(createdAs);
      state.createdAs = undefined;
    }
    state.applied = entry;
    if (entry === undefined) {
      if (state.standsByKey) this.#byKey.delete(state.key);
      state.standsByKey = false;
    } else if (state.createdAs === undefined && !state.isUnplaced) {
      state.isUnplaced = true; // I3
      this.#unplaced.push(state);
    }
  }

  /** The rows say now what was applied to these. */
  setCollected(states: readonly KeyState[]): void {
    const byKey: string[] = [];
    const byCreated: string[] = [];
    for (const state of states) {
      const { applied, key, createdAs } = state;
      if (state.standsByKey) byKey.push(key);
      if (createdAs !== undefined) byCreated.push(createdAs);
      state.standsByKey = false;
      state.createdAs = undefined;
      state.isUnplaced = false;
      state.applied = undefined;
      state.resting = applied?.facts;
      state.known = true;
      state.dirty = false;
      this.release(state);
    }
    this.#unplaced = this.#unplaced.filter(({ isUnplaced }) => isUnplaced);
    this.#byKey.deleteAll(byKey);
    this.#byCreated.deleteAll(byCreated);
  }

  #placeStates(most: number): void {
    const taken = this.#unplaced.splice(Math.max(0, this.#unplaced.length - most));
    for (const state of taken) {
      state.isUnplaced = false;
      const { applied, key } = state;
      if (applied === undefined) continue;
      state.createdAs = createdPosition(applied.facts.seq, key);
      this.#byCreated.set(state.createdAs, state);
      if (!state.standsByKey) this.#byKey.set(key, state);
      state.standsByKey = true;
    }
  }
}
