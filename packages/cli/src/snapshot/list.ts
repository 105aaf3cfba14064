import type { SnapshotListing } from '@holdfast/node';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { FROM_FLAGS, withPlace } from './from-place.ts';
import { snapshotRow } from './snapshot-text.ts';

export const snapshotList: Command = {
  name: 'snapshot ls',
  summary: 'list snapshots, the newest first',
  positionals: [],
  flags: { ...FROM_FLAGS, ...SERVER_FLAGS },
  notes: ['Ends with 7 when one is there that cannot be read.'],
  async run(call) {
    const { io, json, values } = call;
    const place = values.text('from');
    const { snapshots, unreadable } =
      place === undefined
        ? await askNode<SnapshotListing>(call, { method: 'GET', path: ['snapshots'] })
        : await withPlace(call, place, (backup, { signal }) => backup.list({ signal }));
    for (const snapshot of snapshots) {
      await io.out(json ? `${JSON.stringify(snapshot)}\n` : snapshotRow(snapshot));
    }
    for (const one of unreadable) {
      if (json) await io.out(`${JSON.stringify(one)}\n`);
      else io.err(`unreadable: ${one.id}: ${one.problem.message} [${one.problem.code}]\n`);
    }
    return unreadable.length === 0 ? EXIT.ok : EXIT.integrity;
  },
};
