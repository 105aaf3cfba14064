/**
 * The continuous archive: puts what is durable in the log into the repository as pieces, one after
 * the other, so that a lost disk costs seconds. It becomes the writer of the repository first, and
 * stops the database when it no longer is.
 *
 * Invariants
 * 1. A piece holds only durable records, read back from the log and checked by it; pieces of our
 *    epoch follow one another without a gap.
 * 2. The floor of the log rises only to what this directory durably remembers as archived, after
 *    its piece and its restore points were put. It remembers once a round, or after several pieces:
 *    what it does not is found again at the next start.
 * 3. A piece whose put failed is put again with the same bytes under the same name: what came of the
 *    failed one does not matter.
 * 4. Memory: the records of one piece and its bytes, whatever waits in the log.
 * 5. A store that is away never stops the database; a newer writer, or an archive that is not of
 *    this log, does.
 * 6. After `close` resolved nothing runs.
 *
 * Owner: the `DatabaseBackup`.
 */
import {
  type Clock,
  cut,
  HoldfastError,
  isHoldfastError,
  type Logger,
  LIMITS,
  type Lsn,
  type Random,
  type Timer,
} from '@holdfast/core';
import type { Log, LogFloor, StoredRecord } from '@holdfast/log';
import type { Archive, ArchiveCondition, ArchiveStats } from './archive.ts';
import { restorePointsIn } from './archive-comparison.ts';
import { ArchiveLag } from './archive-lag.ts';
import {
  ARCHIVED_RECORD_BYTES,
  type EncodedArchivePiece,
  encodeArchivePiece,
  NO_TAG,
} from '../repository/archive-piece.ts';
import type { ArchiveMemory } from './archive-state.ts';
import type { Repository } from '../repository/repository.ts';
import type { ArchivePieceName } from '../repository/repository-names.ts';
import type { RestorePoint } from '../repository/restore-point.ts';
import type { WriterClaim } from '../repository/writer-claim.ts';
import type { WriterFence } from './writer-fence.ts';

export interface ArchiverParts {
  readonly repository: Repository;
  readonly memory: ArchiveMemory;
  readonly fence: WriterFence;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Becomes the writer of the repository. */
  readonly enter: (signal: AbortSignal) => Promise<WriterClaim>;
  /** Puts into the repository what has to be there before any piece. */
  readonly prepare: (signal: AbortSignal) => Promise<void>;
  /** Stops the database. I5. */
  readonly fail: (error: HoldfastError) => void;
  /** The floor of the log rose. */
  readonly archived: (lsn: Lsn) => void;
}

export interface ArchiverSettings {
  readonly intervalMs: number;
  readonly pieceBytes: number;
  readonly fenceCheckIntervalMs: number;
}

/** A piece on its way. I3. */
interface Outgoing {
  readonly piece: EncodedArchivePiece;
  readonly restorePoints: readonly RestorePoint[];
}

interface Waiter {
  readonly lsn: Lsn;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Pieces after which the directory remembers, at the latest. */
const NOTED_PIECES = 8;

const REFUSALS: ReadonlySet<string> = new Set([
  'WRITER_FENCED',
  'ARCHIVE_AHEAD',
  'ARCHIVE_DIVERGED',
  'REPOSITORY_ROLLED_BACK',
]);

/** True for what trying again cannot mend: somebody has to decide. */
export function isArchiveRefusal(error: unknown): boolean {
  return isHoldfastError(error) && REFUSALS.has(error.code);
}

export class Archiver implements Archive {
  readonly #parts: ArchiverParts;
  readonly #settings: ArchiverSettings;
  /** Stays after a close: what is not archived stays in the log. */
  #floor: LogFloor;
  readonly #lag: ArchiveLag;
  readonly #closing = new AbortController();
  #state: ArchiveCondition = 'claiming';
  #claim: WriterClaim | undefined;
  #archivedLsn: Lsn;
  #previousTag: Buffer = NO_TAG;
  #outgoing: Outgoing | undefined;
  /** Put, and not remembered yet. */
  #unnoted: ArchivePieceName[] = [];
  /** When what does not fill a piece is archived too. */
  #allDueMs = 0;
  /** Of what the last round left. */
  #leftBytes = 0;
  #pieces = 0;
  #pieceBytes = 0;
  #failures = 0;
  #lastError: HoldfastError | undefined;
  #fenceCheckedMs = -Infinity;
  #waiters: Waiter[] = [];
  /** Ends the pause between two rounds; `undefined` during one. */
  #wake: (() => void) | undefined;
  #woken = false;
  #loop: Promise<void> | undefined;

  constructor(parts: ArchiverParts, settings: ArchiverSettings) {
    this.#parts = parts;
    this.#settings = settings;
    this.#archivedLsn = parts.memory.current.archivedLsn;
    this.#floor = parts.log.floor('archive');
    this.#floor.raise(this.#archivedLsn); // I2
    this.#lag = new ArchiveLag(parts.log, parts.clock, this.#archivedLsn);
  }

