/** The parsers of this package, for its test and for `npm run fuzz`. */
import { createSecretKey } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { crc32c, KeyRing, type ShardId } from '@holdfast/core';
import { type FuzzTarget, SeededRandom } from '@holdfast/testkit';

import { decodeKvRecord, encodeKvRecord } from '../src/engine/kv-operation-codec.ts';
import { KV_RECORDS, type KvRecord, type StoredFacts } from '../src/engine/kv-operations.ts';
import {
  counterRowKey,
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
  identityOfRow,
  MARK,
  nameOfRow,
  valueRowKey,
} from '../src/engine/kv-rows.ts';
import { ValueSealer } from '../src/encrypted/value-sealer.ts';
import { encodeEnvelope, openEnvelope } from '../src/envelope.ts';
import { decodePageToken, encodePageToken } from '../src/page-token.ts';

const SHARD = 1 as ShardId;
const FACTS: StoredFacts = {
  change: 300,
  seq: 5,
  version: 300,
  epoch: 2,
  expiresAtMs: 1_700_000_000_000,
  extent: false,
};
const LARGE: StoredFacts = { ...FACTS, epoch: 0, expiresAtMs: undefined, extent: true };

const about = { shard: SHARD, store: 'main', key: 'ä/b', change: 300 };
const RECORDS: readonly KvRecord[] = [
  { type: KV_RECORDS.put, ...about, before: LARGE, entry: FACTS, value: Buffer.from('value') },
  { type: KV_RECORDS.put, ...about, before: undefined, entry: LARGE, value: Buffer.alloc(90) },
  { type: KV_RECORDS.delete, ...about, before: FACTS },
  { type: KV_RECORDS.expire, ...about, before: LARGE },
];

/** The last byte of the type, then the payload. */
const recordTarget: FuzzTarget<KvRecord> = {
  name: 'kv-records',
  corpus: RECORDS.map((record) =>
    Buffer.concat([Buffer.of(record.type & 0xff), ...encodeKvRecord(record)]),
  ),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  rareCodes: ['UNKNOWN_RECORD_TYPE'],
  parse: (input) => decodeKvRecord(0x8000 | (input[0] ?? 0), SHARD, input.subarray(1)),
  check(record) {
    const again = decodeKvRecord(record.type, SHARD, Buffer.concat(encodeKvRecord(record)));
    if (!isDeepStrictEqual(again, record)) throw new Error('encoded, it is another record');
  },
};

const VALUE_ROW = valueRowKey('main', 300, 'key');
const ROWS: readonly (readonly [Buffer, Buffer])[] = [
  [entryRowKey('main', 'key'), encodeEntryRow(FACTS, Buffer.from('value'))],
  [entryRowKey('main', 'large'), encodeEntryRow(LARGE, Buffer.of())],
  [createdRowKey('main', 5, 'key'), MARK],
  [expiryRowKey(1_700_000_000_000, 'main', 'key'), MARK],
  [VALUE_ROW, encodeValueRow({ fileId: 3, position: 0, length: 50 })],
  [graveRowKey(VALUE_ROW), MARK],
  [counterRowKey('kv-counter-3'), encodeCounterRow({ highest: 900, lastChange: 800 })],
];

/** A byte of length, the key, the value. */
const rowTarget: FuzzTarget = {
  name: 'kv-rows',
  corpus: ROWS.map(([key, value]) => Buffer.concat([Buffer.of(key.length), key, value])),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  parse(input) {
    const length = input[0] ?? 0;
    const key = input.subarray(1, 1 + length);
    const value = input.subarray(1 + length);
    if (identityOfRow(key) === undefined) return undefined;
    if (key[0] === 0x6e) return decodeCounterRow(value);
    const name = nameOfRow(key);
    if (key[0] === 0x65) return { ...name, ...decodeEntryRow(value).facts };
    return { ...name, ...extentOfValueRow(key, value) };
  },
  check(value) {
    for (const each of Object.values(value ?? {}) as unknown[]) {
      if (typeof each === 'number' && (!Number.isSafeInteger(each) || each < 0)) {
        throw new Error(`not a safe integer: ${each}`);
      }
    }
  },
};

const envelopeTarget: FuzzTarget = {
  name: 'kv-envelope',
  corpus: [FACTS, { ...FACTS, epoch: 0, expiresAtMs: undefined }].map((facts) =>
    Buffer.concat([encodeEnvelope('key', facts, Buffer.from('value')), Buffer.from('value')]),
  ),
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  parse: (input) => openEnvelope('key', input),
};

const SEALER = new ValueSealer(
  new KeyRing([createSecretKey(Buffer.alloc(32, 1))], new SeededRandom(1)),
  'a store',
);
const SEALED_CHECKSUM_AT = 41;

const sealedTarget: FuzzTarget = {
  name: 'kv-sealed-value',
  corpus: ['', 'value'].map((value) => SEALER.seal('key', Buffer.from(value), 7)),
  codes: ['CHECKSUM_MISMATCH', 'KEY_MISSING', 'FORMAT_UNSUPPORTED'],
  reseal(mutant) {
    const sealed = Buffer.from(mutant);
    if (sealed.length < SEALED_CHECKSUM_AT + 4) return sealed;
    const sum = crc32c(Buffer.from('key'), crc32c(sealed.subarray(0, SEALED_CHECKSUM_AT)));
    sealed.writeUInt32LE(sum, SEALED_CHECKSUM_AT);
    return sealed;
  },
  parse: (input) => SEALER.open({ key: 'key', value: input, version: 7 }),
};

const PAGE = { order: 'created', prefix: 'k' } as const;

/** The bytes behind the text of a token. */
const tokenTarget: FuzzTarget = {
  name: 'kv-page-token',
  corpus: [
    { seq: 7, key: 'key' },
    { seq: 2 ** 40, key: `k${'ä'.repeat(30)}` },
  ].map((last) => Buffer.from(encodePageToken('main', PAGE, last), 'base64url')),
  codes: ['INVALID_PAGE_TOKEN'],
  reseal(mutant) {
    const sealed = Buffer.from(mutant);
    if (sealed.length > 4) sealed.writeUInt32LE(crc32c(sealed.subarray(0, -4)), sealed.length - 4);
    return sealed;
  },
  parse: (input) => decodePageToken('main', PAGE, input.toString('base64url')),
  check(last, input) {
    const again = encodePageToken('main', PAGE, last as { seq: number; key: string });
    if (again.length > 2 * input.length + 64) throw new Error('grew');
  },
};

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  recordTarget as FuzzTarget,
  rowTarget,
  envelopeTarget,
  sealedTarget,
  tokenTarget,
];
