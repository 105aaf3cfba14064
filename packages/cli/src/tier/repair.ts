import type { TierRepair } from '@holdfast/node';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { countOf, STORE, workOnStore } from './tier-work.ts';

const DIRECTIONS = ['by-version', 'primary-wins', 'backup-wins'];

export const tierRepair: Command = {
  name: 'tier repair',
  summary: 'make the primary and the backup of a store equal',
  positionals: [STORE],
  flags: {
    direction: {
      type: 'string',
      value: 'WHICH',
      summary: `${DIRECTIONS.join(', ')} (default by-version: the newer one, nothing is removed)`,
    },
    'dry-run': { type: 'boolean', summary: 'only say what would be done' },
    prefix: { type: 'string', value: 'TEXT', summary: 'only keys that begin with this' },
    rate: { type: 'string', value: 'N', summary: 'entries a second (default: no bound)' },
    ...SERVER_FLAGS,
  },
  async run(call) {
    const { io, json, values } = call;
    const direction = values.text('direction');
    if (direction !== undefined && !DIRECTIONS.includes(direction)) {
      throw usageError(`--direction must be one of ${DIRECTIONS.join(', ')}`);
    }
    const body = {
      ...{ direction, dryRun: values.flag('dry-run') },
      ...{ prefix: values.text('prefix'), rate: countOf(call, 'rate') },
    };
    const report = await workOnStore<TierRepair>(call, ['repair'], { body });
    if (json) await io.out(`${JSON.stringify(report)}\n`);
    else {
      const { store, compared, dryRun } = report;
      io.err(
        `${dryRun ? 'would repair' : 'repaired'}: ${store}, ${compared} compared; ` +
          `to the backup ${report.copiedToBackup}, to the primary ${report.copiedToPrimary}, ` +
          `removed from the backup ${report.removedFromBackup}, ` +
          `from the primary ${report.removedFromPrimary}\n`,
      );
    }
    return EXIT.ok;
  },
};
