import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { readWhole } from '../input.ts';
import { streamAnswer } from './stream-answer.ts';

export const streamCreate: Command = {
  name: 'stream create',
  summary: 'create a stream; creating it again with the same settings is fine',
  positionals: [{ name: 'PATH', required: true }],
  flags: {
    type: { type: 'string', value: 'TYPE', summary: 'content type (default application/json)' },
    ttl: { type: 'string', value: 'SECONDS', summary: 'delete it when idle for this long' },
    'expires-at': { type: 'string', value: 'TIME', summary: 'delete it at this time (RFC 3339)' },
    closed: { type: 'boolean', summary: 'create it closed: what is in it now is all' },
    'body-file': { type: 'string', value: 'FILE', summary: 'first content; - is standard input' },
    ...SERVER_FLAGS,
  },
  async run({ io, arguments: [path = ''], values, json }) {
    const client = NodeClient.of({ io, arguments: [path], values, json });
    if (values.given('ttl') && values.given('expires-at')) {
      throw usageError('--ttl and --expires-at exclude each other');
    }
    const file = values.text('body-file');
    const body = file === undefined ? undefined : await readWhole(io, file);
    const response = await client.stream(path, {
      method: 'PUT',
      headers: {
        'content-type': values.text('type') ?? 'application/json',
        'stream-ttl': values.text('ttl'),
        'stream-expires-at': values.text('expires-at'),
        'stream-closed': values.flag('closed') ? 'true' : undefined,
      },
      body,
    });
    const created = response.status === 201;
    const { contentType, nextOffset, closed } = streamAnswer(response);
    if (json) {
      await io.out(`${JSON.stringify({ path, created, contentType, nextOffset, closed })}\n`);
    } else {
      io.err(`${created ? 'created' : 'already there'}: ${path} (${contentType})\n`);
    }
    return EXIT.ok;
  },
};
