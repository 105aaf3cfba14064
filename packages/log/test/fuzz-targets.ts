/**
 * The parsers of the log: header, frame, and recovery over whole damaged segments; plain, and
 * encrypted, where whoever lacks the key may make all checksums right and still change nothing.
 */
import { BLOCK_HEADER_BYTES, BlockCodec, type ErrorCode, crc32c, segmentId } from '@holdfast/core';
import type { StoredRecord } from '@holdfast/log';
import { type FuzzTarget, type SeededRandom, resealBlock } from '@holdfast/testkit';
import { decodeRecords, openFrame, readFrameHead } from '../src/batch-frame.ts';
import { homeOf } from '../src/segment-reader.ts';
import {
  SEGMENT_HEADER_BYTES,
  SEGMENT_HEADER_USED_BYTES,
  type StoredSegmentHeader,
  decodeSegmentHeader,
} from '../src/segment-header.ts';
import { BLOCK, DATABASE_ID, SimLog } from './sim-log.ts';

const MAGIC = Buffer.from('HFBK');
const EVERYTHING = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** Three segments: two sealed, and the end of a life without a close. */
async function makeLog(log: SimLog): Promise<{ files: Map<string, Buffer>; payloads: string[] }> {
  const payloads: string[] = [];
  let open = await log.open({ segmentTargetBytes: 4 * BLOCK, preallocateBytes: 2 * BLOCK });
  for (let i = 0; i < 8; i++) {
    const batch = [`${i}a`.repeat(30), `${i}b`.repeat(i === 3 ? 3_000 : 7)];
    payloads.push(...batch);
    await log.append(open, ...batch);
    if (i === 5) {
      await log.run(open.close());
      open = await log.open({ segmentTargetBytes: 4 * BLOCK, preallocateBytes: 2 * BLOCK });
    }
  }
  log.kill();
  return { files: log.files(), payloads };
}

