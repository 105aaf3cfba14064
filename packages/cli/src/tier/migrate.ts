import type { MovedOutcome } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { settingsText } from './tier-text.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierMigrate: Command = {
  name: 'tier migrate',
  summary: 'make another place the primary of a store, while it is in use',
  positionals: [STORE],
  flags: {
    to: {
      type: 'string',
      value: 'PLACE',
      env: 'HOLDFAST_TIER_TO',
      summary: 'the place, as in the file of --tiers; with a password better in the variable',
    },
    ...SERVER_FLAGS,
  },
  notes: [
    'Afterwards the file of --tiers has to be changed, as the answer says.',
    'One that was cut short changed nothing but the new place, and is begun again with it.',
  ],
  async run(call) {
    const to = call.values.text('to');
    if (to === undefined) throw usageError('--to is missing', 'name the new place of the primary');
    const outcome = await workOnStore<MovedOutcome>(call, ['migrate'], { body: { to } });
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else {
      call.io.err(`migrated: ${outcome.store}, open as epoch ${outcome.epoch}\n`);
      call.io.err(settingsText(outcome.settings));
    }
    return EXIT.ok;
  },
};
