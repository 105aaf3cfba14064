import type { TieredStoreStatus } from '@holdfast/node';
import { askNode } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { tierFacts, tierRow } from './tier-text.ts';

export const tierStatus: Command = {
  name: 'tier status',
  summary: 'show the tiered stores of a running node, or one of them and what to do about it',
  positionals: [{ name: 'STORE', required: false }],
  flags: SERVER_FLAGS,
  async run(call) {
    const { io, json } = call;
    const [store] = call.arguments;
    if (store === undefined) {
      const answer = await askNode<{ stores: readonly TieredStoreStatus[] }>(call, {
        method: 'GET',
        path: ['tiers'],
      });
      if (json) await io.out(`${JSON.stringify(answer)}\n`);
      else for (const status of answer.stores) await io.out(tierRow(status));
      return EXIT.ok;
    }
    const status = await askNode<TieredStoreStatus>(call, {
      method: 'GET',
      path: ['tiers', store],
    });
    await io.out(json ? `${JSON.stringify(status)}\n` : tierFacts(status));
    return EXIT.ok;
  },
};
