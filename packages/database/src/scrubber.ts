/**
 * Keeps what rests whole: has second copies of new tables made, looks at files in which damage
 * was met, and goes over everything once in a while. What can be mended is mended, what cannot
 * is named and left alone. All of it gives way: one piece of work at a time, at a bounded rate.
 *
 * Invariants
 * 1. Nothing here stops the database: a failure is told and tried again with the next pass. Only
 *    a checkpoint that runs on its behalf counts as one.
 * 2. Work on a file that is on its way out ends at its next step.
 * 3. After `close` resolved nothing runs, but for what `finish` does.
 *
 * Owner: the database.
 */
import {
  type Clock,
  type FileSystem,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Timer,
  Turns,
} from '@holdfast/core';
import type { Log } from '@holdfast/log';
import {
  manifestFileName,
  type MendedCopy,
  mirrorOf,
  originalOf,
  type Pace,
  paceByRate,
  paceByTurn,
  parseManifestFileName,
  type Table,
} from '@holdfast/tables';
import {
  type Damage,
  damageOf,
  type DamageList,
  type IntegrityStats,
  pathIn,
} from './damage-list.ts';
import type { DatabaseShard } from './database-shard.ts';
import type { EngineRegistry } from './engine-registry.ts';
import { ExtentCare } from './extent-care.ts';
import type { Rewrite } from './extent-rewrite.ts';
import type { ExtentStore } from './extent-store.ts';
import { layoutPath } from './layout.ts';
import type { LayoutKeeper } from './layout-keeper.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import type { Quarantine } from './quarantine.ts';
import type { Suspects } from './suspects.ts';
import { TableCare } from './table-care.ts';

export interface ScrubReport {
  readonly files: number;
  readonly bytes: number;
  /** What is known to be damaged, or was mended, since the start; the newest last. */
  readonly damages: readonly Damage[];
  readonly integrity: IntegrityStats;
}

export interface ScrubSettings {
  /** Between two passes; 0: no passes, and no second copies of tables. */
  readonly intervalMs: number;
  readonly bytesPerSecond: number;
}

export interface ScrubberParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly dir: string;
  readonly layout: LayoutKeeper;
  /** Free bytes that second copies leave to the log and to checkpoints. */
  readonly reserveBytes: number;
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
  readonly log: Log;
  readonly suspects: Suspects;
  readonly damages: DamageList;
  readonly quarantine: Quarantine;
  /** Writes a checkpoint, which moves what `rewrite` copied, and lets the log go. */
  readonly checkpoint: (rewrite?: () => Promise<Rewrite | undefined>) => Promise<void>;
  /** Writes anew what is under keys that are no longer active, one file a step. */
  readonly reencryption: (pace: Pace) => AsyncGenerator<void>;
}

export class Scrubber {
  readonly #parts: ScrubberParts;
  readonly #settings: ScrubSettings;
  readonly #tableCare: TableCare;
  readonly #extentCare: ExtentCare;
  /** Of small work between passes. */
  readonly #mendPace: Pace;
  /** Tables whose mirror could not be made; the next pass tries again. */
  #postponed = new WeakSet<Table>();
  #layoutMirrored = false;
  readonly #closing = new AbortController();
  /** The slow pass under way. */
  #slow = new AbortController();
  #demanded: Promise<ScrubReport> | undefined;
  #timer: Timer | undefined;
  #attending = false;
  readonly #turns: Turns = new Turns();

  constructor(parts: ScrubberParts, settings: ScrubSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#tableCare = new TableCare(parts);
    this.#extentCare = new ExtentCare(parts);
    const { signal } = this.#closing;
    this.#mendPace = paceByRate(parts.clock, LIMITS.mirrorBytesPerSecond, signal);
  }

