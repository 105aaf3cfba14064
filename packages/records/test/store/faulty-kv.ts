/**
 * A `KvStore` whose calls fail by plan. It keeps the contract of errors: effect `none` when nothing
 * changed, `unknown` when it did, or did not, or does so late: before the next write of its keys, while
 * reads in between see nothing of it.
 */
import { HoldfastError } from '@holdfast/core';
import type { KvOperation, KvStore } from '@holdfast/kv';

export type KvFault =
  'refused' | 'done-unheard' | 'not-done-unheard' | 'late' | 'halt-before' | 'halt-after';

export const KV_FAULTS: readonly KvFault[] = [
  'refused',
  'done-unheard',
  'not-done-unheard',
  'late',
];

const CALLS = ['get', 'getEntry', 'batch', 'del'];
const WALKS = ['entries', 'keys'];

export class FaultyKv {
  readonly store: KvStore;
  /** Calls so far. */
  calls = 0;
  /** Of the store, from 1. */
  failing: { nth: number; times: number; fault: KvFault } | undefined;
  fired = 0;
  halted = false;
  #late: { readonly keys: Set<string>; readonly act: () => Promise<unknown> } | undefined;

  constructor(inner: KvStore) {
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name, target);
        if (typeof method !== 'function') return method;
        const call = (...args: unknown[]): unknown => Reflect.apply(method, target, args);
        if (CALLS.includes(name as string)) {
          return (...args: unknown[]) => this.#call(name as string, args, () => call(...args));
        }
        if (WALKS.includes(name as string)) {
          return (...args: unknown[]) => this.#walk(call(...args) as AsyncIterable<unknown>);
        }
        return call;
      },
    });
  }

  fail(nth: number, fault: KvFault, times = 1): void {
    this.failing = { nth: this.calls + nth, times, fault };
    this.fired = 0;
  }

  heal(): void {
    this.failing = undefined;
  }

  async #call(name: string, args: unknown[], act: () => unknown): Promise<unknown> {
    const keys = keysOf(name, args);
    const isWrite = name === 'batch' || name === 'del';
    const late = this.#late;
    if (isWrite && late !== undefined && keys.some((key) => late.keys.has(key))) {
      this.#late = undefined;
      await late.act().catch(() => undefined);
    }
    const fault = await this.#due(isWrite);
    if (fault === undefined) return act();
    if (!isWrite || fault === 'refused') throw unavailable('none');
    if (fault === 'done-unheard' || fault === 'halt-after') await act();
    if (fault === 'late') {
      // A call that was made comes first; that of the same keys which is made later waits for it.
      this.#late = { keys: new Set(keys), act: async () => act() };
    }
    if (fault === 'halt-after') await this.#halt();
    throw unavailable('unknown');
  }

  async *#walk(items: AsyncIterable<unknown>): AsyncGenerator<unknown, void, undefined> {
    if ((await this.#due(false)) !== undefined) throw unavailable('none');
    yield* items;
  }

  async #due(isWrite: boolean): Promise<KvFault | undefined> {
    if (this.halted) await this.#halt();
    this.calls++;
    const { nth, times, fault } = this.failing ?? { nth: 0, times: 0, fault: 'refused' };
    if (this.calls < nth || this.calls >= nth + times) return undefined;
    this.fired++;
    if (fault === 'halt-before' || (fault === 'halt-after' && !isWrite)) await this.#halt();
    return fault;
  }

  async #halt(): Promise<never> {
    this.halted = true;
    return new Promise(() => undefined);
  }
}

function keysOf(name: string, args: unknown[]): string[] {
  if (name !== 'batch') return [args[0] as string];
  return (args[0] as KvOperation[]).map(({ key }) => key);
}

function unavailable(effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError('STORAGE_UNAVAILABLE', 'the store does not answer', { effect });
}
