import type { ShardId } from '@holdfast/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeKvRecord, encodeKvRecord } from './kv-operation-codec.ts';
import { KV_RECORDS, type KvRecord, type StoredFacts } from './kv-operations.ts';
import {
  createdRowKey,
  decodeCounterRow,
  decodeEntryRow,
  encodeCounterRow,
  encodeEntryRow,
  encodeValueRow,
  entryRowKey,
  expiryRowKey,
  extentOfValueRow,
  graveRowKey,
  identityOfEntry,
  identityOfRow,
  nameOfRow,
  valueRowKey,
  valueRowKeyOfGrave,
} from './kv-rows.ts';

const number = fc.maxSafeNat();
const facts: fc.Arbitrary<StoredFacts> = fc
  .record({
    change: number,
    seq: number,
    above: number,
    epoch: number,
    expiresAtMs: fc.option(number, { nil: undefined }),
    extent: fc.boolean(),
  })
  .map(({ above, ...rest }) => ({
    ...rest,
    version: Math.min(rest.seq + above, Number.MAX_SAFE_INTEGER),
  }));
const store = fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/);
const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
const bytes = fc.uint8Array({ maxLength: 200, size: 'max' }).map((value) => Buffer.from(value));
const shard = fc.nat(255).map((id) => id as ShardId);

const record: fc.Arbitrary<KvRecord> = fc.oneof(
  fc.record({
    type: fc.constant(KV_RECORDS.put),
    shard,
    store,
    key,
    change: number,
    before: fc.option(facts, { nil: undefined }),
    entry: facts,
    value: bytes,
  }),
  fc.record({
    type: fc.constantFrom(KV_RECORDS.delete, KV_RECORDS.expire),
    shard,
    store,
    key,
    change: number,
    before: facts,
  }),
);

describe('records of the key-value engine', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(record, (each) => {
        const payload = Buffer.concat(encodeKvRecord(each));
        expect(decodeKvRecord(each.type, each.shard, payload)).toEqual(each);
      }),
    );
  });

  it('that are cut short or of another version are a typed error', () => {
    fc.assert(
      fc.property(record, fc.nat(), (each, at) => {
        const payload = Buffer.concat(encodeKvRecord(each));
        const head = payload.length - (each.type === KV_RECORDS.put ? each.value.length : 0);
        expect(() => decodeKvRecord(each.type, each.shard, payload.subarray(0, at % head))).toThrow(
          expect.objectContaining({ kind: 'corrupt' }),
        );
        payload[0] = 2;
        expect(() => decodeKvRecord(each.type, each.shard, payload)).toThrow(
          expect.objectContaining({ code: 'FORMAT_UNSUPPORTED' }),
        );
      }),
    );
  });

  it('have a fixed form', () => {
    const entry = { change: 300, seq: 5, version: 300, epoch: 0, expiresAtMs: 1000, extent: false };
    const before = {
      change: 5,
      seq: 5,
      version: 5,
      epoch: 0,
      expiresAtMs: undefined,
      extent: true,
    };
    const put: KvRecord = {
      type: 0x8020,
      shard: 1 as ShardId,
      store: 'main',
      key: 'ä',
      change: 300,
      before,
      entry,
      value: Buffer.from('v'),
    };
    expect(Buffer.concat(encodeKvRecord(put)).toString('hex')).toBe(
      '01' + '046d61696e' + '02c3a4' + 'ac02' + '01' + '01050500' + '02ac0205a702e807' + '76',
    );
    expect(KV_RECORDS).toEqual({ put: 0x8020, delete: 0x8021, expire: 0x8022 });
  });
});

describe('rows of the key-value engine', () => {
  it('decode to what was encoded', () => {
    fc.assert(
      fc.property(facts, bytes, (about, value) => {
        const row = decodeEntryRow(encodeEntryRow(about, value));
        expect(row.facts).toEqual(about);
        expect(row.value.equals(about.extent ? Buffer.of() : value)).toBe(true);
      }),
    );
    const counter = { highest: 1_000, lastChange: 900 };
    expect(decodeCounterRow(encodeCounterRow(counter))).toEqual(counter);
    const ref = { fileId: 3, position: 70_000, length: 5 };
    const valueKey = valueRowKey('main', 7, 'key');
    expect(extentOfValueRow(valueKey, encodeValueRow(ref))).toEqual(ref);
    expect(valueRowKeyOfGrave(graveRowKey(valueKey)).equals(valueKey)).toBe(true);
  });

  it('name their entry, whatever its number', () => {
    fc.assert(
      fc.property(store, key, number, (name, text, at) => {
        const rows: [Buffer, number][] = [
          [entryRowKey(name, text), 0],
          [createdRowKey(name, at, text), at],
          [expiryRowKey(at, name, text), at],
          [valueRowKey(name, at, text), at],
          [graveRowKey(valueRowKey(name, at, text)), at],
        ];
        for (const [row, wanted] of rows) {
          expect(nameOfRow(row)).toEqual({ store: name, key: text, number: wanted });
          expect(identityOfRow(row)).toBe(identityOfEntry(name, text));
        }
      }),
    );
  });

  it('are in the order of keys, of creation from the newest, and of expiry', () => {
    fc.assert(
      fc.property(key, key, number, number, (a, b, one, other) => {
        const sign = Math.sign;
        const keys = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Buffer.compare(entryRowKey('s', a), entryRowKey('s', b))).toBe(keys);
        const created = Buffer.compare(createdRowKey('s', one, a), createdRowKey('s', other, a));
        expect(created).toBe(sign(other - one));
        const due = Buffer.compare(expiryRowKey(one, 's', a), expiryRowKey(other, 't', b));
        if (one !== other) expect(due).toBe(sign(one - other));
      }),
    );
  });

  it('that make no sense are a typed error', () => {
    const corrupt = expect.objectContaining({ kind: 'corrupt' });
    expect(() => decodeEntryRow(Buffer.of(1, 8, 0, 0, 0))).toThrow(corrupt);
    expect(() => decodeEntryRow(Buffer.of(1, 1, 0, 0, 0, 9))).toThrow(corrupt);
    expect(() => nameOfRow(Buffer.from('e'))).toThrow(corrupt);
    expect(() => nameOfRow(Buffer.from('o\x01aXX'))).toThrow(corrupt);
    expect(() => extentOfValueRow(Buffer.from('v'), Buffer.alloc(25))).toThrow(corrupt);
    expect(identityOfRow(Buffer.from('x'))).toBeUndefined();
    expect(extentOfValueRow(Buffer.from('x'), Buffer.of())).toBeUndefined();
  });
});
