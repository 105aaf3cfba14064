/**
 * Restore drills: the backup of a node is restored to a scratch directory, opened there with
 * engines of its own, and removed; on a schedule, and when asked. What was never restored is no
 * backup.
 *
 * Invariants
 * 1. One drill at a time; who asks meanwhile is refused.
 * 2. The copy is opened without its backup, which it would take over, and wakes nobody.
 * 3. After `close` nothing runs, and the scratch directory is gone.
 *
 * Owner: `NodeAdministration`.
 */
import {
  type Clock,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Timer,
} from '@holdfast/core';
import { type DrillReport, drillRestore, type RestoreComponents } from '@holdfast/database';
import type { CopyContents } from '../drill-engines.ts';
import { isoTime } from './snapshot-summary.ts';
import { eitherSignal, type WorkOptions } from './work.ts';

export interface DrillResult {
  readonly ok: boolean;
  readonly at: string;
  /** Up to where the copy went; absent when there was none. */
  readonly lsn?: number;
  readonly snapshot?: string;
  /** Of the files of the snapshot. */
  readonly bytes: number;
  /** Found in the opened copy. */
  readonly streams: number;
  /** Key-value stores that hold an entry; the same. */
  readonly stores: number;
  readonly ms: number;
  /** Empty when `ok`. */
  readonly problems: readonly string[];
}

export interface DrillStats {
  readonly running: boolean;
  readonly passed: number;
  readonly failed: number;
  readonly last: DrillResult | undefined;
}

export interface DrillParts {
  readonly restore: RestoreComponents;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A folder for the drills of one repository alone: several nodes may be given one place. */
  readonly scratch: (repositoryId: string | undefined) => string;
  /** Of the database whose backup it is. */
  readonly repositoryId: () => string | undefined;
  /** What is surely in the backup now. */
  readonly archivedLsn: () => number;
  /** Opens the copy as a node would, and counts what it holds. */
  readonly open: (dir: string) => Promise<CopyContents>;
}

export class Drills {
  readonly #parts: DrillParts;
  readonly #intervalMs: number;
  readonly #closing = new AbortController();
  #timer: Timer | undefined;
  #running: Promise<unknown> | undefined;
  #passed = 0;
  #failed = 0;
  #last: DrillResult | undefined;

  /** @param intervalMs between two; 0: only when asked. */
  constructor(parts: DrillParts, intervalMs: number) {
    this.#parts = parts;
    this.#intervalMs = intervalMs;
  }

  /** Nobody knows when the last one was: the first comes soon. */
  start(): void {
    this.#next(Math.min(this.#intervalMs, LIMITS.firstDrillMs));
  }

  /** What goes wrong in it is in what it resolves to. */
  async run(options: WorkOptions = {}): Promise<DrillResult> {
    this.#closing.signal.throwIfAborted();
    if (this.#running !== undefined) {
      throw new HoldfastError('REPOSITORY_BUSY', 'a drill is under way'); // I1
    }
    const running = this.#run(options);
    this.#running = running.catch(() => undefined);
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  stats(): DrillStats {
    return {
      running: this.#running !== undefined,
      passed: this.#passed,
      failed: this.#failed,
      last: this.#last,
    };
  }

  /** I3. Idempotent. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#closing.abort(new HoldfastError('CLOSED', 'the node is closing'));
    await this.#running;
  }

  #next(delayMs: number): void {
    if (this.#intervalMs === 0 || this.#closing.signal.aborted) return;
    this.#timer = this.#parts.clock.after(delayMs, () => void this.#scheduled());
  }

  /** Never rejects. */
  async #scheduled(): Promise<void> {
    try {
      await this.run();
    } catch (error) {
      if (!isHoldfastError(error) || error.kind !== 'closed') {
        this.#parts.logger.warn('drill-not-run', { reason: String(error) });
      }
    }
    this.#next(this.#intervalMs);
  }

  async #run({ signal, onProgress }: WorkOptions): Promise<DrillResult> {
    const { restore, clock, logger, scratch, repositoryId, archivedLsn, open } = this.#parts;
    const wanted = archivedLsn();
    const id = repositoryId();
    let found: CopyContents = { streams: 0, stores: 0 };
    const report = await drillRestore(
      restore,
      {
        scratch: scratch(id),
        repositoryId: id,
        onProgress: ({ phase, done, total }) =>
          onProgress?.({ phase, done, total, unit: phase === 'log' ? 'records' : 'bytes' }),
      },
      async (dir) => {
        found = await open(dir); // I2
        return [];
      },
      eitherSignal(this.#closing.signal, signal),
    );
    const result = resultOf(report, found, { wanted, atMs: clock.now() });
    this.#last = result;
    if (result.ok) this.#passed++;
    else this.#failed++;
    const { ok, lsn, ms, problems } = result;
    if (ok) logger.info('drill-passed', { lsn, ms, ...found });
    else logger.error('drill-failed', { lsn, ms, problems: problems.join('; ') });
    return result;
  }
}

interface Findings {
  readonly wanted: number;
  readonly atMs: number;
}

function resultOf(
  report: DrillReport,
  { streams, stores }: CopyContents,
  { wanted, atMs }: Findings,
): DrillResult {
  const { snapshotId, lsn, ms, bytes } = report;
  const problems = [...report.problems];
  if (lsn !== undefined && lsn < wanted) {
    problems.push(`the copy ends before what was archived lsn=${lsn} archivedLsn=${wanted}`);
  }
  return {
    ok: problems.length === 0,
    at: isoTime(atMs),
    ...(lsn === undefined ? {} : { lsn }),
    ...(snapshotId === undefined ? {} : { snapshot: snapshotId }),
    bytes,
    streams,
    stores,
    ms: Math.round(ms),
    problems,
  };
}
