import type { Command } from '../command.ts';
import { DELETION_FLAGS, runDeletion } from '../deletion.ts';
import { NodeClient } from '../node-client.ts';

export const streamRemove: Command = {
  name: 'stream rm',
  summary: 'delete a stream and what is in it; forks keep what they inherited',
  positionals: [{ name: 'PATH', required: true }],
  flags: DELETION_FLAGS,
  async run(call) {
    const [path = ''] = call.arguments;
    const client = NodeClient.of(call);
    return runDeletion(call, {
      command: 'stream rm',
      target: path,
      alsoGone: 'everything in it',
      field: 'path',
      perform: () => client.stream(path, { method: 'DELETE' }),
    });
  },
};
