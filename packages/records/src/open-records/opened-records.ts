/** Which records are open here, how often, with which secret, and who writes where no call says. */
import { HoldfastError } from '@holdfast/core';
import type { KeyPair } from '../key-pair.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import { keyOf, type RecordId, type RecordKey } from '../record-key.ts';
import type { OpenedRecord } from '../records.ts';

export interface OpenRecord {
  readonly key: RecordKey;
  readonly descriptor: VerifiedDescriptor;
  readonly writer: KeyPair | undefined;
  /** Calls of `open` and `create` without their `close`. */
  readonly times: number;
}

export class OpenedRecords {
  readonly #records = new Map<RecordId, OpenRecord>();
  /** Of records that were made here: in memory only. */
  readonly #owners = new Map<RecordId, KeyPair>();

  get(record: RecordId): OpenRecord | undefined {
    return this.#records.get(record);
  }

  /** `RECORD_NOT_OPEN`, `RECORD_SECRET_WRONG`. */
  of(key: RecordKey): OpenRecord {
    const open = this.#records.get(key.id);
    if (open === undefined) {
      throw new HoldfastError('RECORD_NOT_OPEN', `the record is not open record=${key.id}`);
    }
    return { ...open, key: joined(open.key, key) };
  }

  /** A writer that is given takes the place of the one before. */
  add(key: RecordKey, descriptor: VerifiedDescriptor, writer: KeyPair | undefined): OpenRecord {
    const before = this.#records.get(key.id);
    const open = {
      key: before === undefined ? keyOf(key.id, key.secret) : joined(before.key, key),
      descriptor,
      writer: writer ?? before?.writer ?? this.#owners.get(key.id),
      times: (before?.times ?? 0) + 1,
    };
    this.#records.set(key.id, open);
    return open;
  }

  owns(record: RecordId, owner: KeyPair): void {
    this.#owners.set(record, owner);
  }

  /** @returns whether that was the last time. */
  close(key: RecordKey): boolean {
    const open = this.of(key);
    if (open.times > 1) this.#records.set(key.id, { ...open, times: open.times - 1 });
    else this.#records.delete(key.id);
    return open.times === 1;
  }

  forget(record: RecordId): void {
    this.#records.delete(record);
    this.#owners.delete(record);
  }
}

export function openedRecord({ key, descriptor, writer }: OpenRecord): OpenedRecord {
  const { owner, schema } = descriptor;
  return { key, owner, schema, writer: writer?.publicKey };
}

function joined(open: RecordKey, given: RecordKey): RecordKey {
  if (given.secret === undefined) return open;
  if (open.secret !== undefined && !open.secret.equals(given.secret)) {
    const message = `the record is open with another secret record=${open.id}`;
    throw new HoldfastError('RECORD_SECRET_WRONG', message);
  }
  return keyOf(open.id, given.secret);
}
