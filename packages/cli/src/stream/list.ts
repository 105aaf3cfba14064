import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';

export const streamList: Command = {
  name: 'stream ls',
  summary: 'list streams by path',
  positionals: [{ name: 'PREFIX', required: false }],
  flags: {
    limit: { type: 'string', value: 'N', summary: 'at most this many (default: all)' },
    after: { type: 'string', value: 'PATH', summary: 'only those behind this path' },
    ...SERVER_FLAGS,
  },
  notes: ['With --json one line per stream, printed as they come.'],
  async run(call) {
    const {
      io,
      arguments: [prefix],
      values,
      json,
    } = call;
    const limitText = values.text('limit');
    if (limitText !== undefined && !/^[1-9]\d{0,8}$/.test(limitText)) {
      throw usageError('--limit must be a whole number above 0');
    }
    let left = limitText === undefined ? Infinity : Number(limitText);
    let after = values.text('after');
    const client = NodeClient.of(call);
    while (left > 0) {
      const limit = String(Math.min(left, LIMITS.maxListedStreams));
      const response = await client.list({ prefix, after, limit });
      const page = (await response.json()) as ListPage;
      for (const stream of page.streams) await io.out(json ? jsonLine(stream) : textLine(stream));
      left -= page.streams.length;
      after = page.next;
      if (after === undefined) break;
    }
    return EXIT.ok;
  },
};

interface ListedStream {
  readonly path: string;
  readonly contentType: string;
  readonly messages: number;
  readonly bytes: number;
  readonly closed: boolean;
}

interface ListPage {
  readonly streams: readonly ListedStream[];
  readonly next?: string;
}

function jsonLine(stream: ListedStream): string {
  return `${JSON.stringify(stream)}\n`;
}

function textLine(stream: ListedStream): string {
  const { path, contentType, messages, bytes, closed } = stream;
  return `${[path, contentType, messages, bytes, closed ? 'closed' : 'open'].join('\t')}\n`;
}