async function targetsOf(encrypted: boolean): Promise<readonly FuzzTarget[]> {
  const suffix = encrypted ? '-encrypted' : '';
  const sim = new SimLog(1, encrypted);
  const codec = new BlockCodec(DATABASE_ID, sim.keys);
  const { files, payloads } = await makeLog(sim);
  const segments = [...files].filter(([path]) => path.endsWith('.seg'));
  const [[firstPath, firstSegment] = []] = segments;
  if (firstPath === undefined || firstSegment === undefined) throw new Error('no segment');
  const id = segmentId(Number(/(\d+)\.seg$/.exec(firstPath)?.[1]));
  const first = decodeSegmentHeader(codec, firstSegment, id) as StoredSegmentHeader;
  const home = homeOf(first, codec);
  const keyCode: ErrorCode = encrypted ? 'KEY_MISSING' : 'KEY_REQUIRED';

  function checkKnown(records: readonly StoredRecord[]): void {
    for (const { lsn, payload } of records) {
      if (payload.toString() !== payloads[lsn - 1]) throw new Error(`wrong record lsn=${lsn}`);
    }
  }

  const headerTarget: FuzzTarget<StoredSegmentHeader | undefined> = {
    name: `segment-header${suffix}`,
    corpus: [firstSegment.subarray(0, SEGMENT_HEADER_BYTES)],
    codes: encrypted
      ? ['FORMAT_UNSUPPORTED', keyCode]
      : ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED', keyCode],
    reseal: (mutant, random) => resealBlock(DATABASE_ID, mutant, random, 0, 128),
    parse: (input) => decodeSegmentHeader(codec, input, id),
    check(header, _input, sealed) {
      if (header === undefined || (sealed && !encrypted)) return;
      if (!header.salt.equals(first.salt)) throw new Error('another header');
    },
  };

  const frameTarget: FuzzTarget<StoredRecord[] | undefined> = {
    name: `batch-frame${suffix}`,
    corpus: framesOf(firstSegment),
    codes: encrypted ? ['FORMAT_UNSUPPORTED', keyCode] : ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
    reseal: (mutant, random) => resealFrame(mutant, 0, random, mutant.length),
    parse(input) {
      const head = readFrameHead(input, 0, home, BLOCK);
      if (head === undefined || head.length > input.length) return undefined;
      const opened = openFrame(input, 0, home, BLOCK);
      return opened === undefined ? undefined : decodeRecords(opened, head, EVERYTHING);
    },
    check(records, input, sealed) {
      if (records === undefined) return;
      const size = records.reduce((sum, { payload }) => sum + payload.length, 0);
      if (size > input.length) throw new Error('more payload than input');
      for (const { lsn } of records) {
        if (!Number.isSafeInteger(lsn) || lsn < 0) throw new Error(`not an lsn: ${lsn}`);
      }
      if (!sealed || encrypted) checkKnown(records);
    },
  };

  /** Eight bytes say which segment the rest replaces. */
  const recoveryTarget: FuzzTarget<StoredRecord[]> = {
    name: `log-recovery${suffix}`,
    corpus: segments.map(([, bytes], index) => Buffer.concat([Buffer.alloc(8, index), bytes])),
    codes: encrypted
      ? ['CHECKSUM_MISMATCH', 'FORMAT_UNSUPPORTED', keyCode]
      : [
          'CHECKSUM_MISMATCH',
          'FILE_MISSING',
          'FORMAT_INVALID',
          'FORMAT_UNSUPPORTED',
          'LSN_GAP',
          keyCode,
        ],
    rareCodes: ['FILE_MISSING', 'LSN_GAP'],
    cost: 2,
    reseal: resealSegment,
    async parse(input) {
      const [path] = segments[(input[0] ?? 0) % segments.length] as [string, Buffer];
      const log = new SimLog(2, encrypted);
      log.restore(new Map([...files, [path, input.subarray(8)]]));
      const open = await log.open();
      const records = await log.replay(open);
      await log.run(open.close());
      return records;
    },
    check(records, _input, sealed) {
      if (!sealed || encrypted) checkKnown(records);
    },
    allowedBytes: 16 * 1024 * 1024,
  };
  return [headerTarget, frameTarget, recoveryTarget] as readonly FuzzTarget[];
}

function framesOf(segment: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = SEGMENT_HEADER_BYTES; at + BLOCK_HEADER_BYTES < segment.length; at += BLOCK) {
    if (!segment.subarray(at, at + 4).equals(MAGIC)) continue;
    // All of them pose as the first of the segment: only that place is asked for.
    const frame = segment.subarray(at, at + BLOCK_HEADER_BYTES + segment.readUInt32LE(at + 8));
    if (at === SEGMENT_HEADER_BYTES) frames.push(Buffer.from(frame));
  }
  return frames;
}

function resealFrame(bytes: Buffer, at: number, random: SeededRandom, end: number): Buffer {
  const body = at + BLOCK_HEADER_BYTES;
  if (body + 64 > end) return bytes;
  bytes.writeUInt32LE(crc32c(bytes.subarray(body, body + 60)), body + 60);
  return resealBlock(DATABASE_ID, bytes, random, at, end);
}

/** Header, frames and mostly the chain between them. */
function resealSegment(mutant: Buffer, random: SeededRandom): Buffer {
  const segment = mutant.subarray(8);
  resealBlock(DATABASE_ID, segment, random, 0, SEGMENT_HEADER_USED_BYTES);
  let previous = 32;
  for (let at = SEGMENT_HEADER_BYTES; at + 128 <= segment.length; at += BLOCK) {
    if (!segment.subarray(at, at + 4).equals(MAGIC)) continue;
    const end = at + BLOCK_HEADER_BYTES + segment.readUInt32LE(at + 8);
    if (end > segment.length) continue;
    if (random.chance(0.9)) segment.copy(segment, at + 104, previous, previous + 16);
    resealFrame(segment, at, random, end);
    previous = at + 32;
  }
  return mutant;
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...(await targetsOf(false)),
  ...(await targetsOf(true)),
];
