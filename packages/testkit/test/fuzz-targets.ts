/** The parsers of core, which stand under all the others. */
import { createSecretKey } from 'node:crypto';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_TYPES,
  BlockCodec,
  ByteReader,
  ByteWriter,
  KeyRing,
} from '@holdfast/core';
import { type FuzzTarget, resealBlock, resealHeader, SeededRandom } from '@holdfast/testkit';

const DATABASE_ID = Buffer.alloc(16, 7);
const codec = new BlockCodec(DATABASE_ID);
const PLACE = { type: BLOCK_TYPES.tableData, fileId: 3, position: 8192 };
const payloads = [Buffer.alloc(0), Buffer.from('payload'), Buffer.alloc(300, 0xab)];
const blocks = payloads.map((payload) => codec.encodeNew(payload, PLACE));
const keys = new KeyRing([createSecretKey(Buffer.alloc(32, 7))], new SeededRandom(1));
const encrypting = new BlockCodec(DATABASE_ID, keys);

/** Eight bytes say what to read from the rest. */
const readProgram = (input: Buffer): Buffer[] => {
  const reader = new ByteReader(input.subarray(8));
  const views: Buffer[] = [];
  for (const operation of input.subarray(0, 8)) {
    if (operation % 7 === 0) reader.u8();
    else if (operation % 7 === 1) reader.u16();
    else if (operation % 7 === 2) reader.u32();
    else if (operation % 7 === 3) assertSafe(reader.u64());
    else if (operation % 7 === 4) assertSafe(reader.varint());
    else if (operation % 7 === 5) views.push(reader.bytes());
    else views.push(Buffer.from(reader.string()));
  }
  if (input.length % 2 === 0) reader.end();
  return views;
};

const bytesTarget: FuzzTarget<Buffer[]> = {
  name: 'bytes',
  corpus: [
    Buffer.concat([
      Buffer.from([0, 1, 2, 3, 4, 5, 6, 5]),
      new ByteWriter()
        .u8(1)
        .u16(2)
        .u32(3)
        .u64(2 ** 53 - 1)
        .varint(2 ** 53 - 1)
        .bytes(Buffer.from('abc'))
        .string('äöü')
        .bytes(Buffer.alloc(200))
        .finish(),
    ]),
    Buffer.concat([Buffer.alloc(8, 4), new ByteWriter().varint(300).finish(), Buffer.alloc(10)]),
  ],
  codes: ['FORMAT_INVALID'],
  parse: readProgram,
  check(views, input) {
    const size = views.reduce((sum, view) => sum + view.length, 0);
    // U+FFFD stands for one bad byte and takes three.
    if (size > 3 * input.length) throw new Error(`read ${size} of ${input.length} bytes`);
  },
};

const blockTarget: FuzzTarget<Buffer> = {
  name: 'block',
  corpus: blocks,
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_UNSUPPORTED'],
  reseal: (mutant, random) => resealBlock(DATABASE_ID, mutant, random),
  parse: (input) => codec.decode(input, 0, { ...PLACE, path: 'x' }),
  check(payload, input, sealed) {
    if (payload.length > input.length - BLOCK_HEADER_BYTES) throw new Error('more than there is');
    if (sealed) return;
    if (!payloads.some((each) => each.equals(payload))) throw new Error('another payload');
  },
};

/** Whoever lacks the key may make the checksums right, and still gets nothing accepted. */
const encryptedBlockTarget: FuzzTarget<Buffer> = {
  name: 'block-encrypted',
  corpus: payloads.map((payload) => encrypting.encodeNew(payload, PLACE)),
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_UNSUPPORTED', 'KEY_MISSING'],
  reseal: (mutant) => resealHeader(DATABASE_ID, mutant),
  parse: (input) => encrypting.decode(input, 0, { ...PLACE, path: 'x' }),
  check(payload) {
    if (!payloads.some((each) => each.equals(payload))) throw new Error('another payload');
  },
};

function assertSafe(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`not a safe integer: ${value}`);
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [bytesTarget, blockTarget, encryptedBlockTarget];
