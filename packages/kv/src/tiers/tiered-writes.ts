/**
 * The way of a write: into the lanes of its keys, planned, made durable as intents, brought to the
 * tiers together, and told.
 *
 * Invariants
 * 1. A run, one or more calls that are carried out together, holds the lanes of its keys until its
 *    calls have ended: nothing else touches these keys in any tier meanwhile.
 * 2. Calls join a run only while it waits, and only as plain writes of its one key: the last decides
 *    for all of them (rule 5).
 * 3. Whoever fails without knowing how forgets the facts of its keys before the next run looks.
 * 4. After a newer writer was met nothing is written any more.
 */
import { type Clock, cut, hasCode, HoldfastError } from '@holdfast/core';
import type { ChangeRing } from '../change-ring.ts';
import type { EntryFacts } from '../decide-write.ts';
import type { KvWrite } from '../kv-backend.ts';
import { abortedError, closedError } from '../kv-errors.ts';
import type { KvAck } from '../kv-store.ts';
import type { EntryFactsCache } from './entry-facts-cache.ts';
import type { EphemeralLimits } from './ephemeral-limits.ts';
import type { KeyLanes } from './key-lanes.ts';
import type { Outbox, Owed } from './outbox.ts';
import { firstError, nothingHappened, partialWrite, type TierOutcome } from './partial-write.ts';
import { planWrites, type PlannedCall, type WritePlan } from './plan-writes.ts';
import { assertNotReserved } from './reserved-keys.ts';
import { isCorrupt } from './tier-differences.ts';
import type { TierClock } from './tier-clock.ts';
import type { TierOperation } from './tier-operation.ts';
import type { TierRules } from './tier-rules.ts';
import type { TierSet } from './tier-set.ts';
import type { TierWriter } from './tier-writer.ts';
import type { TierName } from './tiered-store.ts';

