import type { MovedOutcome } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { settingsText } from './tier-text.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierPromote: Command = {
  name: 'tier promote',
  summary: 'make the backup of a store its primary, also when that is gone for good',
  positionals: [STORE],
  flags: {
    force: {
      type: 'boolean',
      summary: 'also a backup that lacks something, or of which that is not known',
    },
    ...SERVER_FLAGS,
  },
  notes: ['Afterwards the file of --tiers has to be changed, as the answer says.'],
  async run(call) {
    const body = { force: call.values.flag('force') };
    const outcome = await workOnStore<MovedOutcome>(call, ['promote'], { body });
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else {
      call.io.err(`promoted: ${outcome.store}, open as epoch ${outcome.epoch}\n`);
      call.io.err(settingsText(outcome.settings));
    }
    return EXIT.ok;
  },
};
