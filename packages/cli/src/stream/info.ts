import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { streamAnswer } from './stream-answer.ts';

export const streamInfo: Command = {
  name: 'stream info',
  summary: 'show type, tail, and whether a stream is closed',
  positionals: [{ name: 'PATH', required: true }],
  flags: SERVER_FLAGS,
  async run(call) {
    const {
      io,
      arguments: [path = ''],
      json,
    } = call;
    const response = await NodeClient.of(call).stream(path, { method: 'HEAD' });
    const { contentType, nextOffset, closed } = streamAnswer(response);
    const ttl = response.headers.get('stream-ttl');
    const expiresAt = response.headers.get('stream-expires-at');
    const info = {
      path,
      contentType,
      nextOffset,
      closed,
      ...(ttl === null ? {} : { ttlSeconds: Number(ttl) }),
      ...(expiresAt === null ? {} : { expiresAt }),
    };
    if (json) await io.out(`${JSON.stringify(info)}\n`);
    else {
      const rows = Object.entries(info).map(
        ([key, value]) => `${key.padEnd(12)}${String(value)}\n`,
      );
      await io.out(rows.join(''));
    }
    return EXIT.ok;
  },
};
