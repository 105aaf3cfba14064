import { createSecretKey } from 'node:crypto';
import { BlockCodec, KeyRing, LIMITS, NodeRandom, type SegmentId } from '@holdfast/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchBuffer, encodedLength } from './batch-buffer.ts';
import {
  FRAME_HEAD_BYTES,
  countZeroSectors,
  decodeRecords,
  openFrame,
  readFrameHead,
} from './batch-frame.ts';
import type { LogRecord } from './log.ts';

const CODEC = new BlockCodec(Buffer.from('0123456789abcdef'));
const HOME = { id: 3 as SegmentId, incarnation: 0xfeedbeef, codec: CODEC };
const KEYS = new KeyRing([createSecretKey(Buffer.alloc(32, 1))], new NodeRandom());
const ENCRYPTED = { ...HOME, codec: new BlockCodec(Buffer.from('0123456789abcdef'), KEYS) };
const POSITION = 5 * LIMITS.blockBytes;
const EVERYTHING = { from: 0, to: Number.MAX_SAFE_INTEGER };

function frameOf(records: readonly LogRecord[], home = HOME): Buffer {
  const batch = new BatchBuffer();
  batch.add(records, encodedLength(records), 41);
  const { frame } = batch.complete(home, POSITION, {
    committedAtMs: 1_700_000_000_000,
    zeroedTo: 1 << 20,
    previousTag: Buffer.alloc(16, 9),
  });
  return Buffer.from(frame);
}

const anyRecord: fc.Arbitrary<LogRecord> = fc.record({
  type: fc.integer({ min: 0, max: 0xffff }),
  shard: fc.integer({ min: 0, max: 0xffff }),
  tenant: fc.integer({ min: 0, max: 0xffff_ffff }),
  parts: fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 4 }),
});

test.each([
  ['plain', HOME],
  ['encrypted', ENCRYPTED],
])('what goes in comes out, whatever the records are: %s', (_name, home) => {
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 40, size: 'max' }), (records) => {
      const frame = frameOf(records, home);
      expect(frame.length % LIMITS.blockBytes).toBe(0);
      const head = readFrameHead(frame, 0, home, POSITION);
      if (head === undefined) throw new Error('no head');
      expect(head).toMatchObject({ firstLsn: 41, lastLsn: 40 + records.length, zeroedTo: 1 << 20 });
      const opened = openFrame(frame, 0, home, POSITION) as Buffer;
      const stored = decodeRecords(opened, head, EVERYTHING);
      expect(stored.map(({ type, shard, tenant }) => ({ type, shard, tenant }))).toEqual(
        records.map(({ type, shard, tenant }) => ({ type, shard, tenant })),
      );
      expect(stored.map((record) => record.payload)).toEqual(
        records.map((record) => Buffer.concat(record.parts)),
      );
      expect(stored.map((record) => record.lsn)).toEqual(records.map((_, index) => 41 + index));
    }),
    { numRuns: 60 },
  );
});

test('a frame counts its own zero sectors, padding left out', () => {
  // Head sector; then zeros up to and into the sector in which the frame ends.
  const payload = Buffer.alloc(3 * 512 - FRAME_HEAD_BYTES - 12 + 10);
  const frame = frameOf([{ type: 1, shard: 0, tenant: 0, parts: [payload] }]);
  expect(readFrameHead(frame, 0, HOME, POSITION)?.zeroSectors).toBe(3);
  const words = new Int32Array(1024);
  words[127] = 1;
  words[256] = 1;
  expect(countZeroSectors(words, 4096)).toBe(6);
  expect(countZeroSectors(words, 513)).toBe(1);
});

test('an encrypted frame has no zero sector, however it ends, so any zero one is missing', () => {
  for (let length = 0; length < 1_100; length++) {
    const records = [{ type: 1, shard: 0, tenant: 0, parts: [Buffer.alloc(length)] }];
    const frame = frameOf(records, ENCRYPTED);
    const head = readFrameHead(frame, 0, ENCRYPTED, POSITION);
    expect(head?.zeroSectors).toBe(0);
    const used = FRAME_HEAD_BYTES + 12 + length;
    const words = new Int32Array(frame.buffer, frame.byteOffset, frame.length / 4);
    expect(countZeroSectors(words, used), `length ${length}`).toBe(0);
    expect(frame.subarray(used).every((byte) => byte === 0)).toBe(true);
  }
});

test('a frame is one only at its position, in its segment and incarnation, in its database', () => {
  const frame = frameOf([{ type: 1, shard: 0, tenant: 0, parts: [Buffer.from('x')] }]);
  const other = new BlockCodec(Buffer.alloc(16, 1));
  expect(readFrameHead(frame, 0, HOME, POSITION)).toBeDefined();
  expect(readFrameHead(frame, 0, { ...HOME, codec: other }, POSITION)).toBeUndefined();
  expect(readFrameHead(frame, 0, HOME, POSITION + LIMITS.blockBytes)).toBeUndefined();
  expect(readFrameHead(frame, 0, { ...HOME, id: 4 as SegmentId }, POSITION)).toBeUndefined();
  expect(readFrameHead(frame, 0, { ...HOME, incarnation: 1 }, POSITION)).toBeUndefined();
});

test('zeros are never a frame', () => {
  expect(readFrameHead(Buffer.alloc(4096), 0, HOME, POSITION)).toBeUndefined();
});

test('a changed byte of the head alone is enough to disbelieve it', () => {
  const whole = frameOf([{ type: 1, shard: 0, tenant: 0, parts: [Buffer.from('x')] }]);
  for (let at = 0; at < FRAME_HEAD_BYTES; at++) {
    const frame = Buffer.from(whole);
    frame[at] = (frame[at] as number) ^ 0x10;
    if (at === 4) {
      // A version of the future with a valid checksum is refused elsewhere; here it has none.
      expect(readFrameHead(frame, 0, HOME, POSITION)).toBeUndefined();
    }
    expect(readFrameHead(frame, 0, HOME, POSITION)).toBeUndefined();
  }
});

test('a record that can not be encoded leaves the batch as it was', () => {
  const batch = new BatchBuffer();
  const good = [{ type: 1, shard: 0, tenant: 0, parts: [Buffer.from('good')] }];
  batch.add(good, encodedLength(good), 1);
  const before = batch.recordBytes;
  const bad = [...good, { type: 1, shard: 70_000, tenant: 0, parts: [Buffer.from('bad')] }];
  expect(() => batch.add(bad, encodedLength(bad), 2)).toThrow(RangeError);
  expect(batch.recordBytes).toBe(before);
  expect(batch.recordCount).toBe(1);
});
