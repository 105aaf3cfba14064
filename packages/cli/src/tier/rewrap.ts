import type { RewrapOutcome } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { STORE, workOnStore } from './tier-work.ts';

export const tierRewrap: Command = {
  name: 'tier rewrap',
  summary: 'seal the values of a store anew that rest outside the node under older keys',
  positionals: [STORE],
  flags: SERVER_FLAGS,
  notes: ['After "holdfast key rotate", before "holdfast key retire".'],
  async run(call) {
    const outcome = await workOnStore<RewrapOutcome>(call, ['rewrap']);
    if (call.json) await call.io.out(`${JSON.stringify(outcome)}\n`);
    else {
      const { store, places, values, rewrapped, left } = outcome;
      const rest = left === 0 ? '' : `, ${left} left under older keys`;
      call.io.err(
        `sealed: ${store}, ${rewrapped} of ${values} values in ${places} places${rest}\n`,
      );
    }
    return EXIT.ok;
  },
};
