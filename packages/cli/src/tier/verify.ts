import type { TierVerification } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { countOf, STORE, workOnStore } from './tier-work.ts';

export const tierVerify: Command = {
  name: 'tier verify',
  summary: 'compare the primary and the backup of a store, entry by entry',
  positionals: [STORE],
  flags: {
    prefix: { type: 'string', value: 'TEXT', summary: 'only keys that begin with this' },
    rate: { type: 'string', value: 'N', summary: 'entries a second (default: no bound)' },
    ...SERVER_FLAGS,
  },
  notes: ['Ends with 0 when they are equal, but for what is owed, and with 7 when not.'],
  async run(call) {
    const { io, json, values } = call;
    const body = { prefix: values.text('prefix'), rate: countOf(call, 'rate') };
    const report = await workOnStore<TierVerification>(call, ['verify'], { body });
    const { store, differences, shown } = report;
    if (json) await io.out(`${JSON.stringify(report)}\n`);
    else {
      for (const { key, kind, tier = '-' } of shown) {
        await io.out(`${kind}\t${tier}\t${JSON.stringify(key)}\n`);
      }
      io.err(
        differences === 0
          ? `equal: ${store}\n`
          : `different: ${store}, ${differences} keys\n` +
              `  nothing was changed: see what "holdfast tier repair ${store} --dry-run" would do\n`,
      );
    }
    return differences === 0 ? EXIT.ok : EXIT.integrity;
  },
};
