import { NodeClock } from '@holdfast/core';
import type { PruneResult } from '@holdfast/node';
import { followWork } from '../admin-work.ts';
import { SERVER_FLAGS, type Command, type CommandCall, type Flag } from '../command.ts';
import { usageError } from '../command-error.ts';
import { EXIT } from '../exit-codes.ts';
import { byteText } from '../progress.ts';
import { flagName } from '../serve-settings.ts';

const RULES = ['keepLast', 'keepDaily', 'keepWeekly', 'keepMaxAgeMs'] as const;

const RULE_FLAGS: Readonly<Record<string, Flag>> = {
  'keep-last': { type: 'string', value: 'N', summary: 'keep as many of the newest' },
  'keep-daily': { type: 'string', value: 'N', summary: 'keep the last one of as many days' },
  'keep-weekly': { type: 'string', value: 'N', summary: 'keep the last one of as many weeks' },
  'keep-max-age-ms': { type: 'string', value: 'N', summary: 'older ones go in any case' },
};

export const snapshotPrune: Command = {
  name: 'snapshot prune',
  summary: 'delete the snapshots that the rules do not keep, and what nothing needs any more',
  positionals: [],
  flags: {
    ...RULE_FLAGS,
    'dry-run': { type: 'boolean', summary: 'only say what would go' },
    ...SERVER_FLAGS,
  },
  notes: [
    'Rules that are not given are those of the node. The newest snapshot always stays, and so does',
    'what was put less than an hour ago.',
  ],
  async run(call) {
    const { io, json, values } = call;
    const clock = new NodeClock();
    const body = { ...rulesOf(call), dryRun: values.flag('dry-run') };
    const result = await followWork<PruneResult>(
      call,
      { method: 'POST', path: ['snapshots', 'prune'], body },
      () => clock.monotonicMs(),
    );
    if (json) await io.out(`${JSON.stringify(result)}\n`);
    else {
      for (const id of result.deleted) await io.out(`${id}\n`);
      const { deleted, kept, removed, dryRun } = result;
      const would = dryRun ? 'would be ' : '';
      io.err(
        `${deleted.length} snapshots ${would}deleted, ${kept.length} kept; ` +
          `${removed.parts} parts and ${removed.pieces} archive pieces, ${byteText(removed.bytes)}, ${would}removed\n`,
      );
    }
    return EXIT.ok;
  },
};

function rulesOf({ values }: CommandCall): Record<string, number> {
  const rules: Record<string, number> = {};
  for (const rule of RULES) {
    const flag = flagName(rule);
    const text = values.text(flag);
    if (text === undefined) continue;
    if (!/^\d{1,15}$/.test(text)) throw usageError(`--${flag} must be a whole number`);
    rules[rule] = Number(text);
  }
  return rules;
}
