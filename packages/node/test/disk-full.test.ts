/** A disk that fills up and is emptied again under a running server: a small tmpfs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { expectStatus, OCTETS, readAll, request } from './http-request.ts';
import { ServerProcess } from './server-process.ts';

const MIB = 1024 * 1024;
/** Room for the reserve of the server (64 MiB) and some appends. */
const DISK_MIB = 200;
const APPEND_BYTES = 1 * MIB;
/** Well below the reserve of the server. */
const LEFT_FREE_BYTES = 16 * MIB;
/** Times that room may come back in the midst of the test. */
const MOST_ROUNDS = 5;
const RECOVERS_WITHIN_MS = 15_000;

const mountPoint = mkdtempSync(path.join(tmpdir(), 'holdfast-disk-'));
const refused = mount();

function mount(): string | undefined {
  if (process.platform !== 'linux') return 'tmpfs is a thing of Linux';
  try {
    const options = ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', mountPoint];
    execFileSync('mount', options, { stdio: 'pipe' });
    return undefined;
  } catch {
    return 'mounting a tmpfs is not permitted here';
  }
}

afterAll(() => {
  if (refused === undefined) execFileSync('umount', [mountPoint]);
  rmSync(mountPoint, { recursive: true, force: true });
});

describe(`disk full${refused === undefined ? '' : ` (skipped: ${refused})`}`, () => {
  // Mounting a small file system needs root; the title of the group says what was refused.
  it.skipIf(refused !== undefined)(
    'appends get 507, reads and deletes go on, and appends resume by themselves when there is room',
    async () => {
      const dataDir = path.join(mountPoint, 'data');
      mkdirSync(dataDir);
      await using server = await ServerProcess.start({ dataDir });
      const url = server.stream('filling');
      const spare = server.stream('spare');
      await expectStatus(201, 'PUT', url, { headers: OCTETS });
      await expectStatus(201, 'PUT', spare, { headers: OCTETS, body: 'spare' });

      // Somebody else takes space too: it is what comes back later.
      const ballast = path.join(mountPoint, 'ballast');
      writeFileSync(ballast, Buffer.alloc(60 * MIB, 1));

      let acknowledged = 0;
      const full = await appendUntilRefused(url, (index) => (acknowledged = index + 1));
      expect([full.status, full.code]).toEqual([507, 'DISK_FULL']);
      expect(Number(full.headers['retry-after'])).toBeGreaterThan(0);
      expect(acknowledged).toBeGreaterThan(0);

      // Refused is refused: nothing of it shows, and everything else is served.
      expect(await countWhole(url)).toBe(acknowledged);
      expect((await readAll(spare)).toString()).toBe('spare');
      // A checkpoint may have made room in the meantime: then it is filled again.
      for (let round = 0; ; round++) {
        const put = await request('PUT', server.stream(`new/${round}`), { headers: OCTETS });
        if (put.status === 507) break;
        expect([put.status, round < MOST_ROUNDS]).toEqual([201, true]);
        await appendUntilRefused(url, (index) => (acknowledged = index + 1), acknowledged);
      }
      await expectStatus(204, 'DELETE', spare);
      await expectStatus(404, 'GET', spare);

      rmSync(ballast);
      const resumed = await retryWhileFull(url, acknowledged);
      expect(resumed.status).toBe(204);
      acknowledged++;
      expect(await countWhole(url)).toBe(acknowledged);

      await server.kill();
      await server.restart();
      expect(await countWhole(url)).toBe(acknowledged);
      await expectStatus(404, 'GET', spare);
    },
    90_000,
  );

  // Mounting a small file system needs root; the title of the group says what was refused.
  it.skipIf(refused !== undefined)(
    'killed while the disk is full, twice: it starts without room and has all it acknowledged',
    async () => {
      const dataDir = path.join(mountPoint, 'killed');
      mkdirSync(dataDir);
      await using server = await ServerProcess.start({ dataDir });
      const url = server.stream('filling');
      const spare = server.stream('spare');
      await expectStatus(201, 'PUT', url, { headers: OCTETS });
      await expectStatus(201, 'PUT', spare, { headers: OCTETS, body: 'spare' });
      const ballast = path.join(mountPoint, 'ballast');
      writeFileSync(ballast, Buffer.alloc(90 * MIB, 1));
      let acknowledged = 0;
      await appendUntilRefused(url, (index) => (acknowledged = index + 1));
      for (let kill = 0; kill < 2; kill++) {
        // More that is refused, and a delete that is not, are under way at the kill.
        const refused = [0, 1, 2].map(() =>
          request('POST', url, { headers: OCTETS, body: stamped(acknowledged) }).catch(() => 'cut'),
        );
        const deleted = request('DELETE', spare).catch(() => undefined);
        if (kill === 1) expect([204, 404]).toContain((await deleted)?.status);
        await server.kill();
        await Promise.all(refused);
        await server.restart();
        expect(await countWhole(url)).toBe(acknowledged);
      }
      await expectStatus(404, 'GET', spare);
      rmSync(ballast);
      expect((await retryWhileFull(url, acknowledged)).status).toBe(204);
      await server.kill();
      await server.restart();
      expect(await countWhole(url)).toBe(acknowledged + 1);
      rmSync(dataDir, { recursive: true });
    },
    90_000,
  );

  // Mounting a small file system needs root; the title of the group says what was refused.
  it.skipIf(refused !== undefined)(
    'a server starts on a disk with less room than its reserve, and serves',
    async () => {
      const dataDir = path.join(mountPoint, 'second');
      mkdirSync(dataDir);
      await using server = await ServerProcess.start({ dataDir });
      const url = server.stream('kept');
      await expectStatus(201, 'PUT', url, { headers: OCTETS, body: 'kept' });
      await server.kill();
      // Less is free than the server keeps in reserve, as after somebody else filled the disk.
      const ballast = path.join(mountPoint, 'ballast');
      const { bavail, bsize } = statfsSync(mountPoint);
      writeFileSync(ballast, Buffer.alloc(bavail * bsize - LEFT_FREE_BYTES, 1));
      await server.restart();
      expect((await readAll(url)).toString()).toBe('kept');
      const answer = await request('POST', url, { headers: OCTETS, body: 'more' });
      expect(answer.status).toBe(507);
      rmSync(ballast);
      expect((await retryWhileFull(url, 0)).status).toBe(204);
    },
    60_000,
  );
});