  /** Becomes the writer, or rejects; the loop goes on with it where this could not. */
  async enter(signal: AbortSignal): Promise<void> {
    const claim = await this.#parts.enter(signal);
    this.#claim = claim;
    this.#previousTag = NO_TAG;
    this.#outgoing = undefined;
    this.#unnoted = [];
    this.#parts.fence.claimed(claim.epoch);
    this.#fenceCheckedMs = this.#parts.clock.monotonicMs();
    this.#archivesFrom(claim.from);
    this.#state = 'archiving';
    this.#parts.logger.info('archive.claimed', { epoch: claim.epoch, from: claim.from });
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** A batch is durable up to `lsn`. Cheap: called after every batch. */
  settled(lsn: Lsn): void {
    this.#lag.durable(lsn);
    if (this.#wake !== undefined && this.#isPieceFull()) this.#wake();
  }

  stats(): ArchiveStats {
    const { code, message } = this.#lastError ?? {};
    return {
      state: this.#state,
      epoch: this.#claim?.epoch,
      archivedLsn: this.#archivedLsn,
      ...this.#lag.stats(),
      pieces: this.#pieces,
      pieceBytes: this.#pieceBytes,
      lastError: code === undefined || message === undefined ? undefined : { code, message },
    };
  }

  flush(): Promise<void> {
    const lsn = this.#parts.log.durableLsn;
    return new Promise((resolve, reject) => {
      const ended = this.#ended();
      if (ended !== undefined) return reject(ended);
      if (this.#claim !== undefined && lsn <= this.#archivedLsn) return resolve();
      this.#waiters.push({ lsn, resolve, reject });
      this.#wakeUp();
    });
  }

  /** Stops at the next step. What is not archived stays in the log. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('CLOSED', 'database is closed'));
    this.#wakeUp();
    await this.#loop;
    if (this.#state !== 'fenced' && this.#state !== 'refused') this.#state = 'closed';
    this.#reject(this.#ended());
  }

  #ended(): HoldfastError | undefined {
    if (this.#state === 'fenced' || this.#state === 'refused') return this.#lastError;
    return this.#closing.signal.reason as HoldfastError | undefined;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.#round(signal);
        this.#failures = 0;
        this.#lastError = undefined;
        this.#state = 'archiving';
      } catch (error) {
        if (signal.aborted) return;
        if (this.#failed(error)) return;
      }
      await this.#pause();
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    await this.#note();
    if (this.#claim === undefined) await this.enter(signal);
    await this.#parts.prepare(signal);
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#fenceCheckedMs >= this.#settings.fenceCheckIntervalMs) {
      await this.#checkFence(signal);
    }
    if (this.#outgoing !== undefined) await this.#publish(this.#outgoing, signal);
    const to = this.#parts.log.durableLsn;
    const all = this.#waiters.length > 0 || now >= this.#allDueMs;
    const turn = this.#lag.turn();
    this.#leftBytes = 0;
    if (to > this.#archivedLsn) {
      for await (const records of this.#runsUpTo(to, all)) {
        await this.#publish(this.#outgoingOf(records), signal);
        if (signal.aborted) return;
      }
    }
    await this.#note();
    this.#lag.roundEnded(turn, this.#leftBytes);
    if (all) this.#allDueMs = now + this.#settings.intervalMs;
    const reached = this.#waiters.filter(({ lsn }) => lsn <= this.#archivedLsn);
    this.#waiters = this.#waiters.filter(({ lsn }) => lsn > this.#archivedLsn);
    for (const { resolve } of reached) resolve();
    if (this.#waiters.length > 0) this.#woken = true;
  }

  /**
   * What is durable and not archived, in runs of the size of a piece. I1, I4.
   *
   * @param all with what is left over in the end; it waits for more otherwise.
   */
  async *#runsUpTo(to: Lsn, all: boolean): AsyncGenerator<StoredRecord[], void, void> {
    const { pieceBytes } = this.#settings;
    let next = this.#archivedLsn + 1;
    let records: StoredRecord[] = [];
    let bytes = 0;
    const oldest = this.#parts.log.segments()[0]?.firstLsn ?? (next as Lsn);
    if (oldest > next) throw this.#gap(next as Lsn, oldest);
    for await (const record of this.#parts.log.replay({ from: next as Lsn, to })) {
      next++;
      const size = record.payload.length + ARCHIVED_RECORD_BYTES;
      if (records.length > 0 && bytes + size > pieceBytes) {
        this.#lag.oldest(records[0] as StoredRecord);
        yield records;
        records = [];
        bytes = 0;
      }
      records.push(record);
      bytes += size;
    }
    const isLeft = !all && bytes < pieceBytes; // one large record is a full piece
    this.#leftBytes = isLeft ? bytes : 0;
    if (records.length === 0) return;
    this.#lag.oldest(records[0] as StoredRecord);
    if (!isLeft) yield records;
  }

  /** The log was let go before it was archived: another claim says where the archive goes on. */
  #gap(wantedLsn: Lsn, foundLsn: Lsn): HoldfastError {
    this.#claim = undefined;
    this.#state = 'claiming';
    return new HoldfastError('LSN_GAP', `log lacks records to archive wanted=${wantedLsn}`, {
      details: { wantedLsn, foundLsn },
    });
  }

  #outgoingOf(records: StoredRecord[]): Outgoing {
    const { repository } = this.#parts;
    const { epoch } = this.#claim as WriterClaim;
    const content = { epoch, previousTag: this.#previousTag, records };
    const piece = encodeArchivePiece(repository.codec, repository.names, content);
    const outgoing = { piece, restorePoints: restorePointsIn(records, epoch) };
    this.#outgoing = outgoing;
    return outgoing;
  }

  async #publish({ piece, restorePoints }: Outgoing, signal: AbortSignal): Promise<void> {
    const { repository } = this.#parts;
    await this.#checkFence(signal);
    await this.#parts.prepare(signal);
    await cut('backup.pieceMade');
    const { length } = piece.bytes;
    await repository.store.put(piece.key, piece.bytes, { signal, contentLength: length });
    await cut('backup.piecePut');
    for (const point of restorePoints) await repository.putRestorePoint(point, { signal });
    await cut('backup.restorePointsPut');
    this.#outgoing = undefined;
    this.#previousTag = piece.tag;
    this.#pieces++;
    this.#pieceBytes += length;
    this.#archivedLsn = piece.name.lastLsn;
    this.#lag.archived(piece.name.lastLsn);
    this.#unnoted.push(piece.name);
    if (this.#unnoted.length >= NOTED_PIECES) await this.#note();
  }

  /** Remembers what was put, and lets the log go. I2. */
  async #note(): Promise<void> {
    const last = this.#unnoted.at(-1);
    if (last === undefined) return;
    const { memory } = this.#parts;
    const { firstLsn: archivedFrom, lastLsn: archivedLsn } = last;
    await memory.save({ ...memory.current, archivedLsn, archivedFrom });
    await cut('backup.archiveNoted');
    this.#unnoted = [];
    this.#floor.raise(archivedLsn);
    this.#parts.archived(archivedLsn);
  }