  /** @param mirrored file ids of tables whose mirror is there. */
  start(mirrored: ReadonlySet<number>): void {
    for (const table of this.#tables()) {
      if (mirrored.has(table.info.fileId)) this.#tableCare.hasMirror(table);
    }
    if (this.#settings.intervalMs === 0) return;
    this.#parts.suspects.onAdded(() => this.attend());
    this.#schedule(LIMITS.scrubStartDelayMs);
    this.attend();
  }

  /** There may be new tables, or files to look at. */
  attend(): void {
    if (this.#attending || this.#settings.intervalMs === 0) return;
    if (this.#closing.signal.aborted) return;
    this.#attending = true;
    this.#turns.run(() => this.#attendAll()).catch(() => undefined); // only ever stopped
  }

  /** Keys were rotated: what is under older ones is written anew from now on, by and by. */
  reencrypt(): void {
    if (this.#settings.intervalMs === 0) return;
    this.#reencryptSlowly().catch(() => undefined); // only ever stopped
  }

  /** One pass over everything, giving way but not slowed down. */
  scrub(): Promise<ScrubReport> {
    if (this.#demanded === undefined) {
      this.#slow.abort(stopped()); // this one does what it would have done
      const pace = paceByTurn(this.#parts.clock);
      const pass = this.#turns.run(() => this.#runPass(pace, this.#closing.signal));
      this.#demanded = pass.finally(() => {
        this.#demanded = undefined;
      });
    }
    return this.#demanded;
  }

  /** Nobody needs the file at this path any more, nor its second copy. */
  dropped(path: string): void {
    if (path === this.#extentCare.salvaging) return;
    for (const copy of [path, mirrorOf(path)]) this.#parts.damages.gone(copy);
  }

  /** I3. Idempotent. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#closing.abort(stopped());
    this.#slow.abort(stopped());
    await this.#turns.idle();
  }

  /** After the last checkpoint: second copies of what it wrote, within bounds. Never rejects. */
  async finish(): Promise<void> {
    if (this.#settings.intervalMs === 0) return;
    let bytes = 0;
    for (const table of this.#tableCare.withoutMirror(this.#tables())) {
      bytes += table.info.bytes;
      if (bytes > LIMITS.closeMirrorBytes) return;
      await this.#guarded(() => this.#tableCare.makeMirror(table, undefined));
    }
  }

  #schedule(delayMs: number): void {
    if (this.#settings.intervalMs === 0 || this.#closing.signal.aborted) return;
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#reencryptSlowly()
        .then(() => this.#turns.run(() => this.#runSlowly()))
        .catch(() => undefined); // only ever stopped
    });
  }

  /** One file at a time: what is damaged, or lacks its second copy, is seen to in between. */
  async #reencryptSlowly(): Promise<void> {
    const { signal } = this.#closing;
    const pace = paceByRate(this.#parts.clock, this.#settings.bytesPerSecond, signal);
    const work = this.#parts.reencryption(pace);
    for (let isDone = false; !isDone && !signal.aborted;) {
      await this.#turns.run(async () => {
        isDone = true; // unless there is more
        await this.#guarded(async () => {
          if (!signal.aborted) isDone = (await work.next()).done === true;
        });
      });
    }
  }

  async #runSlowly(): Promise<void> {
    this.#slow = new AbortController();
    if (this.#closing.signal.aborted) return;
    const { signal } = this.#slow;
    try {
      await this.#runPass(
        paceByRate(this.#parts.clock, this.#settings.bytesPerSecond, signal),
        signal,
      );
    } finally {
      this.#schedule(this.#settings.intervalMs);
    }
  }

  /** Rejects only when it was stopped. */
  async #runPass(giveWay: Pace, signal: AbortSignal): Promise<ScrubReport> {
    const { damages, logger, suspects, manifest } = this.#parts;
    let files = 0;
    let bytes = 0;
    this.#postponed = new WeakSet();
    suspects.renew();
    const pace: Pace = (more) => {
      signal.throwIfAborted();
      bytes += more;
      return giveWay(more);
    };
    const steps = [
      () => this.#scrubMetadata(),
      ...this.#tables().map((table) => () => this.#tableCare.scrub(table, pace)),
      ...manifest.current.extentFiles.map((info) => () => this.#extentCare.scrub(info, pace)),
      () => this.#scrubLog(pace),
      () => this.#reencrypt(pace),
    ];
    for (const step of steps) {
      signal.throwIfAborted();
      await this.#guarded(step);
      files++;
    }
    signal.throwIfAborted();
    this.#forgetReplaced();
    const integrity = damages.stats();
    logger.info('database.scrubbed', { files, bytes, ...integrity });
    return { files, bytes, damages: damages.all(), integrity };
  }

