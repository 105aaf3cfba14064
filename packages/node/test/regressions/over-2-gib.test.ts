/** A stream longer than 2^31 bytes, the length at which whole-file reads give up. */
import { describe, expect, it } from 'vitest';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expectStatus, OCTETS } from '../http-request.ts';
import { ServerProcess } from '../server-process.ts';

const MIB = 1024 * 1024;
const APPEND_BYTES = 12 * MIB;
const APPENDS = 180; // 2.1 GiB
const STAMP_EVERY_BYTES = 4 * MIB;
const WRITERS = 4;
/** Log and data files may both hold the bytes for a while. */
const NEEDED_BYTES = 6 * 1024 * MIB;

const { bavail, bsize } = statfsSync(tmpdir());
const skip = bavail * bsize < NEEDED_BYTES ? `needs ${NEEDED_BYTES} bytes free` : undefined;

describe(`a stream over 2 GiB${skip === undefined ? '' : ` (skipped: ${skip})`}`, () => {
  // Needs room on the disk; the title of the group says how much is missing.
  it.skipIf(skip !== undefined)(
    'is appended to, read and recovered whole',
    async () => {
      await using server = await ServerProcess.start();
      const url = server.stream('long');
      const created = await expectStatus(201, 'PUT', url, { headers: OCTETS });

      const offsets: string[] = [created.nextOffset];
      let next = 0;
      // Appends of one stream share commits; which body comes where is told by its stamps.
      const writer = async (): Promise<void> => {
        const body = Buffer.alloc(APPEND_BYTES, 0x5a);
        while (next < APPENDS) {
          const index = next++;
          for (let at = 0; at < APPEND_BYTES; at += STAMP_EVERY_BYTES)
            body.writeUInt32BE(index, at);
          const put = await expectStatus(204, 'POST', url, {
            headers: OCTETS,
            body,
            timeoutMs: 60_000,
          });
          offsets.push(put.nextOffset);
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, writer));
      offsets.sort();
      const tail = offsets.at(-1) as string;
      const total = APPENDS * APPEND_BYTES;
      expect(total).toBeGreaterThan(2 ** 31);

      for (const state of ['as written', 'recovered']) {
        expect([state, (await expectStatus(200, 'HEAD', url)).nextOffset]).toEqual([state, tail]);

        const last = await expectStatus(200, 'GET', `${url}?offset=${offsets.at(-2)}`);
        expect(last.body.length).toBe(APPEND_BYTES);
        expect([last.nextOffset, last.headers['stream-up-to-date']]).toEqual([tail, 'true']);

        const middle = await expectStatus(200, 'GET', `${url}?offset=${offsets[APPENDS / 2]}`);
        expect(middle.body.length).toBeGreaterThanOrEqual(APPEND_BYTES);
        expect(middle.headers['stream-up-to-date']).toBeUndefined();
        expect(middle.nextOffset > (offsets[APPENDS / 2] as string)).toBe(true);

        await server.kill();
        await server.restart();
      }
      const seen = await countCatchUp(url);
      expect(seen.bytes).toBe(total);
      expect(seen.indexes.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: APPENDS }, (_, index) => index),
      );
      await expectStatus(204, 'DELETE', url);
    },
    120_000,
  );
});

/** Reads all of it, a chunk at a time, and forgets the bytes. */
async function countCatchUp(url: string): Promise<{ bytes: number; indexes: number[] }> {
  const indexes: number[] = [];
  let bytes = 0;
  for (let at = '-1'; ;) {
    const chunk = await expectStatus(200, 'GET', `${url}?offset=${at}`);
    for (let within = 0; within < chunk.body.length; within += APPEND_BYTES) {
      const index = chunk.body.readUInt32BE(within);
      indexes.push(index);
      for (let stamp = within; stamp < within + APPEND_BYTES; stamp += STAMP_EVERY_BYTES) {
        if (chunk.body.readUInt32BE(stamp) !== index) throw new Error(`mixed append at ${at}`);
      }
    }
    bytes += chunk.body.length;
    if (chunk.headers['stream-up-to-date'] === 'true') return { bytes, indexes };
    at = chunk.nextOffset;
  }
}
