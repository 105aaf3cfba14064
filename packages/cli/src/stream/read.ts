import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { showBatch } from './batch-output.ts';
import { catchUp, offsetOf } from './catch-up.ts';

export const streamRead: Command = {
  name: 'stream read',
  summary: 'print what is in a stream, then end',
  positionals: [{ name: 'PATH', required: true }],
  flags: {
    from: { type: 'string', value: 'OFFSET', summary: 'start (default), now, or an offset' },
    'limit-bytes': {
      type: 'string',
      value: 'N',
      summary: 'stop after this many bytes, at a batch',
    },
    ...SERVER_FLAGS,
  },
  notes: [
    'JSON streams are printed one message per line, other streams byte for byte.',
    'With --json each line is one batch with the offset to go on from.',
  ],
  async run(call) {
    const {
      io,
      arguments: [path = ''],
      values,
      json,
    } = call;
    const limitText = values.text('limit-bytes');
    if (limitText !== undefined && !/^[1-9]\d{0,14}$/.test(limitText)) {
      throw usageError('--limit-bytes must be a whole number above 0');
    }
    const limit = limitText === undefined ? Infinity : Number(limitText);
    const client = NodeClient.of(call);
    let bytes = 0;
    for await (const batch of catchUp(client, path, offsetOf(values.text('from') ?? 'start'))) {
      await showBatch(io, json, batch);
      bytes += batch.bytes.length;
      if (bytes >= limit) break;
    }
    return EXIT.ok;
  },
};
