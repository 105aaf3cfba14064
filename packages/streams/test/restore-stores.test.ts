/**
 * The same repository in each kind of object store, restored to a real disk: files, and a real S3
 * server where it is installed (`npm run s3-server -- install`).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecretKey } from 'node:crypto';
import { KeyRing, NodeClock, NodeFileSystem, NodeRandom, SILENT } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import {
  type ObjectStore,
  openFsObjectStore,
  openS3ObjectStore,
  readObject,
  RetryingObjectStore,
} from '@holdfast/objects';
import { findRealS3Server, RealS3Server } from '@holdfast/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStreamEngine } from '../src/stream-engine.ts';
import { messagesOf, recordHistory, type RestoreHistory } from './restore-history.ts';
import { expectRestored } from './restored-streams.ts';

const HOW = 'no S3 server here: npm run s3-server -- install';
const seams = { clock: new NodeClock(), random: new NodeRandom() };
const program = findRealS3Server();
const MAX_OBJECT_BYTES = 1 << 26;

let history: RestoreHistory;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-restore-'));
  const keys = new KeyRing([createSecretKey(Buffer.alloc(32, 3))], seams.random);
  history = await recordHistory({ seed: 21, commits: 120, keys });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function copyTo(store: ObjectStore): Promise<void> {
  let after: string | undefined;
  do {
    const page = await history.store.list({ after });
    for (const { key } of page.objects) {
      await store.put(key, await readObject(history.store, key, { maxBytes: MAX_OBJECT_BYTES }));
    }
    after = page.after;
  } while (after !== undefined);
}

/** Restores at several LSNs; from the last one life goes on, in the same repository. */
async function expectRestores(store: ObjectStore, name: string): Promise<void> {
  await copyTo(store);
  const fileSystem = new NodeFileSystem();
  const { keys, lastLsn, states } = history;
  const step = Math.floor(lastLsn / 4);
  for (let lsn = 1; lsn <= lastLsn; lsn += step) {
    const state = states.get(lsn);
    if (state === undefined) throw new Error('every LSN has a state');
    const into = join(folder, `${name}-${lsn}`);
    await expectRestored({ store, keys }, lsn, state, { fileSystem, into });
  }
  const into = join(folder, `${name}-goes-on`);
  const middle = lastLsn - step;
  const state = states.get(middle);
  if (state === undefined) throw new Error('every LSN has a state');
  await expectRestored({ store, keys }, middle, state, { fileSystem, into });
  const engine = createStreamEngine({ ...seams, logger: SILENT });
  const components = { ...seams, fileSystem, objects: store, ...(keys && { keys }) };
  const settings = { dir: into, diskReserveBytes: 0 };
  const database = await openDatabase(components, settings, [engine]);
  await engine.create({ path: 'second/life', contentType: 'text/plain', closed: false });
  await engine.append({
    path: 'second/life',
    close: false,
    contentType: 'text/plain',
    messages: () => messagesOf(['after the restore']),
  });
  await database.archive?.flush();
  await database.snapshots?.create({});
  const lsn = database.appliedLsn;
  engine.close();
  await database.close();
  expect(lsn).toBe(middle + 2);
  // The history goes on from there: what was before it is as it was, what was behind it is gone.
  await expectRestored({ store, keys }, middle, state, {
    fileSystem,
    into: join(folder, `${name}-again`),
  });
  const last = join(folder, `${name}-last`);
  await expect(
    expectRestored({ store, keys }, middle + 3, state, { fileSystem, into: last }),
  ).rejects.toMatchObject({ code: 'RESTORE_TARGET_UNREACHABLE' });
}

it('from files', async () => {
  const files = { ...seams, fileSystem: new NodeFileSystem() };
  const store = await openFsObjectStore({ directory: join(folder, 'objects') }, files);
  await expectRestores(store, 'fs');
  await store.close();
}, 60_000);

it('the real S3 server is installed wherever CI could have it', () => {
  const { CI, HOLDFAST_WITHOUT_S3_SERVER } = process.env;
  const needed = CI !== undefined && HOLDFAST_WITHOUT_S3_SERVER === undefined;
  expect(program !== undefined || !needed, HOW).toBe(true);
});

// Skipped only where the server is not installed, which is said above and is an error in CI.
describe.skipIf(program === undefined)('from a real S3 server', () => {
  it('every restore is exact', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-restore-s3-'));
    const server = await RealS3Server.start({ program: program ?? '', directory });
    try {
      const { bucket, endpoint, region, credentials } = server;
      const place = { bucket, endpoint, region, credentials, prefix: 'backups/of-streams' };
      const store = new RetryingObjectStore(await openS3ObjectStore(place, seams), seams);
      await expectRestores(store, 's3');
      await store.close();
    } finally {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    }
  }, 120_000);
});