interface Call {
  readonly writes: readonly KvWrite[];
  readonly signal: AbortSignal | undefined;
  readonly resolve: (acks: readonly KvAck[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface TieredWritesParts {
  readonly clock: Clock;
  readonly tiers: TierSet;
  readonly rules: TierRules;
  readonly lanes: KeyLanes;
  readonly outbox: Outbox;
  readonly numbers: TierClock;
  readonly facts: EntryFactsCache;
  readonly ring: ChangeRing;
  readonly limits: EphemeralLimits;
  readonly id: string;
}

export interface TieredWritesSettings {
  readonly backupMode: 'sync' | 'async';
  readonly onOwedLimit: 'block' | 'fail' | 'degrade';
}

export class TieredWrites {
  readonly #parts: TieredWritesParts;
  readonly #settings: TieredWritesSettings;
  /** Something is owed that no write brings itself. */
  readonly #onOwed: () => void;
  /** The backup shall be left behind: I3 of the state. */
  readonly #onDegrade: () => Promise<void>;
  /** Runs that wait and can be joined, by their key. */
  readonly #joinable = new Map<string, Call[]>();
  /** Keys of which a tier got something since somebody began to look, while somebody copies. */
  touched: Set<string> | undefined;
  /** How many wait for writes to end. */
  #awaited = 0;
  #fenced: HoldfastError | undefined;
  #ended = false;
  superseded = 0;
  partial = 0;

  constructor(
    parts: TieredWritesParts,
    settings: TieredWritesSettings,
    onOwed: () => void,
    onDegrade: () => Promise<void>,
  ) {
    this.#parts = parts;
    this.#settings = settings;
    this.#onOwed = onOwed;
    this.#onDegrade = onDegrade;
  }

  get fenced(): HoldfastError | undefined {
    return this.#fenced;
  }

  touch(operations: Iterable<{ readonly key: string }>): void {
    if (this.touched === undefined) return;
    for (const { key } of operations) this.touched.add(key);
  }

  /**
   * For work that waits until writes ended: none of them waits for room in what is owed meanwhile, as
   * that may come only from the work, or never.
   */
  async withoutWaiting<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#awaited++;
    this.#parts.outbox.wake();
    try {
      return await work();
    } finally {
      this.#awaited--;
    }
  }

  write(writes: readonly KvWrite[], signal: AbortSignal | undefined): Promise<readonly KvAck[]> {
    for (const { key } of writes) assertNotReserved(key);
    return new Promise((resolve, reject) => {
      const call: Call = { writes, signal, resolve, reject };
      const only = writes.length === 1 ? (writes[0] as KvWrite) : undefined;
      const plain = only !== undefined && isPlain(only);
      const waiting = plain ? this.#joinable.get(only.key) : undefined;
      if (waiting !== undefined) waiting.push(call);
      else this.#enter(call, plain ? only.key : undefined);
    });
  }

  /** I4. */
  fence(error: HoldfastError): void {
    this.#fenced ??= error;
    this.#parts.outbox.wake();
  }

  /** Writes that wait for room end. */
  end(): void {
    this.#ended = true;
  }

  #enter(call: Call, joinableKey: string | undefined): void {
    const keys = [...new Set(call.writes.map(({ key }) => key))];
    const run = [call];
    for (const key of keys) this.#joinable.delete(key);
    if (joinableKey !== undefined && this.#parts.lanes.isBusy(joinableKey)) {
      this.#joinable.set(joinableKey, run);
    }
    void this.#parts.lanes.run(keys, async () => {
      if (joinableKey !== undefined && this.#joinable.get(joinableKey) === run) {
        this.#joinable.delete(joinableKey);
      }
      await this.#run(keys, run);
    });
  }

  async #run(keys: readonly string[], run: readonly Call[]): Promise<void> {
    const calls = run.filter(({ signal, reject }) => {
      if (signal?.aborted) reject(abortedError(signal));
      return signal?.aborted !== true;
    });
    if (calls.length === 0) return;
    this.superseded += calls.length - 1;
    try {
      if (this.#fenced !== undefined) throw this.#fenced;
      const plan = await this.#plan(keys, calls);
      // What changes nothing is true only if nothing from before comes after it.
      if (plan.operations.length < keys.length) await this.#parts.outbox.forgotten(keys);
      await this.#carryOut(plan, calls);
      await cut('tiers.written');
      plan.calls.forEach((planned, at) => this.#end(planned, calls[at] as Call));
      this.#parts.ring.wake();
    } catch (error) {
      for (const key of keys) this.#parts.facts.forget(key); // I3
      if (hasCode(error, 'FENCED')) this.fence(error);
      if (hasCode(error, 'PARTIAL_WRITE')) this.partial++;
      for (const { reject } of calls) reject(error);
    }
  }

  async #plan(keys: readonly string[], calls: readonly Call[]): Promise<WritePlan> {
    const { rules, numbers, tiers, clock } = this.#parts;
    const conditional = calls.some(({ writes }) => !writes.every(isPlain));
    const facts = new Map<string, EntryFacts | undefined>();
    const look = async (key: string): Promise<void> => {
      facts.set(key, await this.#factsOf(key, conditional));
    };
    if (keys.length === 1) await look(keys[0] as string);
    else await Promise.all(keys.map(look));
    return planWrites(
      calls.map(({ writes }) => writes),
      {
        facts,
        clock: numbers,
        epoch: tiers.epoch,
        nowMs: clock.now(),
        isEphemeral: (key) => this.#isEphemeral(key, rules),
      },
    );
  }

  #isEphemeral(key: string, rules: TierRules): boolean {
    return this.#parts.tiers.ephemeral !== undefined && rules.isEphemeral(key);
  }

  async #factsOf(key: string, conditional: boolean): Promise<EntryFacts | undefined> {
    const { outbox, tiers, rules, facts: cache } = this.#parts;
    const ephemeral = this.#isEphemeral(key, rules);
    const name: TierName = ephemeral ? 'ephemeral' : 'primary';
    const writer = tiers.writer(name) as TierWriter;
    const owed = outbox.owedOf(key);
    if (owed?.to.has(name)) {
      // What is owed comes before this write. Who compares has to see it there.
      if (!conditional) return owed.facts;
      const operation = await outbox.read(owed);
      if (operation !== undefined) await writer.bringAgain([operation]);
      this.touch([owed]);
      outbox.done(owed, name);
    }
    if (!ephemeral) {
      const known = cache.get(key);
      if (known !== undefined) return known ?? undefined;
    }
    const entry = writer.tier.read((store) => store.getEntry(key));
    return entry.catch((error: unknown) => this.#factsOfRotten(key, conditional, ephemeral, error));
  }

  /** An entry that has rotted can be written over, and deleted; its place is in the backup. */
  async #factsOfRotten(
    key: string,
    conditional: boolean,
    ephemeral: boolean,
    error: unknown,
  ): Promise<EntryFacts> {
    if (conditional || !isCorrupt(error)) throw error;
    const { tiers, numbers } = this.#parts;
    const backup = ephemeral ? undefined : tiers.backup?.tier;
    const copy = await backup?.read((store) => store.getEntry(key)).catch(() => undefined);
    return copy ?? { seq: numbers.tick(), version: 0, epoch: 0, expiresAtMs: undefined };
  }

  async #carryOut({ operations }: WritePlan, calls: readonly Call[]): Promise<void> {
    if (operations.length === 0) return;
    const durable = operations.filter(({ ephemeral }) => !ephemeral);
    const ephemeral = operations.filter((each) => each.ephemeral);
    for (const { key } of durable) this.#parts.facts.forget(key); // I3
    if (!this.#needsIntent(operations, durable)) {
      await (durable.length > 0 ? this.#parts.tiers.primary : this.#ephemeral).bring(operations);
    } else {
      await this.#admit(operations, calls);
      await this.#bringAll(durable, ephemeral);
    }
    for (const { key, entry } of durable) this.#parts.facts.set(key, entry && factsIn(entry));
    for (const { key, entry } of ephemeral) this.#parts.limits.wrote(key, entry?.value.length);
    this.touch(operations);
  }

  get #ephemeral(): TierWriter {
    return this.#parts.tiers.ephemeral as TierWriter;
  }

  /** One tier alone, whose batch is one step, owes nothing to anybody. */
  #needsIntent(operations: readonly TierOperation[], durable: readonly TierOperation[]): boolean {
    const { tiers, outbox } = this.#parts;
    const mixed = durable.length > 0 && durable.length < operations.length;
    if (mixed || operations.some(({ key }) => !outbox.isUnknown(key))) return true;
    const { tier } = durable.length > 0 ? tiers.primary : this.#ephemeral;
    if (operations.length > 1 && !tier.store.capabilities.atomicBatch) return true;
    if (durable.length === 0) return false;
    return tiers.writtenBackup !== undefined || tiers.target !== undefined;
  }

  /** Rule 8. What is owed for one of the keys is replaced: more is owed by one batch at most. */
  async #admit(operations: readonly TierOperation[], calls: readonly Call[]): Promise<void> {
    const { outbox, tiers } = this.#parts;
    const signal = calls.length === 1 ? calls[0]?.signal : undefined;
    while (outbox.isOver && !operations.some(({ key }) => outbox.owedOf(key) !== undefined)) {
      if (this.#fenced !== undefined) throw this.#fenced;
      if (this.#ended) throw closedError();
      if (signal?.aborted) throw abortedError(signal);
      if (this.#settings.onOwedLimit === 'fail' || this.#awaited > 0) throw lagLimit(outbox);
      if (this.#settings.onOwedLimit === 'degrade' && tiers.writtenBackup !== undefined) {
        await this.#onDegrade();
        continue;
      }
      this.#onOwed();
      await outbox.less(signal);
    }
  }

  async #bringAll(
    durable: readonly TierOperation[],
    ephemeral: readonly TierOperation[],
  ): Promise<void> {
    const { outbox, tiers } = this.#parts;
    const owed = await outbox.append([...durable, ...ephemeral], tiers.owedTo);
    const wanted = new Set(owed.flatMap(({ to }) => [...to]));
    const later = new Set<TierName>(['target']);
    if (this.#settings.backupMode === 'async') later.add('backup');
    const outcomes = await Promise.all(
      [...wanted].map(async (tier): Promise<TierOutcome> => {
        if (later.has(tier)) return { tier, kind: 'later' };
        return this.#bring(tier, tier === 'ephemeral' ? ephemeral : durable, owed);
      }),
    );
    for (const each of owed) each.busy = false;
    if (!nothingHappened(outcomes)) this.touch(durable);
    this.#settle(outcomes, owed);
  }

  async #bring(
    tier: TierName,
    operations: readonly TierOperation[],
    owed: readonly Owed[],
  ): Promise<TierOutcome> {
    try {
      await cut('tiers.bring');
      await this.#parts.tiers.writer(tier)?.bring(operations);
      await cut('tiers.brought');
    } catch (error) {
      return { tier, kind: 'failed', error };
    }
    for (const each of owed) this.#parts.outbox.done(each, tier);
    return { tier, kind: 'done' };
  }

  /** Rules 2 and 4. */
  #settle(outcomes: readonly TierOutcome[], owed: readonly Owed[]): void {
    const failed = outcomes.filter((each) => each.kind === 'failed');
    if (failed.length === 0) {
      if (outcomes.some(({ kind }) => kind === 'later')) this.#onOwed();
      return;
    }
    const fenced = failed.find(({ error }) => hasCode(error, 'FENCED'))?.error;
    const nothing = nothingHappened(outcomes);
    // Who was taken over brings nothing anywhere any more.
    if (nothing || fenced !== undefined) for (const each of owed) this.#parts.outbox.cancel(each);
    else this.#onOwed();
    if (nothing) throw firstError(outcomes);
    throw fenced === undefined ? partialWrite(outcomes) : doubtfulFence(fenced as HoldfastError);
  }

  #end(planned: PlannedCall, call: Call): void {
    if ('refusal' in planned) {
      call.reject(planned.refusal);
      return;
    }
    const { ring, numbers, id } = this.#parts;
    const acks = planned.steps.map(({ type, key, version, value }): KvAck => {
      if (type === 'nothing') return { changed: false, version: 0 };
      const seq = numbers.tick();
      ring.push(id, { seq, type, key, version, value });
      return { changed: true, version: type === 'put' ? version : seq };
    });
    call.resolve(acks);
  }
}

function isPlain(write: KvWrite): boolean {
  if (write.type === 'put') {
    return write.ifVersion === undefined && !write.ifAbsent && write.stamp === undefined;
  }
  return write.type === 'del' && write.ifVersion === undefined;
}

function factsIn({ seq, version, epoch, expiresAtMs }: EntryFacts): EntryFacts {
  return { seq, version, epoch, expiresAtMs };
}

function lagLimit(outbox: Outbox): HoldfastError {
  return new HoldfastError(
    'LAG_LIMIT',
    `tiers are owed too much operations=${outbox.size} bytes=${outbox.bytes}`,
    { details: { operations: outbox.size, bytes: outbox.bytes } },
  );
}

/** Another tier may have taken it. */
function doubtfulFence(error: HoldfastError): HoldfastError {
  if (error.effect === 'unknown') return error;
  const { message, details } = error;
  return new HoldfastError('FENCED', message, { effect: 'unknown', cause: error, details });
}
