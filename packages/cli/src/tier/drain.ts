import type { TieredStoreStatus } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierDrain: Command = {
  name: 'tier drain',
  summary: 'wait until nothing is owed to any tier of a store',
  positionals: [STORE],
  flags: SERVER_FLAGS,
  notes: ['While a tier is away it waits; Ctrl-C ends the waiting and changes nothing.'],
  async run(call) {
    const status = await workOnStore<TieredStoreStatus>(call, ['drain']);
    if (call.json) await call.io.out(`${JSON.stringify(status)}\n`);
    else call.io.err(`drained: ${status.name}\n`);
    return EXIT.ok;
  },
};
