/**
 * What calls come to that are carried out together: which operations, one for each key, and how each
 * call ends if they succeed. Decided in order, each seeing those before it.
 */
import { decideWrite, type EntryFacts } from '../decide-write.ts';
import type { KvWrite } from '../kv-backend.ts';
import type { TierClock } from './tier-clock.ts';
import type { TierOperation } from './tier-operation.ts';

export interface PlannedStep {
  readonly type: 'put' | 'del' | 'nothing';
  readonly key: string;
  /** Of the entry as put, or as it was. */
  readonly version: number;
  readonly value: Buffer | undefined;
}

export type PlannedCall = { readonly steps: readonly PlannedStep[] } | { readonly refusal: Error };

export interface WritePlan {
  readonly calls: readonly PlannedCall[];
  readonly operations: readonly TierOperation[];
}

export interface PlanSurroundings {
  readonly facts: ReadonlyMap<string, EntryFacts | undefined>;
  readonly clock: TierClock;
  readonly epoch: number;
  readonly nowMs: number;
  readonly isEphemeral: (key: string) => boolean;
}

export function planWrites(
  calls: readonly (readonly KvWrite[])[],
  around: PlanSurroundings,
): WritePlan {
  const { facts } = around;
  const there = new Map(facts);
  const operations = new Map<string, TierOperation>();
  const planned = calls.map((writes): PlannedCall => {
    const ahead = new Map(there);
    const own = new Map<string, TierOperation>();
    const steps: PlannedStep[] = [];
    for (const write of writes) {
      const step = planWrite(write, ahead, own, around);
      if ('refusal' in step) return step;
      steps.push(step);
    }
    for (const [key, entry] of ahead) there.set(key, entry);
    for (const [key, operation] of own) operations.set(key, operation);
    return { steps };
  });
  return { calls: planned, operations: [...operations.values()] };
}

function planWrite(
  write: KvWrite,
  ahead: Map<string, EntryFacts | undefined>,
  operations: Map<string, TierOperation>,
  { clock, epoch, nowMs, isEphemeral }: PlanSurroundings,
): PlannedStep | { readonly refusal: Error } {
  const { key } = write;
  const there = ahead.get(key);
  if (there !== undefined) clock.raise(there.version);
  const number = clock.tick();
  const decision = decideWrite(write, there, number, nowMs);
  const ephemeral = isEphemeral(key);
  if (decision.kind === 'refused') return { refusal: decision.error };
  if (decision.kind === 'put' && write.type === 'put') {
    const facts = write.stamp === undefined ? { ...decision.entry, epoch } : decision.entry;
    clock.raise(facts.version);
    ahead.set(key, facts);
    operations.set(key, { number, key, ephemeral, entry: { ...facts, value: write.value } });
    return { type: 'put', key, version: facts.version, value: write.value };
  }
  if (decision.kind === 'del') {
    ahead.set(key, undefined);
    operations.set(key, { number, key, ephemeral, entry: undefined });
    return { type: 'del', key, version: decision.before.version, value: undefined };
  }
  return { type: 'nothing', key, version: 0, value: undefined };
}
