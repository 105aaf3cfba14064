/** Snapshot commands that also work straight from a backup, when no node runs: `--from PLACE`. */
import { NodeClock } from '@holdfast/core';
import type { OfflineBackup } from '@holdfast/node';
import { interruptible } from '../admin-work.ts';
import { backupAccess, PLACE_FLAGS } from '../backup/place-flags.ts';
import type { CommandCall, Flag } from '../command.ts';
import { PhasedProgress, type WorkProgress } from '../progress.ts';

export const FROM_FLAGS: Readonly<Record<string, Flag>> = {
  from: {
    type: 'string',
    value: 'PLACE',
    summary: 'ask the backup itself: s3://BUCKET/PREFIX or a folder; no node is needed',
  },
  ...PLACE_FLAGS,
};

export interface PlaceOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: WorkProgress) => void;
}

/**
 * Opens the place, lets `work` use it, and closes it.
 *
 * @param hint what can be done when it was ended by a signal.
 */
export async function withPlace<Result>(
  call: CommandCall,
  place: string,
  work: (backup: OfflineBackup, options: PlaceOptions) => Promise<Result>,
  hint?: string,
): Promise<Result> {
  const { nodeComponents, OfflineBackup: Offline } = await import('@holdfast/node');
  const clock = new NodeClock();
  const progress = new PhasedProgress(call.io, () => clock.monotonicMs());
  return interruptible(
    call,
    async (signal) => {
      const components = { ...nodeComponents(), environment: call.io.env };
      const backup = await Offline.open(backupAccess(call, place), components, { signal });
      try {
        return await work(backup, { signal, onProgress: (now) => progress.update(now) });
      } finally {
        progress.end();
        await backup.close();
      }
    },
    hint,
  );
}
