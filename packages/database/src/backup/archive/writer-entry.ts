/**
 * How a process becomes the writer of a repository: it makes sure that its log goes on from what is
 * archived, and puts the next claim. Run again after a failure, it finds out what the last attempt
 * left.
 *
 * Invariants
 * 1. A claim is put only after this directory noted it, and only with `ifAbsent`.
 * 2. A claim goes on from a parent only up to the last record of which the archive and the local log
 *    hold the same, or which the parent archived and nobody has any more.
 * 3. What the repository holds and this directory does not is given up only when the operator said
 *    so (`takeOver`, `acceptRollback`).
 */
import {
  type Clock,
  cut,
  hasCode,
  HoldfastError,
  type Logger,
  type Lsn,
  type Random,
} from '@holdfast/core';
import type { Log } from '@holdfast/log';
import type { CallOptions } from '@holdfast/objects';
import { ArchiveComparison } from './archive-comparison.ts';
import type { ArchiveMemory, ArchiveState, OwnClaim, PendingClaim } from './archive-state.ts';
import type { Repository } from '../repository/repository.ts';
import type { WriterClaim } from '../repository/writer-claim.ts';
import { fenced } from './writer-fence.ts';

export interface WriterEntryParts {
  readonly repository: Repository;
  readonly memory: ArchiveMemory;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly shardCount: number;
}

export interface WriterEntrySettings {
  /** This directory is right, whoever wrote the repository last and whatever else it holds. */
  readonly takeOver: boolean;
  /** The repository may lack what this directory archived. */
  readonly acceptRollback: boolean;
}

/** Where the next claim begins: `parent` 0 is a history of its own. */
interface Beginning {
  readonly parent: number;
  readonly from: Lsn;
}

export class WriterEntry {
  readonly #parts: WriterEntryParts;
  /** What the operator said holds for one entry. */
  #settings: WriterEntrySettings;

  constructor(parts: WriterEntryParts, settings: WriterEntrySettings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /**
   * Resolves with the claim that is ours now: it archives from `from` on.
   *
   * @throws `WRITER_FENCED`, `ARCHIVE_AHEAD`, `ARCHIVE_DIVERGED`, `REPOSITORY_ROLLED_BACK`; what the
   * store says when it is away.
   */
  async enter(options: CallOptions = {}): Promise<WriterClaim> {
    await this.#settlePending(options);
    const { repository, memory, clock, random, shardCount } = this.#parts;
    const newest = (await repository.epochs(options)).at(-1) ?? 0;
    const { parent, from } = await this.#beginning(newest, options);
    const claim: WriterClaim = {
      epoch: newest + 1,
      claimId: random.bytes(16).toString('hex'),
      parent,
      from,
      shardCount,
      claimedAtMs: clock.now(),
    };
    await memory.save({ ...memory.current, pending: claim }); // I1
    await cut('backup.claimAnnounced');
    await this.#put(claim, options);
    this.#settings = { takeOver: false, acceptRollback: false };
    return claim;
  }

  /** Finds out whether a claim of an earlier attempt was put; puts it when its place is free. */
  async #settlePending(options: CallOptions): Promise<void> {
    const { repository, memory } = this.#parts;
    const { pending } = memory.current;
    if (pending === undefined) return;
    const newest = (await repository.epochs(options)).at(-1) ?? 0;
    const there =
      newest < pending.epoch ? undefined : await repository.claim(pending.epoch, options);
    if (there?.claimId === pending.claimId) await this.#keep(pending);
    else if (newest === pending.epoch - 1) await this.#put(pending, options);
    else await memory.save({ ...memory.current, pending: undefined });
  }

  async #put(claim: PendingClaim, options: CallOptions): Promise<void> {
    const { repository } = this.#parts;
    try {
      await repository.putClaim(claim, options);
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
      const there = await repository.claim(claim.epoch, options);
      // Ours after all: an answer got lost on its way.
      if (there?.claimId !== claim.claimId) {
        throw fenced(this.#parts.memory.current.claim?.epoch, claim.epoch);
      }
    }
    await cut('backup.claimPut');
    await this.#keep(claim);
  }

