import type { BackupStatus } from '@holdfast/node';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { factLines } from './snapshot-text.ts';

export const snapshotStatus: Command = {
  name: 'snapshot status',
  summary: 'show how far the backup of a running node is, and what went wrong last',
  positionals: [],
  flags: SERVER_FLAGS,
  async run(call) {
    const status = await askNode<BackupStatus>(call, { method: 'GET', path: ['backup'] });
    const { archive, snapshots, drills } = status;
    if (call.json) await call.io.out(`${JSON.stringify(status)}\n`);
    else {
      await call.io.out(
        factLines({
          place: status.place,
          repository: status.repository,
          state: archive.state,
          archivedLsn: archive.archivedLsn,
          lagSeconds: archive.lagSeconds,
          lagRecords: archive.lagRecords,
          archiveError: archive.lastError?.message,
          lastSnapshot: snapshots.lastId,
          lastSnapshotAt: snapshots.lastAt,
          snapshotError: snapshots.lastError?.message,
          underWay: snapshots.underWay,
          lastDrillAt: drills.lastAt,
          lastDrillOk: drills.lastOk,
          lastDrillLsn: drills.lastLsn,
          drillProblems: drills.problems?.join('; '),
        }),
      );
    }
    return EXIT.ok;
  },
};
