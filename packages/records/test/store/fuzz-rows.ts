/** The rows of record stores, for the fuzzing of parsers. */
import { crc32c } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { isDeepStrictEqual } from 'node:util';
import {
  decodeFloors,
  decodeHead,
  decodeNumbers,
  decodeValueRow,
  encodeFloors,
  encodeHead,
  encodeNumbers,
  encodeValueRow,
  floorKey,
  headKey,
  readHeadSummary,
  type StoredHead,
  valueKey,
} from '../../src/store/record-rows.ts';
import { descriptorOf, erasureOf, peer, valueOf } from './made-records.ts';

const A = descriptorOf(0);
const digest = Buffer.alloc(32, 5);
const value = valueOf(0, 2, 7);
const stored = { sequence: value.sequence, digest, bytes: 300 };
const HEAD: StoredHead = {
  descriptor: A,
  revision: 5,
  touchedAtMs: 1_767_225_600_000,
  origin: peer('a'),
  detail: Buffer.from('detail'),
  subkeys: [stored, undefined, stored, undefined],
  storedBytes: 600,
};

/** A byte tells which row it is. */
const KINDS = [
  { key: headKey(A.id), decode: (row: Buffer) => encodeHead(decodeHead(A.id, row)) },
  { key: valueKey(A.id, 2), decode: (row: Buffer) => encodeValueRow(decodeValueRow(A.id, 2, row)) },
  { key: floorKey(A.id), decode: (row: Buffer) => encodeFloors(A.id, decodeFloors(A.id, row)) },
  { key: 'numbers', decode: (row: Buffer) => encodeNumbers(decodeNumbers(row)) },
] as const;
type Kind = (typeof KINDS)[number];

const kindOf = (input: Buffer): Kind => KINDS[(input[0] ?? 0) % KINDS.length] as Kind;

export const rowTarget: FuzzTarget = {
  name: 'record-rows',
  corpus: [
    [0, encodeHead(HEAD)],
    [0, encodeHead({ ...HEAD, origin: undefined, detail: undefined })],
    [1, encodeValueRow(value)],
    [1, encodeValueRow(erasureOf(0, 2, 9))],
    [
      2,
      encodeFloors(A.id, {
        age: 7,
        floors: new Map([
          [1, stored],
          [3, stored],
        ]),
      }),
    ],
    [3, encodeNumbers(4096)],
  ].map(([kind, row]) => Buffer.concat([Buffer.of(kind as number), row as Buffer])),
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  reseal(mutant) {
    const sealed = Buffer.from(mutant);
    if (sealed.length < 6) return sealed;
    const body = sealed.subarray(1, -4);
    const sum = crc32c(body, crc32c(Buffer.from(kindOf(sealed).key)));
    sealed.writeUInt32LE(sum, sealed.length - 4);
    return sealed;
  },
  parse(input) {
    const { key, decode } = kindOf(input);
    if (key === headKey(A.id)) readHeadSummary(key, input.subarray(1));
    return decode(input.subarray(1));
  },
  check(again, input) {
    // What is encoded anew is decoded again; numbers may have had longer bytes.
    const { decode } = kindOf(input);
    if (!isDeepStrictEqual(decode(again as Buffer), again)) throw new Error('it is another row');
  },
};
