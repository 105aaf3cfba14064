import { askNode } from '../admin-work.ts';
import type { Command } from '../command.ts';
import { DELETION_FLAGS, runDeletion } from '../deletion.ts';

export const snapshotRemove: Command = {
  name: 'snapshot rm',
  summary: 'delete a snapshot; what only it needs goes with the next prune',
  positionals: [{ name: 'ID', required: true }],
  flags: DELETION_FLAGS,
  async run(call) {
    const [id = ''] = call.arguments;
    return runDeletion(call, {
      command: 'snapshot rm',
      target: id,
      alsoGone: 'every point that only it can be restored to',
      field: 'id',
      perform: () => askNode(call, { method: 'DELETE', path: ['snapshots', id] }),
    });
  },
};
