/**
 * Who creates, deletes or sweeps snapshots of a repository now: one at a time, by an object that
 * its holder renews. It is for liveness and for order; what must never happen twice is kept by the
 * writer's fence and by looking again before a delete.
 *
 * Invariants
 * 1. A holder counts its time from before the call that renewed it was made, by the monotonic clock;
 *    others count from the end the object names, and wait the grace on top. So a holder knows that
 *    it lost the lease before anybody takes it.
 * 2. A lease is taken over only as it was seen when it had ended or was given back: where the store
 *    can, by its etag, and it is given back likewise, so that no call that comes late does harm.
 *    Where the store cannot, it is deleted, and put anew; of two who do so at once one finds out
 *    before what it did counts.
 * 3. A lease that does not change for its time and the grace has ended, whatever clock wrote it.
 * 4. `release` deletes only the lease of its holder.
 * 5. What its holder changes in the repository may come late when an answer was lost. Then the lease
 *    is not given back but left to end: nobody works there before that change came or never will.
 *
 * Owner: whoever took it.
 */
import {
  type Clock,
  cut,
  hasCode,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  type Logger,
  type Random,
  sleep,
  type Timer,
} from '@holdfast/core';
import type { CallOptions, ObjectStore } from '@holdfast/objects';
import type { Repository } from '../repository/repository.ts';

/** What a lease is taken for; named to those who have to wait. */
export type LeasePurpose = 'create' | 'delete' | 'sweep' | 'prune';

export interface LeaseComponents {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface TakeLeaseOptions extends CallOptions {
  /** How long to wait for somebody else. Default: not at all. */
  readonly waitMs?: number | undefined;
}

interface LeaseRecord {
  readonly holder: string;
  readonly purpose: string;
  readonly renewals: number;
  /** Wall clock of the holder, ms since 1970; 0 when it was given back. */
  readonly endsAtMs: number;
}

interface FoundLease {
  readonly etag: string;
  /** `undefined` when it makes no sense. */
  readonly record: LeaseRecord | undefined;
}

const HOLDER_BYTES = 16;
const RELEASE_MS = 10_000;
const GONE_LOOKS = 5;

export class RepositoryLeases {
  readonly #components: LeaseComponents;
  /** The lease of another that was seen last, and since when it is the same. I3. */
  #seen: { readonly etag: string; readonly sinceMs: number } | undefined;

  constructor(components: LeaseComponents) {
    this.#components = components;
  }

  /** `REPOSITORY_BUSY` when somebody else holds it, and still does after `waitMs`. */
  async take(purpose: LeasePurpose, options: TakeLeaseOptions = {}): Promise<Lease> {
    const { clock } = this.#components;
    const { signal, waitMs = 0 } = options;
    const untilMs = clock.monotonicMs() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      const lease = new Lease(this.#components, purpose);
      const other = await this.#tryTake(lease, signal);
      if (other === undefined) return lease;
      if (clock.monotonicMs() >= untilMs) throw busy(other.record);
      await sleep(clock, LIMITS.repositoryLeaseLookMs, signal);
    }
  }

  /** Whose it is, when it is not ours now. */
  async #tryTake(lease: Lease, signal: AbortSignal | undefined): Promise<FoundLease | undefined> {
    try {
      let found: FoundLease | undefined;
      for (let looks = 0; found === undefined; looks++) {
        if (await lease.put({ ifAbsent: true, signal })) return undefined;
        found = await readLease(this.#components.repository, { signal });
        if (looks === GONE_LOOKS) throw busy(undefined); // each time it had just gone
      }
      if (!this.#hasEnded(found)) return found;
      this.#tellOf(found);
      return (await this.#takeOver(lease, found, signal)) ? undefined : found;
    } catch (error) {
      await lease.release(); // it may be there all the same
      throw error;
    }
  }

  #tellOf({ record }: FoundLease): void {
    if (record?.endsAtMs === 0) return;
    this.#components.logger.warn('backup.leaseTakenOver', {
      purpose: record?.purpose ?? 'unknown',
      endedAtMs: record?.endsAtMs ?? 0,
    });
  }

