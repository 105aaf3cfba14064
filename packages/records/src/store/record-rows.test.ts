import { crc32c, hasCode } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { descriptorOf, erasureOf, peer, valueOf } from '../../test/store/made-records.ts';
import { LAST_SEQUENCE } from '../sequence.ts';
import {
  bytesOfRecord,
  decodeFloors,
  decodeHead,
  decodeNumbers,
  decodeValueRow,
  encodeFloors,
  encodeHead,
  encodeNumbers,
  encodeValueRow,
  headKey,
  readFloorSummary,
  readHeadSummary,
  type StoredHead,
  valueKey,
} from './record-rows.ts';

const A = descriptorOf(0);
const B = descriptorOf(1);
const digest = Buffer.alloc(32, 5);
const HEAD: StoredHead = {
  descriptor: A,
  revision: 2 ** 40,
  touchedAtMs: 1_767_225_600_000,
  origin: peer('a'),
  detail: Buffer.from('detail'),
  subkeys: [undefined, { sequence: LAST_SEQUENCE, bytes: 300, digest }, undefined, undefined],
  storedBytes: 300,
};
const FLOORS = new Map([
  [1, { sequence: LAST_SEQUENCE, digest }],
  [1023, { sequence: valueOf(0, 0, 4).sequence, digest }],
]);

const corrupt = (error: unknown): boolean => hasCode(error, 'CHECKSUM_MISMATCH');

describe('rows of records', () => {
  it('give back what was written', () => {
    const row = encodeHead(HEAD);
    expect(decodeHead(A.id, row)).toEqual(HEAD);
    const bare = { ...HEAD, origin: undefined, detail: undefined };
    expect(decodeHead(A.id, encodeHead(bare))).toEqual(bare);
    const { revision, touchedAtMs, origin } = HEAD;
    const summary = { revision, touchedAtMs, origin, bytes: bytesOfRecord(HEAD, row) };
    expect(readHeadSummary(headKey(A.id), row)).toMatchObject(summary);
    for (const value of [valueOf(0, 2, 7), erasureOf(0, 2, 8)]) {
      expect(decodeValueRow(A.id, 2, encodeValueRow(value))).toEqual(value);
    }
    const floors = encodeFloors(A.id, { age: 9, floors: FLOORS });
    expect(decodeFloors(A.id, floors)).toEqual({ age: 9, floors: FLOORS });
    expect(readFloorSummary(`f-${A.id}`, floors)).toEqual({ age: 9, count: 2 });
    expect(decodeNumbers(encodeNumbers(2 ** 50))).toBe(2 ** 50);
  });

  it('have these bytes', () => {
    expect(encodeNumbers(4096).toString('hex')).toBe('010010000000000000acb554f4');
    expect(valueKey(A.id, 1023)).toBe(`v-${A.id}-03ff`);
    const value = valueOf(0, 2, 7);
    const row = encodeValueRow(value);
    const body = Buffer.concat([Buffer.of(1), value.signature, value.blob]);
    expect(row.subarray(0, -4).equals(body)).toBe(true);
    expect(row.readUInt32LE(body.length)).toBe(
      crc32c(body, crc32c(Buffer.from(valueKey(A.id, 2)))),
    );
  });

  it('are found out under any other key', () => {
    expect(() => decodeHead(B.id, encodeHead(HEAD))).toThrow(expect.toSatisfy(corrupt));
    const value = encodeValueRow(valueOf(0, 2, 7));
    expect(() => decodeValueRow(A.id, 1, value)).toThrow(expect.toSatisfy(corrupt));
    expect(() => decodeValueRow(B.id, 2, value)).toThrow(expect.toSatisfy(corrupt));
    const floors = encodeFloors(A.id, { age: 9, floors: FLOORS });
    expect(() => decodeFloors(B.id, floors)).toThrow(expect.toSatisfy(corrupt));
  });

  it('are found out with any bit turned, and cut anywhere', () => {
    const value = encodeValueRow(erasureOf(0, 2, 7));
    for (let bit = 0; bit < value.length * 8; bit++) {
      const turned = Buffer.from(value);
      turned[bit >> 3] = (turned[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => decodeValueRow(A.id, 2, turned)).toThrow(expect.toSatisfy(corrupt));
    }
    const head = encodeHead(HEAD);
    for (let length = 0; length < head.length; length++) {
      expect(() => decodeHead(A.id, head.subarray(0, length))).toThrow(/row/);
    }
  });

  it('of another release are no damage', () => {
    const row = encodeNumbers(7);
    row[0] = 2;
    const body = row.subarray(0, -4);
    row.writeUInt32LE(crc32c(body, crc32c(Buffer.from('numbers'))), body.length);
    const unsupported = expect.objectContaining({ code: 'FORMAT_UNSUPPORTED' }) as Error;
    expect(() => decodeNumbers(row)).toThrow(unsupported);
  });
});
