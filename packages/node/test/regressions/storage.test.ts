/** Faults other servers had between an append and the disk. */
import { rmSync, cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { filesOf, fingerprint, flipBit, readAt, usedBytes, writeAt } from '../data-directory.ts';
import { expectStatus, inParallel, OCTETS, readAll, request } from '../http-request.ts';
import { bytesRead, bytesWritten, hasProcessCounters } from '../process-counters.ts';
import { ServerProcess } from '../server-process.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

describe('torn tail', () => {
  const { blockBytes, sectorBytes } = LIMITS;
  // What a power cut may leave of the batch it came in the middle of: some sectors, in any order.
  const torn: [string, (sectors: number) => number[]][] = [
    ['without its first sector', () => [0]],
    ['without its last sector', (sectors) => [sectors - 1]],
    ['without a sector in the middle', (sectors) => [Math.floor(sectors / 2)]],
    ['of its first sector only', (sectors) => range(1, sectors)],
    ['of its last sector only', (sectors) => range(0, sectors - 1)],
    ['of nothing', (sectors) => range(0, sectors)],
  ];

  it.each(torn)(
    'a batch %s is cut, and the next append is kept',
    async (_name, lost) => {
      await using server = await ServerProcess.start();
      const url = server.stream('torn');
      await expectStatus(201, 'PUT', url, { headers: OCTETS });
      await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'one;' });
      const segment = activeSegment(server.dataDir as string);
      const begin = Math.ceil(usedBytes(segment) / blockBytes) * blockBytes;
      await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'two;'.repeat(1_500) });
      await server.kill();
      const sectors = Math.ceil((usedBytes(segment) - begin) / sectorBytes);
      expect(sectors).toBeGreaterThan(8);
      for (const sector of lost(sectors)) {
        writeAt(segment, begin + sector * sectorBytes, Buffer.alloc(sectorBytes));
      }

      await server.restart();
      expect((await readAll(url)).toString()).toBe('one;');
      await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'three;' });
      expect((await readAll(url)).toString()).toBe('one;three;');
      await server.kill();
      await server.restart();
      expect((await readAll(url)).toString()).toBe('one;three;');
    },
    30_000,
  );

  const rotten: [string, Buffer][] = [
    ['noise', Buffer.from(Array.from({ length: 1_500 }, (_, n) => (n * 197 + 13) % 256))],
    ['one byte', Buffer.from([1])],
    ['text that looks like stream bytes', Buffer.from('two;three;'.repeat(200))],
  ];

  it.each(rotten)(
    '%s where no torn write can put it is refused, not cut',
    async (_name, bytes) => {
      await using server = await ServerProcess.start();
      const url = server.stream('rotten');
      await expectStatus(201, 'PUT', url, { headers: OCTETS, body: 'one;' });
      await server.kill();
      const segment = activeSegment(server.dataDir as string);
      const end = Math.ceil(usedBytes(segment) / blockBytes) * blockBytes;
      writeAt(segment, end, bytes);
      await expect(server.restart()).rejects.toThrow('CHECKSUM_MISMATCH');
      expect(readAt(segment, end, bytes.length).equals(bytes)).toBe(true);
    },
    30_000,
  );
});

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

describe('many streams', () => {
  it('10 000 active streams take appends at once: no error, and each reads back whole', async () => {
    const STREAMS = 10_000;
    const ROUNDS = 3;
    const WIDTH = 128;
    await using server = await ServerProcess.start();
    const url = (index: number): string => server.stream(`many/${index}`);
    await inParallel(STREAMS, WIDTH, async (index) => {
      await expectStatus(201, 'PUT', url(index), { headers: OCTETS });
    });
    await inParallel(STREAMS * ROUNDS, WIDTH, async (n) => {
      const body = `${n % STREAMS}.${Math.floor(n / STREAMS)};`;
      await expectStatus(204, 'POST', url(n % STREAMS), { headers: OCTETS, body });
    });
    const check = (index: number) => async (): Promise<void> => {
      const rounds = (await readAll(url(index))).toString().split(';').slice(0, -1);
      const expected = Array.from({ length: ROUNDS }, (_, round) => `${index}.${round}`);
      expect(rounds.sort()).toEqual(expected);
    };
    await inParallel(STREAMS, WIDTH, (index) => check(index)());
    await server.kill();
    await server.restart();
    await inParallel(STREAMS, WIDTH, (index) => check(index)());
  }, 120_000);
});

