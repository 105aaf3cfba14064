import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';
import { type ShownEntry, shownKey } from './kv-text.ts';

export const kvList: Command = {
  name: 'kv ls',
  summary: 'list the keys of a store',
  positionals: [
    { name: 'STORE', required: true },
    { name: 'PREFIX', required: false },
  ],
  flags: {
    order: { type: 'string', value: 'ORDER', summary: 'key (default), or created: newest first' },
    reverse: { type: 'boolean', summary: 'the other way round' },
    limit: { type: 'string', value: 'N', summary: 'at most this many (default: all)' },
    values: { type: 'boolean', summary: 'with --json: values too' },
    ...SERVER_FLAGS,
  },
  notes: ['Prints key, bytes, version and end, by tabs. With --json one line per key.'],
  async run(call) {
    const {
      io,
      arguments: [store = '', prefix],
      values,
      json,
    } = call;
    const limitText = values.text('limit');
    if (limitText !== undefined && !/^[1-9]\d{0,8}$/.test(limitText)) {
      throw usageError('--limit must be a whole number above 0');
    }
    if (values.flag('values') && !json) throw usageError('--values goes with --json');
    let left = limitText === undefined ? Infinity : Number(limitText);
    let token: string | undefined;
    const client = NodeClient.of(call);
    const query = {
      prefix,
      order: values.text('order'),
      reverse: values.flag('reverse') ? 'true' : undefined,
      values: values.flag('values') ? 'text' : undefined,
    };
    while (left > 0) {
      const limit = String(Math.min(left, LIMITS.maxPageEntries));
      const response = await client.store(store, {
        method: 'GET',
        query: { ...query, limit, token },
      });
      const page = (await response.json()) as EntriesPage;
      for (const entry of page.entries) {
        await io.out(json ? `${JSON.stringify(entry)}\n` : textLine(entry));
      }
      left -= page.entries.length;
      token = page.next;
      if (token === undefined) break;
    }
    return EXIT.ok;
  },
};

interface EntriesPage {
  readonly entries: readonly ShownEntry[];
  readonly next?: string;
}

function textLine({ key, bytes, version, expiresAt = '-' }: ShownEntry): string {
  return `${[shownKey(key), bytes, version, expiresAt].join('\t')}\n`;
}
