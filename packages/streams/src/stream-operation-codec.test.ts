import { isHoldfastError, type ShardId } from '@holdfast/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeStreamOperation, encodeStreamOperation } from './stream-operation-codec.ts';
import { STREAM_RECORDS, type StreamOperation } from './stream-operations.ts';

const aNumber = fc.oneof(fc.nat(), fc.maxSafeNat());
const aText = fc.string({ unit: 'binary', maxLength: 20 });
const aPosition = fc.record({ messages: aNumber, bytes: aNumber });
const someData = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 5 })
  .map((parts) => ({ bytes: Buffer.concat(parts), lengths: parts.map(({ length }) => length) }));

const common = { shard: fc.nat({ max: 255 }).map((id) => id as ShardId), id: aNumber };

const anAppend = fc.record(
  {
    type: fc.constant(STREAM_RECORDS.append),
    ...common,
    first: aPosition,
    data: someData,
    producer: fc.record({ id: aText, epoch: aNumber, seq: aNumber }),
    streamSeq: aText,
    close: fc.boolean(),
    atMs: aNumber,
  },
  { requiredKeys: ['type', 'shard', 'id', 'first', 'close', 'atMs'], noNullPrototype: true },
);

const aFork = fc.record(
  {
    sourceId: aNumber,
    sourcePath: aText,
    base: aPosition,
    requestedAt: aPosition,
    subOffset: aNumber,
    inheritsExpiry: fc.boolean(),
  },
  {
    requiredKeys: ['sourceId', 'sourcePath', 'base', 'subOffset', 'inheritsExpiry'],
    noNullPrototype: true,
  },
);

const aCreate = fc.record(
  {
    type: fc.constant(STREAM_RECORDS.create),
    ...common,
    path: aText,
    contentType: aText,
    ttlSeconds: aNumber,
    createdAtMs: aNumber,
    closed: fc.boolean(),
    fork: aFork,
    initial: someData,
  },
  {
    requiredKeys: ['type', 'shard', 'id', 'path', 'contentType', 'createdAtMs', 'closed'],
    noNullPrototype: true,
  },
);

const anOperation: fc.Arbitrary<StreamOperation> = fc.oneof(
  anAppend,
  aCreate,
  fc
    .tuple(aCreate, aNumber, aText)
    .map(([create, expiresAtMs, text]) =>
      text === '' ? { ...create, expiresAtMs } : { ...create, expiresAtMs, expiresAtText: text },
    ),
  fc.record({ type: fc.constant(STREAM_RECORDS.setForks), ...common, forks: aNumber }),
  fc.record({ type: fc.constant(STREAM_RECORDS.softDelete), ...common }),
  fc.record({ type: fc.constant(STREAM_RECORDS.remove), ...common }),
);

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (isHoldfastError(error)) return error.code;
    throw error;
  }
}

test('what is decoded is what was encoded', () => {
  fc.assert(
    fc.property(anOperation, (operation) => {
      const payload = Buffer.concat(encodeStreamOperation(operation));
      const { type, shard } = operation;
      expect(decodeStreamOperation(type, shard, payload)).toEqual(operation);
    }),
    { seed: 1, numRuns: 1000 },
  );
});

test('data is not copied', () => {
  const data = { bytes: Buffer.alloc(100_000), lengths: [100_000] };
  const first = { messages: 0, bytes: 0 };
  const append = { type: STREAM_RECORDS.append, shard: 0 as ShardId, id: 1, first, close: false };
  const parts = encodeStreamOperation({ ...append, data, atMs: 5 });
  expect(parts.at(-1)).toBe(data.bytes);
});

test('a payload that is cut, too long, or of another version never decodes to something else', () => {
  fc.assert(
    fc.property(anOperation, fc.nat(), (operation, at) => {
      const { type, shard } = operation;
      const payload = Buffer.concat(encodeStreamOperation(operation));
      const decode = (bytes: Buffer) => codeOf(() => decodeStreamOperation(type, shard, bytes));
      const single = type === STREAM_RECORDS.append && operation.data?.lengths.length === 1;
      // One message is "the rest": the record's own length, checked by the log, ends it.
      if (!single) {
        expect(decode(payload.subarray(0, at % payload.length))).toBe('FORMAT_INVALID');
        expect(decode(Buffer.concat([payload, Buffer.from('x')]))).toBe('FORMAT_INVALID');
      }
      expect(decode(Buffer.concat([Buffer.of(2), payload.subarray(1)]))).toBe('FORMAT_UNSUPPORTED');
    }),
    { seed: 2, numRuns: 500 },
  );
});

test('any bytes decode or are refused', () => {
  const types = fc.constantFrom(...Object.values(STREAM_RECORDS));
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 60 }), (type, bytes) => {
      const payload = Buffer.concat([Buffer.of(1), bytes]);
      const code = codeOf(() => decodeStreamOperation(type, 0 as ShardId, payload));
      expect([undefined, 'FORMAT_INVALID']).toContain(code);
    }),
    { seed: 3, numRuns: 2000 },
  );
});
