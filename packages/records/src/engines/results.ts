/** What engines found, as applications are told it. */
import { HoldfastError } from '@holdfast/core';
import type { RecordKey } from '../record-key.ts';
import type { Agreement, GetResult, RecordValue, SetResult, ValueSource } from '../records.ts';
import { compareValues, openValue, type VerifiedValue } from '../signed-value.ts';
import type { PushedValue } from './push-value.ts';

export function secretOf({ secret }: RecordKey): Buffer {
  if (secret !== undefined) return secret;
  throw new HoldfastError('RECORD_SECRET_WRONG', 'the key of the record has no secret');
}

export function getResult(
  value: VerifiedValue,
  secret: Buffer,
  source: ValueSource,
  agreement: Agreement,
): GetResult {
  const { sequence, writer } = value;
  if (value.kind === 'erased') return { status: 'erased', sequence, writer, source, ...agreement };
  return { status: 'value', ...opened(value, secret), source, ...agreement };
}

export function setResult(sent: VerifiedValue, pushed: PushedValue, secret: Buffer): SetResult {
  const { value, outcome } = pushed;
  const { sequence } = value;
  const agreement = { peers: outcome.accepted, degraded: outcome.degraded };
  if (compareValues(value, sent) !== 0) {
    const winner = value.kind === 'erased' ? undefined : opened(value, secret);
    return { status: 'superseded', sequence, value: winner, ...agreement };
  }
  const status = outcome.kind === 'consensus' ? 'committed' : 'pending';
  return { status, sequence, ...agreement };
}

function opened(value: VerifiedValue, secret: Buffer): RecordValue {
  const { sequence, writer } = value;
  return { data: openValue(value, value, secret), sequence, writer };
}
