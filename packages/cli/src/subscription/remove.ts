import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { StreamClient } from '../stream-client.ts';

export const subscriptionRemove: Command = {
  name: 'subscription rm',
  summary: 'delete a subscription and its cursors; streams stay',
  positionals: [{ name: 'ID', required: true }],
  flags: {
    force: { type: 'boolean', summary: 'do not ask; needed when there is no terminal to ask on' },
    ...SERVER_FLAGS,
  },
  async run(call) {
    const {
      io,
      arguments: [id = ''],
      values,
      json,
    } = call;
    const client = StreamClient.of(call);
    if (!values.flag('force')) {
      if (!io.stdinIsTerminal) {
        throw usageError('deleting cannot be taken back', `holdfast subscription rm ${id} --force`);
      }
      const answer = await io.ask(`Delete ${id} and how far it had come? Type yes: `);
      if (answer.trim().toLowerCase() !== 'yes') {
        io.err('nothing was deleted\n');
        return EXIT.failure;
      }
    }
    await client.subscription(id, { method: 'DELETE' });
    if (json) await io.out(`${JSON.stringify({ id, deleted: true })}\n`);
    else io.err(`deleted: ${id}\n`);
    return EXIT.ok;
  },
};
