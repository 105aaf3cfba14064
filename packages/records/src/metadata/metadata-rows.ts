/**
 * The rows of what this peer wants of records: their keys, and their bytes. FORMAT.md, "Wishes of a
 * peer".
 *
 * | key | row |
 * | --- | --- |
 * | `q-` record | subkeys written here that too few peers hold yet |
 * | `w-` record | the watch that is wanted: subkeys, changes left, end |
 * | `y-` record | subkeys that peers may have forgotten |
 *
 * Versions and checksums are those of the rows of record stores (`record-rows.ts`).
 */
import { type ByteReader, ByteWriter, HoldfastError, RECORD_LIMITS } from '@holdfast/core';
import type { RecordId } from '../record-key.ts';
import { readRow, withChecksum } from '../store/record-rows.ts';
import { type SubkeyRange, SubkeySet } from '../subkey-set.ts';

export interface WantedWatch {
  readonly subkeys: SubkeySet;
  /** Changes until it ends; `undefined`: no bound. */
  readonly count: number | undefined;
  /** Wall clock; `undefined`: never. */
  readonly expiresAtMs: number | undefined;
}

/** How the items of one kind rest. */
export interface ItemRows<Item> {
  readonly prefix: string;
  encode(key: string, item: Item): Buffer;
  decode(key: string, row: Uint8Array): Item;
}

const VERSION = 1;
const FLAG = { count: 1, expires: 2 } as const;

export const PENDING_ROWS: ItemRows<SubkeySet> = subkeyRows('q-');
export const REHYDRATION_ROWS: ItemRows<SubkeySet> = subkeyRows('y-');

export const WATCH_ROWS: ItemRows<WantedWatch> = {
  prefix: 'w-',
  encode(key, { subkeys, count, expiresAtMs }) {
    const flags =
      (count === undefined ? 0 : FLAG.count) | (expiresAtMs === undefined ? 0 : FLAG.expires);
    const to = new ByteWriter().u8(VERSION).u8(flags);
    if (count !== undefined) to.varint(count);
    if (expiresAtMs !== undefined) to.u64(expiresAtMs);
    writeSubkeys(to, subkeys);
    return withChecksum(key, to);
  },
  decode(key, row) {
    return readRow(key, row, (from) => {
      const flags = from.u8();
      if ((flags & ~(FLAG.count | FLAG.expires)) !== 0) throw invalid(`flags=${flags}`);
      const count = (flags & FLAG.count) === 0 ? undefined : from.varint();
      const expiresAtMs = (flags & FLAG.expires) === 0 ? undefined : from.u64();
      return { count, expiresAtMs, subkeys: readSubkeys(from) };
    });
  },
};

/** `undefined` where no such key was written. */
export function recordOfItem(prefix: string, key: string): RecordId | undefined {
  const id = key.slice(prefix.length);
  return /^[0-9a-f]{64}$/.test(id) ? (id as RecordId) : undefined;
}

function subkeyRows(prefix: string): ItemRows<SubkeySet> {
  return {
    prefix,
    encode: (key, subkeys) =>
      withChecksum(key, writeSubkeys(new ByteWriter().u8(VERSION), subkeys)),
    decode: (key, row) => readRow(key, row, readSubkeys),
  };
}

/** Each range as what lies between it and the one before, and how many more than one it has. */
function writeSubkeys(to: ByteWriter, { ranges }: SubkeySet): ByteWriter {
  to.varint(ranges.length);
  let next = 0;
  for (const { first, last } of ranges) {
    to.varint(first - next).varint(last - first);
    next = last + 1;
  }
  return to;
}

/** Subkeys of a record, one at least; nothing follows them. */
function readSubkeys(from: ByteReader): SubkeySet {
  const count = from.varint();
  if (count === 0 || count > RECORD_LIMITS.maxSubkeyRanges) throw invalid(`ranges=${count}`);
  const ranges: SubkeyRange[] = [];
  let next = 0;
  for (let i = 0; i < count; i++) {
    const first = next + from.varint();
    const last = first + from.varint();
    if (last >= RECORD_LIMITS.maxSubkeys) throw invalid(`subkey=${last}`);
    ranges.push({ first, last });
    next = last + 1;
  }
  from.end();
  return SubkeySet.fromRanges(ranges);
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `a row makes no sense: ${what}`);
}
