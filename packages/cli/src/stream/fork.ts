import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { streamAnswer } from './stream-answer.ts';

export const streamFork: Command = {
  name: 'stream fork',
  summary: 'make a stream that begins with what another holds, without copying it',
  positionals: [
    { name: 'SOURCE', required: true },
    { name: 'PATH', required: true },
  ],
  flags: {
    at: {
      type: 'string',
      value: 'OFFSET',
      summary: 'where it leaves the source (default: its tail)',
    },
    'sub-offset': { type: 'string', value: 'N', summary: 'messages (JSON) or bytes past --at' },
    ttl: { type: 'string', value: 'SECONDS', summary: 'as of "stream create"; default: inherited' },
    'expires-at': { type: 'string', value: 'TIME', summary: 'as of "stream create"' },
    ...SERVER_FLAGS,
  },
  async run(call) {
    const {
      io,
      arguments: [source = '', path = ''],
      values,
      json,
    } = call;
    if (values.given('sub-offset') && !values.given('at')) {
      throw usageError('--sub-offset counts from --at, which is missing');
    }
    const client = NodeClient.of(call);
    const response = await client.stream(path, {
      method: 'PUT',
      headers: {
        'stream-forked-from': client.urlPath(source),
        'stream-fork-offset': values.text('at'),
        'stream-fork-sub-offset': values.text('sub-offset'),
        'stream-ttl': values.text('ttl'),
        'stream-expires-at': values.text('expires-at'),
      },
    });
    const created = response.status === 201;
    const { contentType, nextOffset, closed } = streamAnswer(response);
    if (json) {
      const shown = { path, forkedFrom: source, created, contentType, nextOffset, closed };
      await io.out(`${JSON.stringify(shown)}\n`);
    } else {
      io.err(`${created ? 'forked' : 'already there'}: ${source} -> ${path}\n`);
    }
    return EXIT.ok;
  },
};
