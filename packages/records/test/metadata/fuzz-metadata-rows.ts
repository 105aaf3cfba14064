/** The rows of what a peer wants of records, for the fuzzing of parsers. */
import { crc32c } from '@holdfast/core';
import type { FuzzTarget } from '@holdfast/testkit';
import { isDeepStrictEqual } from 'node:util';
import { SubkeySet } from '../../src/index.ts';
import { PENDING_ROWS, WATCH_ROWS } from '../../src/metadata/metadata-rows.ts';
import { descriptorOf } from '../store/made-records.ts';

const KEY = `q-${descriptorOf(0).id}`;
const SOME = SubkeySet.of(0, 1, 2, 9, 1023);
const BARE = { subkeys: SOME, count: undefined, expiresAtMs: undefined };

/** A byte tells which row it is. */
function again(input: Buffer): Buffer {
  const row = input.subarray(1);
  return ((input[0] ?? 0) & 1) === 0
    ? PENDING_ROWS.encode(KEY, PENDING_ROWS.decode(KEY, row))
    : WATCH_ROWS.encode(KEY, WATCH_ROWS.decode(KEY, row));
}

export const metadataRowTarget: FuzzTarget = {
  name: 'record-metadata-rows',
  corpus: [
    Buffer.concat([Buffer.of(0), PENDING_ROWS.encode(KEY, SOME)]),
    Buffer.concat([Buffer.of(1), WATCH_ROWS.encode(KEY, BARE)]),
    Buffer.concat([
      Buffer.of(1),
      WATCH_ROWS.encode(KEY, { ...BARE, count: 300, expiresAtMs: 1_800_000_000_000 }),
    ]),
  ],
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  reseal(mutant) {
    const sealed = Buffer.from(mutant);
    if (sealed.length < 6) return sealed;
    const sum = crc32c(sealed.subarray(1, -4), crc32c(Buffer.from(KEY)));
    sealed.writeUInt32LE(sum, sealed.length - 4);
    return sealed;
  },
  parse: again,
  check(encoded, input) {
    // What is encoded anew is decoded again; numbers may have had longer bytes.
    const head = Buffer.of(input[0] ?? 0);
    if (!isDeepStrictEqual(again(Buffer.concat([head, encoded as Buffer])), encoded)) {
      throw new Error('it is another row');
    }
  },
};
