/** Histories by chance against a sorted list: everything at once, the whole state after each step. */
import assert from 'node:assert/strict';
import type { KvStore } from '../kv-store.ts';
import {
  keysOf,
  type KvCaseSurroundings,
  type KvConformanceCase,
  pagesOf,
} from './conformance-case.ts';

const STEPS = 120;
const SEEDS = [1, 2, 3, 4];

/** A small generator: the same numbers everywhere. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed, 2_654_435_761) | 1;
  }

  below(count: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % count;
  }
}

interface ModelEntry {
  readonly value: string;
  /** Calls of one round are not awaited: of different keys, any may be created first. */
  readonly round: number;
}

/** What the store holds. */
class Model {
  readonly entries = new Map<string, ModelEntry>();
  round = 0;

  put(key: string, value: string): void {
    this.entries.set(key, { value, round: this.entries.get(key)?.round ?? this.round });
  }

  keys(): string[] {
    return [...this.entries.keys()].toSorted((a, b) =>
      Buffer.compare(Buffer.from(a), Buffer.from(b)),
    );
  }
}

async function history(seed: number, store: KvStore, around: KvCaseSurroundings): Promise<void> {
  const dice = new Dice(seed);
  const model = new Model();
  const alphabet = store.capabilities.anyText
    ? ['a', 'b', '/', 'é', '\uffff', '😀']
    : ['a', 'b', 'C', '-', '_', '0'];
  const anyKey = (): string =>
    Array.from({ length: 1 + dice.below(3) }, () => alphabet[dice.below(alphabet.length)]).join('');
  let open = store;
  let pending: Promise<unknown>[] = [];
  const restarts = store.capabilities.durability !== 'none';
  for (let step = 0; step < STEPS; step++) {
    const roll = dice.below(20);
    const key = anyKey();
    if (roll < 9) {
      const value = `${step}`.repeat(1 + dice.below(dice.below(10) === 0 ? 5000 : 5));
      model.put(key, value);
      pending.push(open.put(key, Buffer.from(value)));
    } else if (roll < 12) {
      model.entries.delete(key);
      pending.push(open.del(key));
    } else if (roll < 14 && open.capabilities.atomicBatch) {
      const other = anyKey();
      model.put(key, `b${step}`);
      model.entries.delete(other);
      pending.push(
        open.batch([
          { type: 'put', key, value: Buffer.from(`b${step}`) },
          { type: 'del', key: other },
        ]),
      );
    } else if (roll < 18) {
      await Promise.all(pending);
      pending = [];
      model.round++;
      await assertState(open, model, anyKey());
    } else if (roll === 18 && restarts) {
      await Promise.all(pending);
      pending = [];
      model.round++;
      open = await around.reopen();
    }
  }
  await Promise.all(pending);
  await assertState(open, model, '');
  await open.clear();
}

async function assertState(store: KvStore, model: Model, bound: string): Promise<void> {
  const keys = model.keys();
  const found: [string, string][] = [];
  for await (const [key, value] of store.iterator())
    found.push([key, Buffer.from(value).toString()]);
  assert.deepEqual(
    found,
    keys.map((key) => [key, model.entries.get(key)?.value]),
  );
  const above = keys.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(bound)) > 0);
  assert.deepEqual(await keysOf(store, { gt: bound }), above);
  assert.deepEqual(
    await keysOf(store, { gt: bound, reverse: true, limit: 3 }),
    above.toReversed().slice(0, 3),
  );
  if (store.capabilities.createdOrder) await assertCreated(store, model);
  for (const [key, { value }] of model.entries) {
    assert.equal(Buffer.from((await store.get(key)) as Uint8Array).toString(), value);
  }
}

/** In the order of `seq`, which is that of creation. */
async function assertCreated(store: KvStore, model: Model): Promise<void> {
  const created = (await pagesOf(store, { order: 'created', limit: 4 })).flat();
  const back = await pagesOf(store, { order: 'created', limit: 5, reverse: true });
  assert.deepEqual(back.flat(), created.toReversed());
  assert.deepEqual(created.toSorted(), [...model.entries.keys()].toSorted());
  const entries = await Promise.all(created.map((key) => store.getEntry(key)));
  const numbers = entries.map((entry) => entry?.seq ?? 0);
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => b - a),
  );
  const rounds = created.map((key) => model.entries.get(key)?.round ?? 0);
  assert.deepEqual(
    rounds,
    rounds.toSorted((a, b) => b - a),
  );
}

export const HISTORY_CASES: readonly KvConformanceCase[] = SEEDS.map((seed) => ({
  title: `a history by chance leaves what a sorted list holds, seed ${seed}`,
  run: (store: KvStore, around: KvCaseSurroundings): Promise<void> => history(seed, store, around),
}));
