import { NodeClock } from '@holdfast/core';
import type { SnapshotVerification } from '@holdfast/node';
import { followWork } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { byteText } from '../progress.ts';
import { FROM_FLAGS, withPlace } from './from-place.ts';

export const snapshotVerify: Command = {
  name: 'snapshot verify',
  summary: 'read every byte of a snapshot and check it',
  positionals: [{ name: 'ID', required: true }],
  flags: { ...FROM_FLAGS, ...SERVER_FLAGS },
  notes: ['Ends with 0 when a restore from it would succeed and with 7 when not.'],
  async run(call) {
    const {
      io,
      json,
      values,
      arguments: [id = ''],
    } = call;
    const clock = new NodeClock();
    const place = values.text('from');
    const report =
      place === undefined
        ? await followWork<SnapshotVerification>(
            call,
            { method: 'POST', path: ['snapshots', id, 'verify'] },
            () => clock.monotonicMs(),
          )
        : await withPlace(call, place, (backup, options) => backup.verify(id, options));
    if (json) await io.out(`${JSON.stringify(report)}\n`);
    else {
      for (const { kind, file, message } of report.problems) {
        await io.out(`${kind}\t${file}\t${message}\n`);
      }
      const what = `${report.files} files, ${byteText(report.bytes)}`;
      io.err(report.ok ? `whole: ${id}, ${what}\n` : damaged(id, report.problems.length));
    }
    return report.ok ? EXIT.ok : EXIT.integrity;
  },
};

function damaged(id: string, count: number): string {
  return (
    `damaged: ${id} (${count} ${count === 1 ? 'problem' : 'problems'})\n` +
    '  nothing was changed: make a new one with "holdfast snapshot create --full",\n' +
    '  and restore from another one: "holdfast snapshot ls"\n'
  );
}
