import type { RestoreOutcome } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierRestore: Command = {
  name: 'tier restore',
  summary: 'fill the primary of a store from its backup; then it opens by itself',
  positionals: [STORE],
  flags: {
    overwrite: {
      type: 'boolean',
      summary: 'into a primary with entries: the newer one of each stays, nothing is removed',
    },
    ...SERVER_FLAGS,
  },
  notes: [
    'For a primary that lost its entries: the database was emptied, or the data directory is gone.',
    'One that was cut short is gone on with when it is called again.',
  ],
  async run(call) {
    const body = { overwrite: call.values.flag('overwrite') };
    const outcome = await workOnStore<RestoreOutcome>(call, ['restore'], { body });
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else {
      const { store, entries, epoch } = outcome;
      call.io.err(`restored: ${store}, ${entries} entries, compared; open as epoch ${epoch}\n`);
    }
    return EXIT.ok;
  },
};
