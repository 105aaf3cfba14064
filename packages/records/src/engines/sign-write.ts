/** What an application wrote becomes a value: encrypted, numbered, signed, and checked as others will. */
import type { Random } from '@holdfast/core';
import type { KeyPair } from '../key-pair.ts';
import type { VerifiedDescriptor } from '../record-descriptor.ts';
import type { Sequence } from '../sequence.ts';
import {
  createErasure,
  createValue,
  openValue,
  verifyValue,
  type VerifiedValue,
} from '../signed-value.ts';

export interface RecordWrite {
  readonly subkey: number;
  /** `undefined` erases. */
  readonly data: Uint8Array | undefined;
}

export interface WriteToSign {
  readonly descriptor: VerifiedDescriptor;
  readonly secret: Buffer;
  readonly write: RecordWrite;
  readonly writer: KeyPair;
  readonly sequence: Sequence;
  readonly random: Random;
}

/** `NOT_A_WRITER`, `RECORD_TOO_LARGE`, `INVALID_SUBKEY`. */
export function signWrite(about: WriteToSign): VerifiedValue {
  const { descriptor, secret, write, writer, sequence, random } = about;
  const { subkey, data } = write;
  const place = { record: descriptor.id, subkey, writer, sequence };
  const value =
    data === undefined ? createErasure(place) : createValue(place, secret, data, random);
  return verifyValue(value, descriptor, subkey);
}

/** To sign it again would make two values of one number, or a new number for nothing. */
export function isSameWrite(
  known: VerifiedValue,
  secret: Buffer,
  { data }: RecordWrite,
  writer: KeyPair,
): boolean {
  if (known.writer !== writer.publicKey) return false;
  if (data === undefined || known.kind === 'erased') {
    return data === undefined && known.kind === 'erased';
  }
  return openValue(known, known, secret).equals(data);
}