  async #keep({ epoch, claimId, from }: PendingClaim): Promise<void> {
    const { repositoryId } = this.#parts.memory.current;
    const state: ArchiveState = {
      repositoryId,
      claim: { epoch, claimId },
      archivedLsn: (from - 1) as Lsn,
      archivedFrom: 0 as Lsn,
    };
    await this.#parts.memory.save(state);
    await cut('backup.claimKept');
  }

  async #beginning(newest: number, options: CallOptions): Promise<Beginning> {
    const { claim, restoredFrom } = this.#parts.memory.current;
    if (restoredFrom !== undefined) {
      return this.#goOn(newest, restoredFrom.epoch, options, async () => restoredFrom.lsn);
    }
    if (claim === undefined) {
      if (newest > 0 && !this.#settings.takeOver) throw fenced(undefined, newest);
      return this.#anew();
    }
    const isOurs = (await this.#claimOf(claim, newest, options)) !== undefined;
    if (newest >= claim.epoch && (newest > claim.epoch || !isOurs)) {
      if (!this.#settings.takeOver) throw fenced(claim.epoch, newest);
      if (!isOurs) return this.#anew();
    }
    return this.#goOn(newest, claim.epoch, options, () => this.#sameUpTo(claim, options));
  }

  async #claimOf(
    claim: OwnClaim,
    newest: number,
    options: CallOptions,
  ): Promise<WriterClaim | undefined> {
    if (newest < claim.epoch) return undefined;
    const there = await this.#parts.repository.claim(claim.epoch, options);
    return there?.claimId === claim.claimId ? there : undefined;
  }

  /** A history of its own, of everything that the log still has; restores begin at a snapshot. */
  #anew(): Beginning {
    return { parent: 0, from: this.#oldest() };
  }

  async #goOn(
    newest: number,
    parent: number,
    options: CallOptions,
    sameUpTo: () => Promise<Lsn | undefined>,
  ): Promise<Beginning> {
    const { repository, logger, log, shardCount } = this.#parts;
    const known = newest < parent ? undefined : await sameUpTo();
    const claim = newest < parent ? undefined : await repository.claim(parent, options);
    if (known === undefined || claim === undefined) {
      if (!this.#settings.acceptRollback) throw rolledBack(parent, newest);
      return this.#anew();
    }
    if (known > log.durableLsn && !this.#settings.takeOver) throw ahead(log.durableLsn, known);
    const last = Math.min(known, log.durableLsn);
    if (claim.shardCount !== shardCount) {
      logger.warn('archive.beginsAnew', { reason: 'other shard count', from: log.nextLsn });
      return { parent: 0, from: log.nextLsn };
    }
    const oldest = this.#oldest();
    if (oldest > last + 1) {
      logger.warn('archive.gap', { firstLsn: last + 1, lastLsn: oldest - 1 });
    }
    return { parent, from: Math.max(last + 1, oldest) as Lsn };
  }

  /** I2. `undefined` when the repository lacks what it had. */
  async #sameUpTo(claim: OwnClaim, options: CallOptions): Promise<Lsn | undefined> {
    const { repository, memory, log } = this.#parts;
    const comparison = new ArchiveComparison({ repository, log, epoch: claim.epoch });
    const { archivedLsn, archivedFrom } = memory.current;
    if (!(await comparison.stillHolds(archivedFrom, archivedLsn, options))) return undefined;
    const { same, archived } = await comparison.run(archivedLsn, this.#oldest(), options);
    if (same === archived || this.#settings.takeOver) return same;
    if (same >= log.durableLsn) throw ahead(log.durableLsn, archived);
    throw new HoldfastError(
      'ARCHIVE_DIVERGED',
      `the archive holds other records than this directory, restore or open the right copy with the option to take over firstLsn=${same + 1}`,
      { details: { firstLsn: same + 1, archivedLsn: archived } },
    );
  }

  #oldest(): Lsn {
    const { log } = this.#parts;
    return log.segments()[0]?.firstLsn ?? log.nextLsn;
  }
}

function ahead(durableLsn: Lsn, archivedLsn: Lsn): HoldfastError {
  return new HoldfastError(
    'ARCHIVE_AHEAD',
    `the archive holds records that this directory lacks, restore or open with the option to take over durableLsn=${durableLsn} archivedLsn=${archivedLsn}`,
    { details: { durableLsn, archivedLsn } },
  );
}

function rolledBack(epoch: number, newest: number): HoldfastError {
  return new HoldfastError(
    'REPOSITORY_ROLLED_BACK',
    `the repository is older than what this directory knows of it, check the place of the backup or accept it as it is epoch=${epoch} newestEpoch=${newest}`,
    { details: { epoch, newestEpoch: newest } },
  );
}
