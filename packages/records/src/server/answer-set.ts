/**
 * What happens on a set. The order is what keeps it cheap and safe: numbers are compared before
 * signatures are looked at, and nothing changes before all of them were; the store decides again, at
 * the one moment in which it writes.
 */
import { isHoldfastError } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { InvalidAnswer, PeerInfo, SetAnswer, SetQuestion } from '../messages.ts';
import { type VerifiedDescriptor, verifyDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { RecordHead, RecordStore, ValueOutcome } from '../record-store.ts';
import { compareValues, type VerifiedValue, verifyValue } from '../signed-value.ts';

export interface SetParts {
  readonly store: RecordStore;
  /** By a transaction that is about to commit. */
  readonly isLocked: (record: RecordId) => boolean;
}

export interface SetResult {
  readonly answer: SetAnswer | InvalidAnswer;
  /** There is another value now. */
  readonly written: boolean;
}

type Outcome = ValueOutcome | { readonly status: 'full' };

/** @param peers nearer to the record. */
export async function answerSet(
  { store, isLocked }: SetParts,
  from: PeerId,
  question: SetQuestion,
  peers: readonly PeerInfo[],
): Promise<SetResult> {
  const { record, descriptor } = question;
  const reply = (status: 'stored' | 'descriptor-wanted' | 'locked' | 'full'): SetResult =>
    unwritten({ type: 'set', status, peers });
  if (descriptor !== undefined && descriptor.id !== record) return INVALID;
  const head = await store.peek(record);
  if (head === undefined && descriptor === undefined) return reply('descriptor-wanted');
  const better = await notBeaten(store, head, question);
  if (better === 'same') return reply('stored');
  if (better !== undefined) return answerOf({ status: 'superseded', value: better }, peers);
  const verified = verify(head, question);
  if (verified === undefined) return INVALID;
  if (isLocked(record)) return reply('locked');
  const report = await store.write(verified.descriptor, [verified.value], { origin: from });
  if (report.status === 'full') return reply('full');
  return answerOf(report.outcomes[0] as Outcome, peers);
}

/** The stored one if it wins over the one that was sent. No signature was looked at. */
async function notBeaten(
  store: RecordStore,
  head: RecordHead | undefined,
  { record, subkey, value }: SetQuestion,
): Promise<VerifiedValue | 'same' | undefined> {
  const stored = head?.subkeys[subkey];
  if (stored === undefined || value.sequence > stored.sequence) return undefined;
  const current = await store.value(record, subkey);
  if (current === undefined) return undefined;
  const order = compareValues(value, current);
  if (order === 0) return 'same';
  return order < 0 ? current : undefined;
}

function verify(
  head: RecordHead | undefined,
  { record, subkey, value, descriptor }: SetQuestion,
): { readonly descriptor: VerifiedDescriptor; readonly value: VerifiedValue } | undefined {
  try {
    const known = head?.descriptor ?? (descriptor && verifyDescriptor(descriptor, record));
    return known && { descriptor: known, value: verifyValue(value, known, subkey) };
  } catch (error) {
    if (isHoldfastError(error)) return undefined;
    throw error;
  }
}

function answerOf(outcome: Outcome, peers: readonly PeerInfo[]): SetResult {
  const type = 'set';
  switch (outcome.status) {
    case 'written':
      return { answer: { type, status: 'stored', peers }, written: true };
    case 'same':
      return unwritten({ type, status: 'stored', peers });
    case 'superseded':
      return unwritten({ type, status: 'superseded', value: outcome.value, peers });
    case 'outdated':
      return unwritten({ type, status: 'outdated', floor: outcome.floor.sequence, peers });
    case 'full':
      return unwritten({ type, status: 'full', peers });
  }
}

function unwritten(answer: SetAnswer | InvalidAnswer): SetResult {
  return { answer, written: false };
}

const INVALID = unwritten({ type: 'invalid' });