  /** I2 */
  async #takeOver(
    lease: Lease,
    found: FoundLease,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const { repository } = this.#components;
    const { store, names } = repository;
    if (store.capabilities.ifMatch) return lease.put({ ifMatch: found.etag, signal });
    const again = await readLease(repository, { signal });
    if (again !== undefined && again.etag !== found.etag) return false;
    await store.delete(names.lease, { signal });
    await cut('backup.leaseDeleted');
    return lease.put({ ifAbsent: true, signal });
  }

  #hasEnded({ etag, record }: FoundLease): boolean {
    const { clock } = this.#components;
    const { repositoryLeaseMs, repositoryLeaseGraceMs } = LIMITS;
    const nowMs = clock.monotonicMs();
    if (this.#seen?.etag !== etag) this.#seen = { etag, sinceMs: nowMs };
    if (record?.endsAtMs === 0) return true;
    if (nowMs - this.#seen.sinceMs > repositoryLeaseMs + repositoryLeaseGraceMs) return true; // I3
    return record !== undefined && clock.now() > record.endsAtMs + repositoryLeaseGraceMs;
  }
}

/** Held from its first successful `put` until `release`, or until `signal` ends. */
export class Lease {
  readonly #components: LeaseComponents;
  readonly #purpose: LeasePurpose;
  readonly #holder: string;
  readonly #lost = new AbortController();
  #etag: string | undefined;
  #renewals = 0;
  #renewTimer: Timer | undefined;
  #endTimer: Timer | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #released: Promise<void> | undefined;
  #isLeftToEnd = false;

  constructor(components: LeaseComponents, purpose: LeasePurpose) {
    this.#components = components;
    this.#purpose = purpose;
    this.#holder = components.random.bytes(HOLDER_BYTES).toString('hex');
  }

  /** Ends, with `FENCED`, when the lease was lost. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Takes it, or holds it for another while. False when the condition does not hold: it is
   * somebody else's.
   */
  async put(options: {
    readonly ifAbsent?: true;
    readonly ifMatch?: string;
    readonly signal?: AbortSignal | undefined;
  }): Promise<boolean> {
    const { clock, repository } = this.#components;
    const sentMs = clock.monotonicMs(); // I1
    this.#renewals++;
    const bytes = this.#encoded(clock.now() + LIMITS.repositoryLeaseMs);
    try {
      const { etag } = await repository.store.put(repository.names.lease, bytes, options);
      this.#held(etag, sentMs);
      return true;
    } catch (error) {
      if (hasCode(error, 'PRECONDITION_FAILED')) return false;
      throw error;
    }
  }

  /** Looks at the object: `FENCED` unless it still says that it is ours. */
  async assertHeld(options: CallOptions = {}): Promise<void> {
    this.#lost.signal.throwIfAborted();
    const found = await readLease(this.#components.repository, options);
    if (found?.record?.holder !== this.#holder) this.#lose();
    this.#lost.signal.throwIfAborted();
  }

  /** One change of the repository that must not come after the lease was given back. I5. */
  async change<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (isHoldfastError(error) && error.effect === 'unknown') this.leaveToEnd();
      throw error;
    }
  }

  /** Something may come late although its caller was answered. I5. */
  leaveToEnd(): void {
    this.#isLeftToEnd = true;
  }