async function appendUntilRefused(
  url: string,
  acknowledged: (index: number) => void,
  first = 0,
): ReturnType<typeof request> {
  for (let index = first; index < first + DISK_MIB; index++) {
    const answer = await request('POST', url, { headers: OCTETS, body: stamped(index) });
    if (answer.status !== 204) return answer;
    acknowledged(index);
  }
  throw new Error('the disk took more than it has');
}

async function retryWhileFull(url: string, index: number): ReturnType<typeof request> {
  const deadline = performance.now() + RECOVERS_WITHIN_MS;
  for (;;) {
    const answer = await request('POST', url, { headers: OCTETS, body: stamped(index) });
    if (answer.status !== 507 || performance.now() > deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function stamped(index: number): Buffer {
  const body = Buffer.alloc(APPEND_BYTES, 0x66);
  body.writeUInt32BE(index, 0);
  body.writeUInt32BE(index, APPEND_BYTES - 4);
  return body;
}

/** Number of appends in the stream; throws unless each is whole and in its place. */
async function countWhole(url: string): Promise<number> {
  const bytes = await readAll(url);
  const count = bytes.length / APPEND_BYTES;
  for (let index = 0; index < count; index++) {
    const at = index * APPEND_BYTES;
    const whole =
      bytes.readUInt32BE(at) === index && bytes.readUInt32BE(at + APPEND_BYTES - 4) === index;
    if (!whole) throw new Error(`append ${index} is not where it was acknowledged`);
  }
  return count;
}