  async #attendAll(): Promise<void> {
    this.#attending = false; // what comes from here on may find the loop at its end
    const { suspects, manifest } = this.#parts;
    const { signal } = this.#closing;
    const pace: Pace = (bytes) => {
      signal.throwIfAborted();
      return this.#mendPace(bytes);
    };
    while (!signal.aborted) {
      const tableId = suspects.takeTable();
      const fileId = tableId === undefined ? suspects.takeExtentFile() : undefined;
      const isWanted = (candidate: Table): boolean => !this.#postponed.has(candidate);
      if (tableId !== undefined) {
        const table = this.#tables().find(({ info }) => info.fileId === tableId);
        if (table !== undefined) await this.#guarded(() => this.#tableCare.scrub(table, pace));
      } else if (fileId !== undefined) {
        const info = manifest.current.extentFiles.find((file) => file.fileId === fileId);
        if (info !== undefined) await this.#guarded(() => this.#extentCare.scrub(info, pace));
      } else {
        const table = this.#tableCare.withoutMirror(this.#tables()).find(isWanted);
        if (table === undefined) return;
        this.#postponed.add(table);
        await this.#guarded(() => this.#tableCare.makeMirror(table, pace));
      }
    }
  }

  /** One file after the other, until nothing is under another key than the active one. */
  async #reencrypt(pace: Pace): Promise<void> {
    const files = this.#parts.reencryption(pace);
    while ((await files.next()).done !== true);
  }

  async #scrubMetadata(): Promise<void> {
    const { dir, layout, manifest, quarantine } = this.#parts;
    const beforeReplace = (path: string): Promise<void> => quarantine.keep(path);
    const mirrorExpected = this.#layoutMirrored;
    const mended = await layout.mend({ mirrorExpected, beforeReplace });
    this.#layoutMirrored = mended.every(({ repaired }) => repaired);
    this.#reportCopies(layoutPath(dir), mended);
    const copies = await manifest.mend(beforeReplace);
    this.#reportCopies(`${dir}/${manifestFileName(manifest.current.generation)}`, copies);
  }

  /** What is not among `mended` is whole now, whatever was wrong with it before. */
  #reportCopies(path: string, mended: readonly MendedCopy[]): void {
    const { damages } = this.#parts;
    for (const copy of [path, mirrorOf(path)]) {
      if (!mended.some(({ error }) => pathIn(error) === copy)) damages.repaired(copy);
    }
    for (const { error, repaired } of mended) damages.report(damageOf(error, repaired));
  }

  /**
   * Memory holds the effects of every durable record: with a checkpoint the damaged segments are
   * not needed any more, and go.
   */
  async #scrubLog(pace: Pace): Promise<void> {
    const { log, damages, quarantine, checkpoint } = this.#parts;
    const { problems } = await log.verify(pace);
    if (problems.length === 0) return;
    for (const path of new Set(problems.map((problem) => problem.path)))
      await quarantine.keep(path);
    const left = new Set(problems.map(({ path }) => path));
    try {
      await log.roll(); // what was written so far is in sealed segments now
      await checkpoint();
      const held = new Set(log.segments().map(({ path }) => path));
      for (const path of left) if (!held.has(path)) left.delete(path);
    } finally {
      for (const problem of problems) {
        const state = left.has(problem.path) ? 'quarantined' : 'repaired';
        damages.report({ kind: 'damaged', state, ...problem });
      }
    }
  }

  /** Segments and manifests go without a word: damage that could not be mended goes with them. */
  #forgetReplaced(): void {
    const { damages, dir, log, manifest } = this.#parts;
    const held = new Set(log.segments().map(({ path }) => path));
    for (const { path } of damages.all()) {
      const name = originalOf(path.slice(dir.length + 1));
      const generation = parseManifestFileName(name);
      const isReplaced =
        generation === undefined
          ? name.startsWith('log/') && !held.has(path)
          : generation < manifest.current.generation;
      if (isReplaced) damages.gone(path);
    }
  }

  /** I1. What was stopped is no failure. */
  async #guarded(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (isHoldfastError(error) && error.kind === 'closed') return;
      this.#parts.logger.warn('database.scrubPostponed', { reason: String(error) });
    }
  }

  #tables(): Table[] {
    return this.#parts.shards.flatMap((shard) => shard.tables);
  }
}

function stopped(): HoldfastError {
  return new HoldfastError('CLOSED', 'scrub was stopped');
}