  /** I4, I5. Never rejects: what stays ends by itself. Idempotent. */
  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  #encoded(endsAtMs: number): Buffer {
    const record: LeaseRecord = {
      holder: this.#holder,
      purpose: this.#purpose,
      renewals: this.#renewals,
      endsAtMs,
    };
    return Buffer.from(JSON.stringify(record), 'utf8');
  }

  /** I2 */
  async #giveBack({ store, names }: Repository, etag: string, signal: AbortSignal): Promise<void> {
    if (store.capabilities.ifMatch) {
      await store.put(names.lease, this.#encoded(0), { ifMatch: etag, signal });
    } else {
      await store.delete(names.lease, { signal });
    }
  }

  #held(etag: string, sentMs: number): void {
    const { clock } = this.#components;
    if (this.#released !== undefined) return;
    this.#etag = etag;
    this.#endTimer?.cancel();
    this.#renewTimer?.cancel();
    const leftMs = Math.max(0, sentMs + LIMITS.repositoryLeaseMs - clock.monotonicMs());
    this.#endTimer = clock.after(leftMs, () => this.#lose());
    this.#renewLater();
  }

  #renewLater(): void {
    const { clock } = this.#components;
    if (this.#released !== undefined || this.signal.aborted) return;
    this.#renewTimer = clock.after(LIMITS.repositoryLeaseMs / 4, () => {
      this.#renewing = this.#renew();
    });
  }

  /** Never rejects: a failure is tried again until the lease ends. */
  async #renew(): Promise<void> {
    const { repository, logger } = this.#components;
    const { signal } = this;
    try {
      if (await this.#putAgain(repository.store, signal)) return;
      const found = await readLease(repository, { signal });
      if (found?.record?.holder === this.#holder)
        this.#etag = found.etag; // our own lost answer
      else this.#lose();
    } catch (error) {
      logger.warn('backup.leaseNotRenewed', { reason: String(error) });
    }
    this.#renewLater();
  }

  async #putAgain(store: ObjectStore, signal: AbortSignal): Promise<boolean> {
    if (store.capabilities.ifMatch && this.#etag !== undefined) {
      return this.put({ ifMatch: this.#etag, signal });
    }
    await this.assertHeld({ signal });
    return this.put({ signal });
  }

  #lose(): void {
    this.#endTimer?.cancel();
    this.#renewTimer?.cancel();
    if (this.#released !== undefined || this.signal.aborted) return;
    this.#lost.abort(
      new HoldfastError('FENCED', `the lease of the repository was lost purpose=${this.#purpose}`),
    );
  }

  async #release(): Promise<void> {
    const { clock, repository, logger } = this.#components;
    const isLost = this.signal.aborted;
    this.#endTimer?.cancel();
    this.#renewTimer?.cancel();
    const giveUp = new AbortController();
    const timer = clock.after(RELEASE_MS, () => giveUp.abort());
    if (!isLost) this.#lost.abort(new HoldfastError('CLOSED', 'the lease was given back'));
    await this.#renewing;
    try {
      if (isLost || this.#isLeftToEnd) return;
      const { signal } = giveUp;
      const found = await readLease(repository, { signal });
      if (found?.record?.holder !== this.#holder) return;
      await this.#giveBack(repository, found.etag, signal);
    } catch (error) {
      logger.warn('backup.leaseNotReleased', { reason: String(error) });
    } finally {
      timer.cancel();
    }
  }
}

async function readLease(
  { store, names }: Repository,
  options: CallOptions,
): Promise<FoundLease | undefined> {
  try {
    const content = await store.get(names.lease, options);
    const { etag } = content;
    if (content.size > LIMITS.maxSmallObjectBytes) {
      await content.close();
      return { etag, record: undefined };
    }
    const pieces: Buffer[] = [];
    for await (const piece of content.body) pieces.push(piece);
    return { etag, record: parseRecord(Buffer.concat(pieces).toString('utf8')) };
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined;
    throw error;
  }
}

function parseRecord(text: string): LeaseRecord | undefined {
  let value: Partial<LeaseRecord> | null;
  try {
    value = JSON.parse(text) as Partial<LeaseRecord> | null;
  } catch {
    return undefined;
  }
  const { holder, purpose, endsAtMs, renewals = 0 } = value ?? {};
  if (typeof holder !== 'string' || typeof purpose !== 'string') return undefined;
  if (!Number.isSafeInteger(endsAtMs)) return undefined;
  return { holder, purpose, renewals, endsAtMs: endsAtMs as number };
}

function busy(record: LeaseRecord | undefined): HoldfastError {
  const purpose = record?.purpose ?? 'unknown';
  const endsAtMs = record?.endsAtMs ?? 0;
  return new HoldfastError(
    'REPOSITORY_BUSY',
    `somebody else works on the snapshots of this repository purpose=${purpose} leaseEndsAtMs=${endsAtMs}`,
    { details: { purpose, endsAtMs } },
  );
}
