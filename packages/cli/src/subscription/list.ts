import { LIMITS } from '@holdfast/core';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { NodeClient } from '../node-client.ts';

export const subscriptionList: Command = {
  name: 'subscription ls',
  summary: 'list subscriptions by id',
  positionals: [],
  flags: {
    limit: { type: 'string', value: 'N', summary: 'at most this many (default: all)' },
    after: { type: 'string', value: 'ID', summary: 'only those behind this id' },
    ...SERVER_FLAGS,
  },
  notes: ['With --json one line per subscription, printed as they come.'],
  async run(call) {
    const { io, values, json } = call;
    const limitText = values.text('limit');
    if (limitText !== undefined && !/^[1-9]\d{0,8}$/.test(limitText)) {
      throw usageError('--limit must be a whole number above 0');
    }
    let left = limitText === undefined ? Infinity : Number(limitText);
    let after = values.text('after');
    const client = NodeClient.of(call);
    while (left > 0) {
      const limit = String(Math.min(left, LIMITS.maxListedStreams));
      const response = await client.subscriptions({ method: 'GET', query: { after, limit } });
      const page = (await response.json()) as ListPage;
      for (const one of page.subscriptions) {
        await io.out(json ? `${JSON.stringify(one)}\n` : textLine(one));
      }
      left -= page.subscriptions.length;
      after = page.next;
      if (after === undefined) break;
    }
    return EXIT.ok;
  },
};

interface ListedSubscription {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly generation: number;
  readonly stream_count: number;
  readonly parked?: boolean;
}

interface ListPage {
  readonly subscriptions: readonly ListedSubscription[];
  readonly next?: string;
}

function textLine(one: ListedSubscription): string {
  const status = one.parked === true ? 'parked' : one.status;
  return `${[one.id, one.type, status, one.stream_count, one.generation].join('\t')}\n`;
}
