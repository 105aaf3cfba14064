/** The parsers of what the stream engine keeps: records, rows, indexes of messages. */
import { isDeepStrictEqual } from 'node:util';
import type { ShardId } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { IndexedRun, MessageIndexWriter } from '../src/message-run.ts';
import { decodeStreamOperation, encodeStreamOperation } from '../src/stream-operation-codec.ts';
import { STREAM_RECORDS, type StreamOperation } from '../src/stream-operations.ts';
import {
  counterRowKey,
  decodeCounterRow,
  decodeExtentRow,
  decodeProducerRow,
  decodeStreamRow,
  encodeCounterRow,
  encodeExtentRow,
  encodeProducerRow,
  encodeStreamRow,
  extentRowKey,
  producerRowKey,
  streamOfRow,
  streamRowKey,
} from '../src/stream-rows.ts';
import { Stream } from '../src/stream.ts';

const SHARD = 1 as ShardId;
const DATA = { bytes: Buffer.from('onetwo'), lengths: [3, 3] };
const FORK = {
  sourceId: 3,
  sourcePath: 'a/b',
  base: { messages: 2, bytes: 10 },
  subOffset: 1,
  inheritsExpiry: true,
  requestedAt: { messages: 2, bytes: 10 },
};

const OPERATIONS: readonly StreamOperation[] = [
  {
    type: STREAM_RECORDS.append,
    shard: SHARD,
    id: 300,
    first: { messages: 4, bytes: 1_000 },
    close: true,
    atMs: 1_700_000_000_000,
    producer: { id: 'p', epoch: 1, seq: 2 },
    streamSeq: '000',
    data: DATA,
  },
  {
    type: STREAM_RECORDS.append,
    shard: SHARD,
    id: 3,
    first: { messages: 0, bytes: 0 },
    close: false,
    atMs: 1,
    data: { bytes: Buffer.from('only one'), lengths: [8] },
  },
  {
    type: STREAM_RECORDS.create,
    shard: SHARD,
    id: 9,
    path: 'a/ä',
    contentType: 'application/json',
    createdAtMs: 5,
    closed: false,
    ttlSeconds: 60,
    expiresAtMs: 2 ** 40,
    expiresAtText: 'soon',
    fork: FORK,
    initial: DATA,
  },
  { type: STREAM_RECORDS.setForks, shard: SHARD, id: 9, forks: 2 },
  { type: STREAM_RECORDS.remove, shard: SHARD, id: 9 },
];

/** Two bytes are the type of the record. */
const operationTarget: FuzzTarget<StreamOperation> = {
  name: 'stream-operation',
  corpus: OPERATIONS.map((operation) => {
    const type = Buffer.alloc(2);
    type.writeUInt16LE(operation.type);
    return Buffer.concat([type, ...encodeStreamOperation(operation)]);
  }),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED', 'UNKNOWN_RECORD_TYPE'],
  parse: (input) =>
    decodeStreamOperation(input.length < 2 ? 0 : input.readUInt16LE(), SHARD, input.subarray(2)),
  check(operation) {
    const again = Buffer.concat([...encodeStreamOperation(operation)]);
    const decoded = decodeStreamOperation(operation.type, SHARD, again);
    if (!isDeepStrictEqual(plain(decoded), plain(operation))) throw new Error('not the same again');
    assertSafeNumbers(operation);
  },
};

const stream = new Stream(
  { id: 7, shard: SHARD, path: 'a', contentType: 'text/plain', createdAtMs: 5, ttlSeconds: 9 },
  { messages: 3, bytes: 30 },
);
const fork = new Stream(
  {
    id: 8,
    shard: SHARD,
    path: 'f',
    contentType: 'text/plain',
    createdAtMs: 5,
    expiresAtMs: 99,
    fork: FORK,
  },
  { messages: 3, bytes: 30 },
);
fork.applied.streamSeq = 'x';
const ROWS: readonly (readonly [Buffer, Buffer])[] = [
  [streamRowKey(7), encodeStreamRow(stream)],
  [streamRowKey(8), encodeStreamRow(fork)],
  [producerRowKey(7, 'p'), encodeProducerRow({ epoch: 1, seq: 2 })],
  [
    extentRowKey(7, 12),
    encodeExtentRow({
      firstMessage: 12,
      firstByte: 90,
      messages: 4,
      bytes: 40,
      ref: { fileId: 3, position: 0, length: 50 },
    }),
  ],
  [counterRowKey('7'), encodeCounterRow({ highestId: 9, touchesSaved: true })],
];

/** A byte of length, the key, the value. */
const rowTarget: FuzzTarget = {
  name: 'stream-rows',
  corpus: ROWS.map(([key, value]) => Buffer.concat([Buffer.of(key.length), key, value])),
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  parse(input) {
    const length = input[0] ?? 0;
    const key = input.subarray(1, 1 + length);
    const value = input.subarray(1 + length);
    const id = streamOfRow(key);
    if (id === undefined) return decodeCounterRow(value);
    assertSafeNumbers({ id });
    if (key[0] === 0x73) return decodeStreamRow(SHARD, key, value).applied;
    return key[0] === 0x70 ? decodeProducerRow(key, value) : decodeExtentRow(key, value);
  },
  check(value) {
    assertSafeNumbers(value);
  },
};

const EXTENT = { firstMessage: 5, firstByte: 50, bytes: 400 };
const index = new MessageIndexWriter();
for (const [length, ends] of [
  [100, false],
  [1, true],
  [299, true],
] as const) {
  index.add(length, ends);
}

/** The first four bytes are the number of messages that the row claims. */
const indexTarget: FuzzTarget<IndexedRun> = {
  name: 'message-index',
  corpus: [Buffer.concat([Buffer.of(3, 0, 0, 0), index.finish()])],
  codes: ['FORMAT_INVALID'],
  parse(input) {
    const messages = input.length < 4 ? 1 : input.readUInt32LE();
    return IndexedRun.decode(input.subarray(4), { ...EXTENT, messages });
  },
  check(run, input) {
    let before = 0;
    for (let i = 0; i < run.count; i++) {
      if (run.endOf(i) <= before) throw new Error('a message without bytes');
      before = run.endOf(i);
    }
    if (before !== EXTENT.bytes || run.count > input.length) throw new Error('not the extent');
  },
};

/** Views become texts, so that deep equality looks at bytes. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function assertSafeNumbers(value: unknown): void {
  if (typeof value === 'number' && (!Number.isSafeInteger(value) || value < 0)) {
    throw new Error(`not a safe integer: ${value}`);
  }
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return;
  for (const each of Object.values(value)) assertSafeNumbers(each);
}

export const STORAGE_TARGETS: readonly FuzzTarget[] = [operationTarget, rowTarget, indexTarget];
