/** What an application is shown of a value that came along with a change. */
import { hasCode } from '@holdfast/core';
import type { RecordKey } from '../record-key.ts';
import type { RecordValue } from '../records.ts';
import { openValue, type VerifiedValue } from '../signed-value.ts';

/** `undefined` where it was erased, or where this key does not open it. */
export function shownValue(value: VerifiedValue, { secret }: RecordKey): RecordValue | undefined {
  if (value.kind === 'erased' || secret === undefined) return undefined;
  const { sequence, writer } = value;
  try {
    return { data: openValue(value, value, secret), sequence, writer };
  } catch (error) {
    if (hasCode(error, 'RECORD_SECRET_WRONG')) return undefined;
    throw error;
  }
}
