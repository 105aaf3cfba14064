/**
 * A restore that is only tried: into a scratch directory, verified, opened by whoever asked, and
 * removed again. What it says is whether the backup would have helped, and how long it takes.
 */
import { HoldfastError, isHoldfastError, type Lsn } from '@holdfast/core';
import { removeTree } from './remove-tree.ts';
import {
  type RestoreComponents,
  restoreDatabase,
  type RestoreProgress,
  type RestoreSettings,
} from './restore.ts';

export interface DrillSettings extends Omit<RestoreSettings, 'into' | 'dryRun' | 'target'> {
  /**
   * A folder with room for a whole copy of the database. What a drill makes in it is removed before
   * and after, by a name of its own: see `DRILL_COPY`.
   */
  readonly scratch: string;
  /** Default: `latest`. */
  readonly target?: RestoreSettings['target'] | undefined;
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
}

export interface DrillReport {
  readonly ok: boolean;
  readonly snapshotId: string | undefined;
  /** Up to where it was restored; `undefined` when nothing was. */
  readonly lsn: Lsn | undefined;
  readonly ms: number;
  /** Of the files of the snapshot. */
  readonly bytes: number;
  /** Empty when `ok`. */
  readonly problems: readonly string[];
}

/** Nobody else calls a folder that: it is removed with everything in it. */
const DRILL_COPY = 'holdfast-drill-copy';

/** What of a restored copy is looked at besides; resolves to what is wrong with it. */
export type DrillLook = (dir: string, signal: AbortSignal) => Promise<readonly string[]>;

/**
 * Rejects only with `ABORTED`; what goes wrong otherwise is what the drill found out.
 *
 * @param look may open the copy, but never as a writer of its repository: it would take that over.
 */
export async function drillRestore(
  components: RestoreComponents,
  settings: DrillSettings,
  look: DrillLook = async () => [],
  signal: AbortSignal = new AbortController().signal,
): Promise<DrillReport> {
  const { fileSystem, clock } = components;
  const { scratch, target = 'latest', onProgress = () => undefined, ...rest } = settings;
  const startedMs = clock.monotonicMs();
  const into = `${scratch}/${DRILL_COPY}`;
  const done: { snapshotId?: string | undefined; lsn?: Lsn; bytes: number } = { bytes: 0 };
  const problems: string[] = [];
  try {
    await clear(components, scratch);
    await fileSystem.makeDirectory(scratch);
    const report = await restoreDatabase(components, { ...rest, target, into }, onProgress, signal);
    Object.assign(done, { snapshotId: report.snapshotId, lsn: report.lsn, bytes: report.bytes });
    problems.push(...(await look(into, signal)));
  } catch (error) {
    if (signal.aborted) throw new HoldfastError('ABORTED', 'drill was ended', { cause: error });
    problems.push(isHoldfastError(error) ? `${error.code}: ${error.message}` : String(error));
  } finally {
    await clear(components, scratch).catch((error: unknown) => {
      problems.push(`scratch directory could not be removed: ${String(error)}`);
    });
  }
  return {
    ok: problems.length === 0,
    snapshotId: done.snapshotId,
    lsn: done.lsn,
    ms: clock.monotonicMs() - startedMs,
    bytes: done.bytes,
    problems,
  };
}

/** Only what a drill makes: the copy and its staging. */
async function clear({ fileSystem }: RestoreComponents, scratch: string): Promise<void> {
  if ((await fileSystem.stat(scratch)) === undefined) return;
  await removeTree(fileSystem, `${scratch}/${DRILL_COPY}`);
  await removeTree(fileSystem, `${scratch}/${DRILL_COPY}.restoring`);
  if ((await fileSystem.list(scratch)).length === 0) await fileSystem.removeDirectory(scratch);
}
