/**
 * What a group of calls comes to on the rows that are there: each call whole or not at all, each
 * seeing those before it; and the one change of the table that does all of it.
 */
import { isHoldfastError } from '@holdfast/core';
import { decideWrite, type EntryFacts } from '../../decide-write.ts';
import { encodeEnvelope } from '../../envelope.ts';
import type { KvWrite } from '../../kv-backend.ts';
import type { KvAck, KvChange } from '../../kv-store.ts';
import { replacesDamage } from '../stored-entry.ts';
import type { TableChange, TablePut, TableState } from './entry-table.ts';

export interface DecidedCall {
  /** `undefined`: refused. */
  readonly acks: readonly KvAck[] | undefined;
  readonly error: unknown;
}

export interface DecidedGroup {
  /** One for each call. */
  readonly calls: readonly DecidedCall[];
  readonly changes: readonly KvChange[];
  /** `undefined`: nothing changes. */
  readonly change: TableChange | undefined;
}

type Entry = { readonly facts: EntryFacts; readonly value: Buffer } | undefined;

/** What the calls decided so far leave; a call that is refused leaves nothing of itself. */
interface Draft {
  next: number;
  readonly entries: Map<string, Entry>;
  readonly changes: KvChange[];
}

export function decideGroup(
  calls: readonly (readonly KvWrite[])[],
  state: TableState,
  epoch: number,
  nowMs: number,
): DecidedGroup {
  const draft: Draft = { next: state.head.next, entries: new Map(), changes: [] };
  const decided = calls.map((writes): DecidedCall => {
    const own: Draft = { next: draft.next, entries: new Map(), changes: [] };
    try {
      const acks = writes.map((write) => decide(write, state, draft, own, epoch, nowMs));
      draft.next = own.next;
      for (const [key, entry] of own.entries) draft.entries.set(key, entry);
      draft.changes.push(...own.changes);
      return { acks, error: undefined };
    } catch (error) {
      if (!isHoldfastError(error)) throw error;
      return { acks: undefined, error };
    }
  });
  return { calls: decided, changes: draft.changes, change: changeOf(state, draft) };
}

function decide(
  write: KvWrite,
  state: TableState,
  before: Draft,
  own: Draft,
  epoch: number,
  nowMs: number,
): KvAck {
  const { key } = write;
  const there = factsOf(key, state, before, own);
  if (there instanceof Error && !replacesDamage(write)) throw there;
  const decision =
    there instanceof Error && write.type === 'del'
      ? { kind: 'del' as const, before: { version: 0 } }
      : decideWrite(write, there instanceof Error ? undefined : there, own.next, nowMs);
  switch (decision.kind) {
    case 'refused':
      throw decision.error;
    case 'nothing':
      return { changed: false, version: 0 };
    case 'del': {
      const seq = own.next++;
      own.entries.set(key, undefined);
      const type = write.type === 'expire' ? 'expire' : 'del';
      const { version } = decision.before;
      own.changes.push({ seq, type, key, version, value: undefined });
      return { changed: true, version: seq };
    }
    case 'put': {
      const { value, stamp } = write as Extract<KvWrite, { type: 'put' }>;
      const facts = stamp === undefined ? { ...decision.entry, epoch } : decision.entry;
      const { version } = facts;
      own.changes.push({ seq: own.next, type: 'put', key, version, value });
      own.next = Math.max(own.next, version) + 1;
      own.entries.set(key, { facts, value });
      return { changed: true, version };
    }
  }
}

function factsOf(
  key: string,
  state: TableState,
  before: Draft,
  own: Draft,
): EntryFacts | Error | undefined {
  if (own.entries.has(key)) return own.entries.get(key)?.facts;
  if (before.entries.has(key)) return before.entries.get(key)?.facts;
  return state.entries.get(key);
}

function changeOf(state: TableState, draft: Draft): TableChange | undefined {
  if (draft.changes.length === 0) return undefined;
  const puts: TablePut[] = [];
  const dels: string[] = [];
  for (const [key, entry] of draft.entries) {
    if (entry === undefined) {
      if (state.entries.has(key)) dels.push(key);
      continue;
    }
    const { facts, value } = entry;
    const bytes = Buffer.concat([encodeEnvelope(key, facts, value), value]);
    puts.push({ key, facts, bytes });
  }
  return { expected: state.head, head: { ...state.head, next: draft.next }, puts, dels };
}
