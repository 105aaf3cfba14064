import { NodeClock } from '@holdfast/core';
import type { SnapshotSummary } from '@holdfast/node';
import { followWork } from '../admin-work.ts';
import { SERVER_FLAGS, type Command } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { byteText } from '../progress.ts';

export const snapshotCreate: Command = {
  name: 'snapshot create',
  summary: 'make a snapshot of a running node now; its reads and writes go on',
  positionals: [],
  flags: {
    full: { type: 'boolean', summary: 'send everything anew, also what earlier snapshots hold' },
    ...SERVER_FLAGS,
  },
  notes: ['Ctrl-C cancels it: what is not whole is no snapshot.'],
  async run(call) {
    const clock = new NodeClock();
    const snapshot = await followWork<SnapshotSummary>(
      call,
      { method: 'POST', path: ['snapshots'], body: { full: call.values.flag('full') } },
      () => clock.monotonicMs(),
    );
    if (call.json) await call.io.out(`${JSON.stringify(snapshot)}\n`);
    else {
      await call.io.out(`${snapshot.id}\n`);
      const { bytes, newBytes, lsn } = snapshot;
      call.io.err(`snapshot of ${byteText(bytes)}, ${byteText(newBytes)} of it new, LSN ${lsn}\n`);
    }
    return EXIT.ok;
  },
};
