import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { StreamClient } from '../stream-client.ts';

export const streamRemove: Command = {
  name: 'stream rm',
  summary: 'delete a stream and what is in it; forks keep what they inherited',
  positionals: [{ name: 'PATH', required: true }],
  flags: {
    force: { type: 'boolean', summary: 'do not ask; needed when there is no terminal to ask on' },
    ...SERVER_FLAGS,
  },
  async run(call) {
    const {
      io,
      arguments: [path = ''],
      values,
      json,
    } = call;
    const client = StreamClient.of(call);
    if (!values.flag('force')) {
      if (!io.stdinIsTerminal) {
        throw usageError('deleting cannot be taken back', `holdfast stream rm ${path} --force`);
      }
      const answer = await io.ask(`Delete ${path} and everything in it? Type yes: `);
      if (answer.trim().toLowerCase() !== 'yes') {
        io.err('nothing was deleted\n');
        return EXIT.failure;
      }
    }
    await client.stream(path, { method: 'DELETE' });
    if (json) await io.out(`${JSON.stringify({ path, deleted: true })}\n`);
    else io.err(`deleted: ${path}\n`);
    return EXIT.ok;
  },
};
