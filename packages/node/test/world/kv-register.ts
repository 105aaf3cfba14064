/**
 * One key-value store as a sequential object, for the linearizability checker: what each request
 * answers, written from the contract and not from the engine. Values are unique, so a version that
 * somebody saw is the value it was seen with.
 */
import type { Operation, SequentialModel } from '@holdfast/testkit';
import type { RecordedOperation } from './history-recorder.ts';

/** What a write asks of the entry it finds. */
export type Expected =
  | { readonly kind: 'anything' }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'value'; readonly value: string };

export interface KvWriteInput {
  readonly key: string;
  /** `undefined`: a delete. */
  readonly value: string | undefined;
  readonly expected: Expected;
}

export type KvInput =
  | { readonly kind: 'get'; readonly key: string }
  /** All of them or none; one that is not a batch is alone. */
  | { readonly kind: 'write'; readonly writes: readonly KvWriteInput[] };

export type KvOutput =
  | { readonly kind: 'found'; readonly value: string; readonly version: number }
  | { readonly kind: 'absent' }
  /** Versions of the puts, in order; `changed` of deletes that said so. */
  | {
      readonly kind: 'done';
      readonly versions: readonly (number | undefined)[];
      readonly changed?: boolean;
    }
  | { readonly kind: 'refused' };

export type KvOperationRecord = RecordedOperation<KvInput, KvOutput>;

/** The values of the keys that have one. */
export type KvState = ReadonlyMap<string, string>;

export const KV_REGISTER: SequentialModel<KvState, KvInput, KvOutput> = {
  initial: new Map(),
  isRead: ({ input, output }: Operation<KvInput, KvOutput>) =>
    input.kind === 'get' || output?.kind === 'refused',
  key: (state) => JSON.stringify([...state].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  step(state, { input, output }) {
    if (input.kind === 'get') return gives(state, input.key, output) ? [state] : [];
    const next = written(state, input.writes);
    if (output === undefined) return next === undefined ? [state] : [next, state];
    if (output.kind === 'refused') return next === undefined ? [state] : [];
    if (output.kind !== 'done' || next === undefined) return [];
    const [only] = input.writes;
    const said = output.changed;
    if (said !== undefined && only !== undefined && said !== state.has(only.key)) return [];
    return [next];
  },
};

function gives(state: KvState, key: string, output: KvOutput | undefined): boolean {
  if (output === undefined) return true;
  const value = state.get(key);
  return output.kind === 'found' ? output.value === value : value === undefined;
}

/** `undefined`: a condition is not met. Each sees the writes before it. */
function written(state: KvState, writes: readonly KvWriteInput[]): KvState | undefined {
  const next = new Map(state);
  for (const { key, value, expected } of writes) {
    const found = next.get(key);
    if (expected.kind === 'nothing' && found !== undefined) return undefined;
    if (expected.kind === 'value' && found !== expected.value) return undefined;
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next;
}

/** Throws unless a value has one version, and what began after something ended has a higher one. */
export function judgeVersions(history: readonly KvOperationRecord[]): void {
  const versions = new Map<string, number>();
  const given: { version: number; invoked: number; returned: number }[] = [];
  for (const { input, output, invoked, returned } of history) {
    if (output?.kind === 'found') agree(versions, output.value, output.version);
    if (output?.kind !== 'done' || input.kind !== 'write') continue;
    for (const [at, version] of output.versions.entries()) {
      const value = input.writes[at]?.value;
      if (version === undefined || value === undefined) continue;
      agree(versions, value, version);
      given.push({ version, invoked, returned });
    }
  }
  let highest = 0;
  const ended = given.toSorted((a, b) => a.returned - b.returned);
  let next = 0;
  for (const { version, invoked } of given.toSorted((a, b) => a.invoked - b.invoked)) {
    for (; (ended[next]?.returned ?? Infinity) < invoked; next++) {
      highest = Math.max(highest, ended[next]?.version ?? 0);
    }
    if (version <= highest) throw new Error(`version ${version} was given after ${highest}`);
  }
}

function agree(versions: Map<string, number>, value: string, version: number): void {
  const known = versions.get(value) ?? version;
  if (known !== version) throw new Error(`${value} has the versions ${known} and ${version}`);
  versions.set(value, version);
}
