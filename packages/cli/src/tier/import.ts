import type { RestoreOutcome } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierImport: Command = {
  name: 'tier import',
  summary: 'fill the primary of a store from an export; the backup is filled from there',
  positionals: [STORE, { name: 'FILE', required: false }],
  flags: {
    overwrite: {
      type: 'boolean',
      summary: 'into a primary with entries: the newer one of each stays, nothing is removed',
    },
    ...SERVER_FLAGS,
  },
  notes: ['FILE absent, or -: standard input. Nothing is believed before its last line was read.'],
  async run(call) {
    const { io, json, values } = call;
    const [, file = '-'] = call.arguments;
    const bytes = file === '-' ? io.stdin() : io.readFile(file);
    const what = values.flag('overwrite') ? ['import', 'overwrite'] : ['import'];
    const outcome = await workOnStore<RestoreOutcome>(call, what, { bytes });
    if (json) await io.out(`${JSON.stringify(outcome)}\n`);
    else {
      const { store, entries, epoch } = outcome;
      io.err(`imported: ${store}, ${entries} entries, compared; open as epoch ${epoch}\n`);
    }
    return EXIT.ok;
  },
};
