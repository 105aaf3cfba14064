/**
 * From a call that writes to its commit: waits for its turn on each key, reads what is not known of
 * them, decides, and hands operations to the host.
 *
 * Invariants
 * 1. A call stands in the queue of each of its keys in the order of calls, and is planned when it is
 *    first in all of them and all are known: in one turn, with the submission.
 * 2. Numbers are given out in the order of submissions, which is the order of the log.
 * 3. What the host does not accept, or refuses with effect `none`, was never planned.
 * 4. A decision to do nothing that rests on commits in flight is told when they are visible, and
 *    made again when they are refused: before every call that came after it.
 */
import { type Clock, cut, HoldfastError, LIMITS } from '@holdfast/core';
import { type EngineHost, type Flight, parkOnAll } from '@holdfast/database';
import { decideWrite } from '../decide-write.ts';
import type { KvWrite } from '../kv-backend.ts';
import { abortedError } from '../kv-errors.ts';
import type { KvAck } from '../kv-store.ts';
import type { KeyState } from './key-state.ts';
import { KvCommit } from './kv-commit.ts';
import { KV_RECORDS, type KvRecord, type StoredFacts } from './kv-operations.ts';
import { decodeEntryRow, entryRowKey } from './kv-rows.ts';
import type { PendingWrite } from './pending-write.ts';
import type { StoreKeys } from './store-keys.ts';

/** What a call comes to. */
interface Plan {
  readonly operations: KvRecord[];
  readonly acks: KvAck[];
  readonly views: Map<KeyState, StoredFacts | undefined>;
  next: number;
}

const UNCHANGED: KvAck = { changed: false, version: 0 };

export class KvWriter {
  readonly #host: EngineHost;
  readonly #clock: Clock;
  readonly #inFlight = new Set<KeyState>();
  readonly #stores: (name: string) => StoreKeys;
  #waitingBytes = 0;
  #next = 1;
  /** Calls that may be planned; more than one only within a turn. */
  #ready: PendingWrite[] = [];
  #planning = false;

  constructor(host: EngineHost, clock: Clock, stores: (name: string) => StoreKeys) {
    this.#host = host;
    this.#clock = clock;
    this.#stores = stores;
  }

  /** Numbers given from now on are above this. */
  begin(highest: number): void {
    this.#next = Math.max(this.#next, highest + 1);
  }

  /** Of all numbers that were given. */
  get highest(): number {
    return this.#next - 1;
  }

  write(
    store: StoreKeys,
    writes: readonly KvWrite[],
    signal: AbortSignal | undefined,
  ): Promise<readonly KvAck[]> {
    return new Promise((resolve, reject) => {
      const bytes = bytesOf(writes);
      if (this.#waitingBytes + bytes > LIMITS.maxWaitingEntryBytes && this.#waitingBytes > 0) {
        throw new HoldfastError('COMMIT_QUEUE_FULL', 'too much waits for its turn, try again');
      }
      const call = { store, writes, signal, bytes, resolve, reject, states: [], blocked: 0 };
      if (this.#attemptAtOnce(call)) return;
      this.#enter(call, false);
      this.#planReady();
    });
  }

  /** One key, of which everything is known, and for which nobody waits: no queue is needed. I1. */
  #attemptAtOnce(call: PendingWrite): boolean {
    const { store, writes } = call;
    if (writes.length !== 1 || this.#planning) return false;
    const state = store.stateOf((writes[0] as KvWrite).key);
    const isFree = state.queue.length === 0 && (state.known || this.#learnAtHand(state));
    if (isFree) {
      call.states = [state];
      this.#attempt(call);
    }
    store.release(state);
    return isFree;
  }

  /** Nothing in flight will happen: planned falls back to what was applied. */
  discardPlanned(): void {
    const states = [...this.#inFlight];
    this.#inFlight.clear();
    for (const state of states) {
      state.inFlight = 0;
      state.planned = undefined;
      state.lastCommit = undefined;
      this.#stores(state.store).release(state);
    }
  }

  /** I1. @param first before calls that wait already. */
  #enter(call: PendingWrite, first: boolean): void {
    const { store, writes } = call;
    const states = new Set(writes.map(({ key }) => store.stateOf(key)));
    call.states = [...states];
    call.blocked = 0;
    this.#waitingBytes += call.bytes;
    for (const state of call.states) {
      const waiting = state.queue[0];
      if (first && waiting !== undefined) {
        if (state.known) waiting.blocked++;
        state.queue.unshift(call);
        if (!state.known) call.blocked++;
        continue;
      }
      state.queue.push(call);
      if (waiting !== undefined) call.blocked++;
      else if (!state.known && !this.#learnAtHand(state)) {
        call.blocked++;
        void this.#learn(state);
      }
    }
    if (call.blocked === 0) this.#ready.push(call);
  }

  /** Takes a call out of all its queues; who is first then may be ready. */
  #leave(call: PendingWrite): void {
    this.#waitingBytes -= call.bytes;
    for (const state of call.states) {
      const at = state.queue.indexOf(call);
      state.queue.splice(at, 1);
      const next = state.queue[0];
      if (at === 0 && next !== undefined && state.known) this.#unblock(next);
      call.store.release(state);
    }
  }

  #unblock(call: PendingWrite): void {
    call.blocked--;
    if (call.blocked === 0) this.#ready.push(call);
  }