// Bytes read and written are counted by /proc.
describe.skipIf(!hasProcessCounters)('work of a read', () => {
  it('a read of the last bytes reads no more from a long stream than from a short one', async () => {
    const READS = 50;
    const BYTES_PER_READ = 512 * KIB;
    await using server = await ServerProcess.start();
    const piece = Buffer.alloc(1 * MIB, 'x');
    const fill = async (name: string, pieces: number): Promise<string> => {
      const url = server.stream(name);
      const created = await expectStatus(201, 'PUT', url, { headers: OCTETS });
      let before = created.nextOffset;
      for (let n = 0; n < pieces; n++) {
        before = (await expectStatus(204, 'POST', url, { headers: OCTETS, body: piece }))
          .nextOffset;
      }
      await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'y'.repeat(100) });
      return `${url}?offset=${before}`;
    };
    const short = await fill('short', 1);
    const long = await fill('long', 96);
    const cost = async (url: string): Promise<number> => {
      const before = bytesRead(server.pid);
      for (let n = 0; n < READS; n++) {
        expect((await expectStatus(200, 'GET', url)).body.length).toBe(100);
      }
      return bytesRead(server.pid) - before;
    };
    // Warm, as it was written; then cold, out of recovery.
    for (const state of ['warm', 'cold']) {
      const [least, most] = [await cost(short), await cost(long)];
      console.log(`tail reads, ${state}: ${least / READS} and ${most / READS} bytes read each`);
      expect(most / READS).toBeLessThan(BYTES_PER_READ);
      await server.stop();
      await server.restart();
    }
  }, 60_000);

  it('a GET writes nothing to disk, with and without a time to live', async () => {
    const READS = 1_000;
    await using server = await ServerProcess.start();
    const plain = server.stream('plain');
    const sliding = server.stream('sliding');
    await expectStatus(201, 'PUT', plain, { headers: OCTETS, body: 'body' });
    const ttl = { ...OCTETS, 'stream-ttl': '3600' };
    await expectStatus(201, 'PUT', sliding, { headers: ttl, body: 'body' });

    const read = async (url: string): Promise<void> => {
      await inParallel(READS, 16, async () => {
        expect((await expectStatus(200, 'GET', `${url}?offset=-1`)).text).toBe('body');
      });
    };
    await read(plain); // First-time work of the process is not what a GET costs.
    for (const url of [plain, sliding]) {
      const files = fingerprint(server.dataDir as string);
      const written = bytesWritten(server.pid);
      await read(url);
      expect(fingerprint(server.dataDir as string)).toBe(files);
      expect(bytesWritten(server.pid) - written).toBe(0);
    }
  }, 30_000);
});

describe('directory', () => {
  it('a second server on the same directory is refused, and the first goes on', async () => {
    await using server = await ServerProcess.start();
    const url = server.stream('mine');
    await expectStatus(201, 'PUT', url, { headers: OCTETS, body: 'one;' });
    const second = ServerProcess.start({ dataDir: server.dataDir as string });
    await expect(second).rejects.toThrow(/DIRECTORY_LOCKED|locked|in use/i);
    await expectStatus(204, 'POST', url, { headers: OCTETS, body: 'two;' });
    expect((await readAll(url)).toString()).toBe('one;two;');
  }, 30_000);
});

describe('damage', () => {
  /** Big enough to leave memory: rests in log and data files, with several streams. */
  async function stored(): Promise<{ template: string; expected: Map<string, string> }> {
    const template = mkdtempSync(path.join(tmpdir(), 'holdfast-damage-'));
    const expected = new Map<string, string>();
    const server = await ServerProcess.start({ dataDir: template });
    try {
      for (let index = 0; index < 6; index++) {
        const name = `kept/${index}`;
        const parts = Array.from({ length: 8 }, (_, n) => `${index}.${n}:`.repeat(4_000));
        await expectStatus(201, 'PUT', server.stream(name), { headers: OCTETS });
        for (const body of parts) {
          await expectStatus(204, 'POST', server.stream(name), { headers: OCTETS, body });
        }
        expected.set(name, parts.join(''));
      }
      await server.stop();
    } finally {
      await server.dispose();
    }
    return { template, expected };
  }

  /** Refused to start, an error of the server, or everything: never less with a 200. */
  async function judge(directory: string, expected: Map<string, string>): Promise<string> {
    const server = await ServerProcess.start({ dataDir: directory }).catch((error: Error) => error);
    if (server instanceof Error) {
      if (!/CHECKSUM_MISMATCH|FORMAT_|FILE_MISSING|LSN_GAP/.test(server.message)) throw server;
      return 'refused';
    }
    try {
      let faults = 0;
      for (const [name, text] of expected) {
        const answer = await request('GET', `${server.stream(name)}?offset=-1`).catch(
          () => undefined,
        );
        if (answer === undefined || answer.status >= 500) faults++;
        else if (answer.status !== 200 || answer.text !== text) {
          throw new Error(`${name}: ${answer.status} with ${answer.text.length} bytes`);
        }
      }
      return faults === 0 ? 'whole' : 'reported';
    } finally {
      await server.dispose();
    }
  }

  it('a flipped bit or a missing file never gives less data with a 200', async () => {
    const { template, expected } = await stored();
    const seen: string[] = [];
    try {
      const data = filesOf(template).filter((file) => usedBytes(file.path) > 0);
      expect(data.length).toBeGreaterThan(0);
      const damage: [string, (directory: string) => void][] = [];
      for (const file of data) {
        const used = usedBytes(file.path);
        for (const share of [0, 0.5]) {
          const position = Math.floor(used * share);
          const at = (directory: string): string => path.join(directory, file.name);
          damage.push([`${file.name}@${position}`, (dir) => flipBit(at(dir), position)]);
        }
        const gone = (dir: string): void => rmSync(path.join(dir, file.name));
        damage.push([`${file.name} removed`, gone]);
      }
      for (const [what, apply] of damage) {
        const directory = mkdtempSync(path.join(tmpdir(), 'holdfast-damaged-'));
        cpSync(template, directory, { recursive: true });
        apply(directory);
        try {
          seen.push(`${what}: ${await judge(directory, expected)}`);
        } catch (error) {
          throw new Error(`after damage to ${what}: ${String(error)}`, { cause: error });
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      }
    } finally {
      rmSync(template, { recursive: true, force: true });
    }
    console.log(`damage:\n  ${seen.join('\n  ')}`);
    // The middle of some file holds stream bytes: at least one damage must have been noticed.
    expect(seen.some((line) => !line.endsWith(': whole'))).toBe(true);
  }, 120_000);
});

/** The log file written last. */
function activeSegment(directory: string): string {
  const segments = filesOf(directory).filter((file) => /(^|\/)(log|wal)\b/.test(file.name));
  const newest = segments.toSorted((a, b) => b.modifiedMs - a.modifiedMs)[0];
  if (newest === undefined) throw new Error(`no log in ${fingerprint(directory)}`);
  return newest.path;
}
