/** Entries as backends store them: the envelope, and behind it the value. */
import { ByteReader, hasCode, HoldfastError } from '@holdfast/core';
import type { EntryFacts } from '../decide-write.ts';
import { openEnvelope, readEnvelope } from '../envelope.ts';
import type { KvWrite } from '../kv-backend.ts';
import type { KvEntry } from '../kv-store.ts';

/** No envelope is longer. */
export const MAX_ENVELOPE_BYTES = 48;

/** `CHECKSUM_MISMATCH` for what is not as it was written. */
export function openEntry(key: string, bytes: Buffer): KvEntry {
  const { facts, value } = checked(() => openEnvelope(key, bytes));
  return { key, value, ...facts };
}

/**
 * The facts of an entry without its value, where the store tells some of them a second time: what
 * both say alike is taken for true.
 */
export function factsOfHead(
  head: Buffer,
  told: { readonly seq: number; readonly version?: number },
): EntryFacts {
  const { seq, version, epoch, expiresAtMs } = checked(() => readEnvelope(new ByteReader(head)));
  if (seq !== told.seq || (told.version ?? version) !== version) throw damaged();
  return { seq, version, epoch, expiresAtMs };
}

/** The facts, or the error that reading them gives. */
export function factsOrDamage(read: () => EntryFacts): EntryFacts | Error {
  try {
    return read();
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
}

/**
 * What is damaged can be deleted, and a copy from elsewhere may take its place. Everything else
 * would need its place in the order, or its version.
 */
export function replacesDamage(write: KvWrite): boolean {
  if (write.type === 'del') return write.ifVersion === undefined;
  return write.type === 'put' && write.stamp !== undefined;
}

function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw hasCode(error, 'FORMAT_INVALID') ? damaged(error) : error;
  }
}

function damaged(cause?: unknown): HoldfastError {
  return new HoldfastError('CHECKSUM_MISMATCH', 'an entry is not the one that was written', {
    cause,
  });
}
