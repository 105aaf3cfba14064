import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { streamAnswer } from './stream-answer.ts';

export const streamClose: Command = {
  name: 'stream close',
  summary: 'close a stream for good; readers see its end',
  positionals: [{ name: 'PATH', required: true }],
  flags: SERVER_FLAGS,
  async run(call) {
    const {
      io,
      arguments: [path = ''],
      json,
    } = call;
    const response = await NodeClient.of(call).stream(path, {
      method: 'POST',
      headers: { 'stream-closed': 'true' },
    });
    const { nextOffset, closed } = streamAnswer(response);
    if (json) await io.out(`${JSON.stringify({ path, nextOffset, closed })}\n`);
    else io.err(`closed: ${path}\n`);
    return EXIT.ok;
  },
};
