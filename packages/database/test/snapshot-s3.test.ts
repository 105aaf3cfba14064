/** Snapshots in a bucket: what the client of S3 makes of them, with a server that fails at times. */
import { NodeClock, NodeRandom } from '@holdfast/core';
import { openS3ObjectStore, RetryingObjectStore } from '@holdfast/objects';
import { FakeS3Server, SimFs } from '@holdfast/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DatabaseSnapshots } from '../src/backup/snapshot/database-snapshots.ts';
import { openDatabase } from '../src/index.ts';
import { RowEngine } from './row-engine.ts';
import { fill } from './snapshot-fixtures.ts';

const seams = { clock: new NodeClock(), random: new NodeRandom() };
let server: FakeS3Server;

beforeEach(async () => {
  server = await FakeS3Server.start();
});
afterEach(() => server.stop());

describe('snapshots in a bucket', () => {
  it('are made, verified, kept small, deleted and swept, through failures of every kind', async () => {
    const { bucket, endpoint, identity: credentials } = server;
    const settings = { bucket, endpoint, credentials, silenceMs: 1_500 };
    const objects = new RetryingObjectStore(await openS3ObjectStore(settings, seams), seams, {
      retryMs: 2,
      maxRetryMs: 10,
    });
    const engine = new RowEngine();
    const database = await openDatabase(
      { fileSystem: new SimFs(), ...seams, objects },
      {
        ...{ dir: '/data', shardCount: 2, scrubIntervalMs: 0, diskReserveBytes: 0 },
        backup: { archiveIntervalMs: 600_000 },
      },
      [engine],
    );
    const snapshots = database.snapshots as DatabaseSnapshots;
    await fill(engine, 0, 30, 20_000);
    const isPart = ({ key }: { key: string }): boolean => key.includes('/parts/');
    for (const kind of ['slow-down', 'internal-error-after', 'reset', 'reset-after'] as const) {
      server.fail({ kind, when: (call) => isPart(call) && call.method === 'PUT' });
    }
    const one = await snapshots.create();
    expect(server.faultsLeft).toBe(0);
    await fill(engine, 30, 3, 20_000);
    const two = await snapshots.create();
    expect(two.uploadedBytes).toBeLessThan(two.totalBytes / 2);
    for (const kind of ['truncate', 'reset', 'slow-down'] as const) {
      server.fail({ kind, when: (call) => isPart(call) && call.method === 'GET' });
    }
    for (const { snapshotId } of [one, two]) {
      expect((await snapshots.verify(snapshotId)).problems).toEqual([]);
    }
    expect(server.faultsLeft).toBe(0);
    const report = await snapshots.prune({ keepLast: 1 }, { graceMs: 0 });
    expect(report.deleted).toEqual([one.snapshotId]);
    expect((await snapshots.verify(two.snapshotId)).problems).toEqual([]);
    expect((await snapshots.list()).snapshots).toEqual([two]);
    await database.close();
    await objects.close();
  }, 30_000);
});
