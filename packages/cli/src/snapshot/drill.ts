import { NodeClock } from '@holdfast/core';
import type { DrillResult } from '@holdfast/node';
import { followWork } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { byteText } from '../progress.ts';

export const snapshotDrill: Command = {
  name: 'snapshot drill',
  summary: 'restore the backup of a running node to a scratch directory, open it, and remove it',
  positionals: [],
  flags: SERVER_FLAGS,
  notes: [
    'The node needs room on its disk for a second copy of its data meanwhile.',
    'Ends with 7 when the backup alone would not have helped.',
  ],
  async run(call) {
    const clock = new NodeClock();
    const result = await followWork<DrillResult>(call, { method: 'POST', path: ['drill'] }, () =>
      clock.monotonicMs(),
    );
    if (call.json) await call.io.out(`${JSON.stringify(result)}\n`);
    else {
      const { ok, lsn, bytes, streams, stores, ms, problems } = result;
      for (const problem of problems) await call.io.out(`${problem}\n`);
      call.io.err(
        ok
          ? `restored and opened: LSN ${lsn}, ${byteText(bytes)}, ${streams} streams, ${stores} key-value stores, in ${(ms / 1000).toFixed(1)} s\n`
          : 'the drill failed: with this backup alone there would be no restore\n',
      );
    }
    return result.ok ? EXIT.ok : EXIT.integrity;
  },
};
