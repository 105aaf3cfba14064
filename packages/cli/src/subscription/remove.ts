import type { Command } from '../command.ts';
import { DELETION_FLAGS, runDeletion } from '../deletion.ts';
import { NodeClient } from '../node-client.ts';

export const subscriptionRemove: Command = {
  name: 'subscription rm',
  summary: 'delete a subscription and its cursors; streams stay',
  positionals: [{ name: 'ID', required: true }],
  flags: DELETION_FLAGS,
  async run(call) {
    const [id = ''] = call.arguments;
    const client = NodeClient.of(call);
    return runDeletion(call, {
      command: 'subscription rm',
      target: id,
      alsoGone: 'how far it had come',
      field: 'id',
      perform: () => client.subscription(id, { method: 'DELETE' }),
    });
  },
};
