/** `holdfast restore`: a data directory out of a backup, as it was at one point; no node is needed. */
import { NodeClock } from '@holdfast/core';
import type { RestorePlanSummary, RestoreResult } from '@holdfast/node';
import { parseRestoreTarget } from './backup/restore-target.ts';
import { PLACE_FLAGS } from './backup/place-flags.ts';
import { JSON_FLAG, type Command, type CommandCall } from './command.ts';
import { usageError } from './command-error.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { byteText } from './progress.ts';
import { withPlace } from './snapshot/from-place.ts';

export const restore: Command = {
  name: 'restore',
  summary: 'make a data directory out of a backup, as it was at one point',
  positionals: [
    { name: 'FROM', required: true },
    { name: 'INTO', required: true },
  ],
  flags: {
    to: {
      type: 'string',
      value: 'POINT',
      summary: 'latest (the default), an LSN, a time, -15m, or mark:NAME',
    },
    snapshot: {
      type: 'string',
      value: 'ID',
      summary: 'begin with this one (default: the nearest)',
    },
    'dry-run': { type: 'boolean', summary: 'only say what would be done' },
    verify: {
      type: 'string',
      value: 'HOW',
      summary: 'full (the default) reads everything once more, quick does not',
    },
    watermark: {
      type: 'string',
      value: 'FILE',
      summary: 'remembers the newest state seen, and refuses an older one',
    },
    'accept-rollback': { type: 'boolean', summary: 'take one that is older all the same' },
    ...PLACE_FLAGS,
    ...JSON_FLAG,
  },
  notes: [
    'FROM is s3://BUCKET/PREFIX or a folder, INTO a directory that is not there yet or empty.',
    'A time has seconds and offset, like 2026-05-17T09:30:00Z; -15m is 15 minutes ago (s, m, h, d).',
    'Ctrl-C leaves INTO as it was; the same command goes on where it ended.',
  ],
  async run(call) {
    const { io, values, json } = call;
    const [from = '', into = ''] = call.arguments;
    if (into === '') throw usageError('INTO is empty', 'see "holdfast restore --help"');
    const request = {
      into,
      target: parseRestoreTarget(values.text('to') ?? 'latest', new NodeClock().now()),
      snapshotId: values.text('snapshot'),
      verify: verifyOf(values.text('verify')),
      watermark: values.text('watermark'),
      acceptRollback: values.flag('accept-rollback'),
    };
    if (values.flag('dry-run')) {
      const plan = await withPlace(call, from, (backup, options) => backup.plan(request, options));
      return tellPlan(call, plan);
    }
    const result = await withPlace(
      call,
      from,
      (backup, options) => backup.restore(request, options),
      `nothing is at ${into} yet: the same command goes on where this one ended`,
    );
    if (json) await io.out(`${JSON.stringify(result)}\n`);
    else io.err(restored(into, result));
    return EXIT.ok;
  },
};

function verifyOf(text = 'full'): 'full' | 'quick' {
  if (text === 'full' || text === 'quick') return text;
  throw usageError('--verify must be full or quick');
}

async function tellPlan({ io, json }: CommandCall, plan: RestorePlanSummary): Promise<ExitCode> {
  if (json) await io.out(`${JSON.stringify(plan)}\n`);
  else {
    const { repository, epoch, lsn, at, snapshot, pieces, records, objects, bytes } = plan;
    await io.out(
      [
        `repository        ${repository}`,
        `to                LSN ${lsn} of ${at}`,
        `writer            epoch ${epoch}`,
        `from              ${snapshot ?? 'the first record on'}`,
        `archive           ${pieces} pieces, ${records} records, none missing`,
        `to fetch          ${objects} objects, ${byteText(bytes)}`,
        '',
      ].join('\n'),
    );
  }
  return EXIT.ok;
}

function restored(into: string, { lsn, at, files, bytes, records, ms }: RestoreResult): string {
  const rate = ms > 0 ? `, ${byteText((bytes / ms) * 1000)}/s` : '';
  return (
    `restored: ${into} to LSN ${lsn} of ${at}\n` +
    `  ${files} files, ${byteText(bytes)}${rate}, and ${records} records behind them\n` +
    `  next: holdfast serve ${into}\n`
  );
}
