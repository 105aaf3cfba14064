/** The tiered store as its callers have it; what it does is done by its parts. */
import type { Clock } from '@holdfast/core';
import { BackedKvStore } from '../backed-kv-store.ts';
import { abortedError, closedError } from '../kv-errors.ts';
import type { KvCallOptions, KvCapabilities } from '../kv-store.ts';
import { migratePrimary } from './migrate-primary.ts';
import { promoteBackup } from './promote-backup.ts';
import { verifyTiers } from './tier-mending.ts';
import { TieredBackend } from './tiered-backend.ts';
import { noBackup, type TieredCore } from './tiered-core.ts';
import { TieredReads } from './tiered-reads.ts';
import type {
  CopyProgress,
  MigrateOptions,
  RepairOptions,
  RepairReport,
  TierDifference,
  TieredKvStore,
  TieredStats,
  TieredStatus,
  TierName,
  TierState,
  TierStats,
  VerifyOptions,
} from './tiered-store.ts';
import { TieredWalks } from './tiered-walks.ts';

export class OpenTieredKvStore extends BackedKvStore implements TieredKvStore {
  readonly #core: TieredCore;
  readonly #reads: TieredReads;

  constructor(
    components: { readonly clock: Clock },
    core: TieredCore,
    capabilities: KvCapabilities,
  ) {
    const { tiers, rules, settings, clock } = core.parts;
    const reads = new TieredReads(
      { clock, tiers, rules, limits: core.limits },
      settings.readFallback,
    );
    const backend = new TieredBackend(settings.id, capabilities, {
      reads,
      writes: core.writes,
      walks: new TieredWalks(tiers, rules),
      ring: core.ring,
      flush: () => core.limits.settled(),
      close: () => core.close(),
    });
    super(components, backend);
    this.#core = core;
    this.#reads = reads;
  }

  status(): TieredStatus {
    const { tiers, outbox } = this.#core.parts;
    const states: Partial<Record<TierName, TierState>> = {};
    for (const [name, { tier }] of tiers.all()) {
      const owedOperations = outbox.countFor(name);
      const behind = name === 'backup' && tiers.behind;
      const state = tier.isDown ? 'down' : behind || owedOperations > 0 ? 'degraded' : 'ok';
      states[name] = { state, owedOperations, behind, stats: tier.stats };
    }
    return {
      epoch: tiers.epoch,
      tiers: states,
      owed: { operations: outbox.size, bytes: outbox.bytes, oldestMs: outbox.oldestMs },
      divergent: outbox.size,
      fenced: this.#core.writes.fenced !== undefined,
    };
  }

  stats(): TieredStats {
    const { writes, drains, limits, parts } = this.#core;
    const tiers: Partial<Record<TierName, TierStats>> = {};
    for (const [name, { tier }] of parts.tiers.all()) tiers[name] = tier.stats;
    return {
      tiers,
      fallbackReads: this.#reads.fallbackReads,
      superseded: writes.superseded,
      partialWrites: writes.partial,
      drained: [...drains.values()].reduce((sum, { drained }) => sum + drained, 0),
      evicted: limits.evicted,
    };
  }

  async drain({ signal }: KvCallOptions = {}): Promise<void> {
    const { outbox } = this.#core.parts;
    for (;;) {
      this.#assertOpen();
      if (signal?.aborted) throw abortedError(signal);
      if (outbox.size === 0) return;
      const { fenced } = this.#core.writes;
      if (fenced !== undefined) throw fenced; // what it owes it brings nowhere any more
      const less = outbox.less(signal);
      this.#core.kick();
      await less;
    }
  }

  async *verify(options: VerifyOptions = {}): AsyncGenerator<TierDifference, void, undefined> {
    this.#assertOpen();
    const { tiers } = this.#core.parts;
    if (tiers.backup === undefined) throw noBackup();
    const signal = this.#either(options.signal);
    yield* verifyTiers(this.#core.mending, tiers.primary, tiers.backup, { ...options, signal });
  }

  async repair(options: RepairOptions = {}): Promise<RepairReport> {
    this.#assertOpen();
    const { direction = 'by-version' } = options;
    const signal = this.#either(options.signal);
    return this.#core.exclusively(() => this.#core.repair({ ...options, direction, signal }));
  }

  async promote({ force = false }: { readonly force?: boolean } = {}): Promise<{ epoch: number }> {
    this.#assertOpen();
    return this.#core.exclusively(() => promoteBackup(this.#core, force));
  }

  async *migrate(options: MigrateOptions): AsyncGenerator<CopyProgress, void, undefined> {
    this.#assertOpen();
    yield* migratePrimary(this.#core, options);
  }

  override close(): Promise<void> {
    this.#core.end();
    return super.close();
  }

  #assertOpen(): void {
    if (this.#core.signal.aborted) throw closedError();
  }

  #either(signal: AbortSignal | undefined): AbortSignal {
    const own = this.#core.signal;
    return signal === undefined ? own : AbortSignal.any([signal, own]);
  }
}