  /** May go back behind what an earlier claim archived: a floor does not fall, so another one. */
  #archivesFrom(from: Lsn): void {
    const before = this.#floor;
    this.#floor = this.#parts.log.floor('archive');
    before.release();
    this.#archivedLsn = (from - 1) as Lsn;
    this.#lag.archived(this.#archivedLsn);
    this.#floor.raise(this.#archivedLsn);
    this.#parts.archived(this.#archivedLsn);
  }

  async #checkFence(signal: AbortSignal): Promise<void> {
    await this.#parts.fence.check({ signal });
    this.#fenceCheckedMs = this.#parts.clock.monotonicMs();
  }

  /** True when the loop ends. I5. */
  #failed(cause: unknown): boolean {
    const error = isHoldfastError(cause)
      ? cause
      : new HoldfastError('STORAGE_UNAVAILABLE', 'archiving failed', { cause });
    this.#lastError = error;
    const { logger } = this.#parts;
    const fields = { code: error.code, message: error.message };
    if (isArchiveRefusal(error)) {
      this.#state = error.code === 'WRITER_FENCED' ? 'fenced' : 'refused';
      logger.error('archive.stopped', fields);
      this.#parts.fail(error);
      this.#reject(error);
      return true;
    }
    if (this.#claim !== undefined) this.#state = 'behind';
    if (++this.#failures === 1) logger.warn('archive.behind', fields);
    this.#reject(error);
    return false;
  }

  #reject(error: HoldfastError | undefined): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(error);
  }

  async #pause(): Promise<void> {
    if (this.#woken || this.#isPieceFull()) {
      this.#woken = false;
      return;
    }
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = this.#parts.clock.after(this.#pauseMs(), resolve);
    });
    timer?.cancel();
    this.#wake = undefined;
    this.#woken = false;
  }

  #isPieceFull(): boolean {
    return this.#failures === 0 && this.#lag.pieceBytes() >= this.#settings.pieceBytes;
  }

  #pauseMs(): number {
    if (this.#failures === 0) {
      const dueMs = Math.max(0, this.#allDueMs - this.#parts.clock.monotonicMs());
      return Math.min(dueMs, this.#settings.fenceCheckIntervalMs);
    }
    const longest = LIMITS.archiveRetryMs * 2 ** Math.min(this.#failures - 1, 16);
    return 1 + this.#parts.random.integer(Math.min(longest, LIMITS.maxArchiveRetryMs));
  }

  #wakeUp(): void {
    if (this.#wake === undefined) this.#woken = true;
    else this.#wake();
  }
}