  /** False: the disk has to be asked, which also tells what is wrong. */
  #learnAtHand(state: KeyState): boolean {
    try {
      const key = entryRowKey(state.store, state.key);
      const row = this.#host.shard(state.shard).getAtHand(key);
      if (row === undefined) return false;
      state.resting = row.value === undefined ? undefined : decodeEntryRow(row.value).facts;
      state.known = true;
      return true;
    } catch {
      return false;
    }
  }

  /** Never rejects: those who wait hear of a failure. */
  async #learn(state: KeyState): Promise<void> {
    try {
      const row = await this.#host.shard(state.shard).get(entryRowKey(state.store, state.key));
      state.resting = row === undefined ? undefined : decodeEntryRow(row).facts;
      state.known = true;
      const first = state.queue[0];
      if (first !== undefined) this.#unblock(first);
    } catch (error) {
      for (const call of [...state.queue]) {
        this.#leave(call);
        call.reject(error);
      }
    }
    this.#planReady();
  }

  #planReady(): void {
    if (this.#planning) return;
    this.#planning = true;
    for (let call = this.#ready.shift(); call !== undefined; call = this.#ready.shift()) {
      this.#attempt(call);
      this.#leave(call);
    }
    this.#planning = false;
  }

  #attempt(call: PendingWrite): void {
    try {
      if (call.signal?.aborted) throw abortedError(call.signal);
      const plan = this.#plan(call);
      if (plan.operations.length === 0) this.#answer(call, () => call.resolve(plan.acks));
      else this.#submit(call, plan);
    } catch (error) {
      const rests = error instanceof HoldfastError && error.code === 'PRECONDITION_FAILED';
      if (rests) this.#answer(call, () => call.reject(error));
      else call.reject(error);
    }
  }

  #plan({ store, writes }: PendingWrite): Plan {
    const now = this.#clock.now();
    const plan: Plan = { operations: [], acks: [], views: new Map(), next: this.#next };
    for (const write of writes) {
      const state = store.stateOf(write.key);
      const before = plan.views.has(state) ? plan.views.get(state) : state.ahead;
      const change = plan.next;
      const decision = decideWrite(write, before, change, now);
      const about = { shard: state.shard, store: store.name, key: write.key, change };
      switch (decision.kind) {
        case 'refused':
          throw decision.error;
        case 'nothing':
          plan.acks.push(UNCHANGED);
          break;
        case 'put': {
          const { value } = write as { value: Buffer };
          const extent = value.length > LIMITS.inlineEntryBytes;
          const entry = { ...decision.entry, change, extent };
          plan.operations.push({ type: KV_RECORDS.put, ...about, before, entry, value });
          plan.acks.push({ changed: true, version: entry.version });
          plan.views.set(state, entry);
          plan.next = Math.max(change, entry.version) + 1;
          break;
        }
        case 'del': {
          const type = write.type === 'expire' ? KV_RECORDS.expire : KV_RECORDS.delete;
          plan.operations.push({ type, ...about, before: before as StoredFacts });
          plan.acks.push({ changed: true, version: change });
          plan.views.set(state, undefined);
          plan.next = change + 1;
          break;
        }
      }
    }
    return plan;
  }

  /** I2, I3. */
  #submit(call: PendingWrite, { operations, acks, views, next }: Plan): void {
    const commit = new KvCommit(
      [...views.keys()],
      (landed) => this.#landed(landed),
      () => call.resolve(acks),
      (error) => call.reject(error),
    );
    const reclaims = operations.every(({ type }) => type !== KV_RECORDS.put);
    this.#host.commit(operations, commit, { reclaims });
    this.#next = next;
    for (const [state, planned] of views) {
      state.inFlight++;
      state.planned = planned;
      state.lastCommit = commit;
      this.#inFlight.add(state);
    }
    void cut('kv.submitted');
  }

  #landed({ states }: KvCommit): void {
    for (const state of states) {
      if (--state.inFlight > 0) continue;
      state.planned = undefined;
      state.lastCommit = undefined;
      this.#inFlight.delete(state);
      this.#stores(state.store).release(state);
    }
  }

  /** I4. */
  #answer(call: PendingWrite, answer: () => void): void {
    const flights = new Set<Flight>();
    for (const { lastCommit } of call.states) if (lastCommit !== undefined) flights.add(lastCommit);
    if (flights.size === 0) {
      answer();
      return;
    }
    parkOnAll([...flights], (error) => {
      if (error === undefined) answer();
      else if (error.effect === 'none') {
        this.#enter(call, true);
        this.#planReady();
      } else call.reject(error);
    });
  }
}

function bytesOf(writes: readonly KvWrite[]): number {
  let bytes = 0;
  for (const write of writes) {
    bytes += write.key.length + (write.type === 'put' ? write.value.length : 0) + 128;
  }
  return bytes;
}
