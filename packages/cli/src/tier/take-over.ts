import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierTakeOver: Command = {
  name: 'tier take-over',
  summary: 'go on with a store here that another node wrote to last: that one is fenced',
  positionals: [STORE],
  flags: SERVER_FLAGS,
  notes: ['Stop the other node first: what it is asked to write from now on it refuses.'],
  async run(call) {
    const outcome = await workOnStore<{ store: string; epoch: number }>(call, ['take-over']);
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else call.io.err(`taken over: ${outcome.store}, open as epoch ${outcome.epoch}\n`);
    return EXIT.ok;
  },
};
