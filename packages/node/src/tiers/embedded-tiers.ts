/**
 * Tiered stores as an operator has them: `node.kv.tiers`, and through the routes of administration
 * `holdfast tier`.
 *
 * Owner: the node, with whose end everything here ends.
 */
import { HoldfastError, LIMITS } from '@holdfast/core';
import {
  exportEntries,
  importEntries,
  type RepairOptions,
  type RepairReport,
  type TierDifference,
  type TieredKvStore,
  type VerifyOptions,
} from '@holdfast/kv';
import { eitherSignal, type WorkOptions } from '../backup/work.ts';
import { isInside } from '../backup-settings.ts';
import { type HoldProcess, holding } from '../node-keep-alive.ts';
import { type KvLocation, parseKvLocation } from './kv-location.ts';
import {
  migrateStore,
  type MovedOutcome,
  promoteStore,
  restoreStore,
  type RestoreChoice,
  type RestoreOutcome,
  type RewrapOutcome,
  rewrapStore,
  takeOverStore,
} from './tier-operations.ts';
import { engineStoreOf, type TiersContext } from './tier-settings.ts';
import type { TierSlot } from './tier-slot.ts';
import type { TieredStoreStatus } from './tier-status.ts';
import type { TieredStores } from './tiered-stores.ts';

/** What `verify` found. */
export interface TierVerification {
  readonly store: string;
  /** How many keys differ. */
  readonly differences: number;
  /** The first of them: `LIMITS.shownTierDifferences`. */
  readonly shown: readonly TierDifference[];
}

/** What `repair` did, or would do. */
export interface TierRepair extends RepairReport {
  readonly store: string;
  readonly dryRun: boolean;
}

export interface ExportChoice {
  /** Only what has a higher version. */
  readonly since?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class EmbeddedTiers {
  readonly #stores: TieredStores;
  readonly #context: TiersContext;
  readonly #hold: HoldProcess;
  readonly #ended = new AbortController();
  readonly #work = new Set<Promise<unknown>>();

  constructor(stores: TieredStores, context: TiersContext, hold: HoldProcess) {
    this.#stores = stores;
    this.#context = context;
    this.#hold = hold;
  }

  /** Of every store with tiers, whether open or not. */
  list(): readonly TieredStoreStatus[] {
    return this.#stores.status();
  }

  /** @throws `TIERS_NOT_CONFIGURED` */
  status(store: string): TieredStoreStatus {
    const found = this.list().find(({ name }) => name === store);
    return found ?? this.#stores.slot(store).status();
  }

  /** Resolves when nothing is owed to any tier any more. */
  drain(store: string, { signal }: WorkOptions = {}): Promise<TieredStoreStatus> {
    return this.#with(store, async (tiers, slot) => {
      await tiers.drain(this.#watched({ signal }));
      return slot.status();
    });
  }

  /** What primary and backup differ in. Changes nothing. */
  verify(
    store: string,
    options: Pick<VerifyOptions, 'prefix' | 'rate'> & WorkOptions = {},
  ): Promise<TierVerification> {
    return this.#with(store, async (tiers) => {
      const shown: TierDifference[] = [];
      let differences = 0;
      for await (const difference of tiers.verify(this.#watched(options))) {
        differences++;
        if (shown.length < LIMITS.shownTierDifferences) shown.push(difference);
        options.onProgress?.({ phase: 'differences', done: differences, unit: 'records' });
      }
      return { store, differences, shown };
    });
  }

  /** Makes primary and backup equal. */
  repair(
    store: string,
    options: Omit<RepairOptions, 'signal'> & WorkOptions = {},
  ): Promise<TierRepair> {
    return this.#with(store, async (tiers) => {
      const report = await tiers.repair(this.#watched(options));
      return { store, dryRun: options.dryRun === true, ...report };
    });
  }

  /** Fills a primary that lost its entries from the backup; then the store opens, taking over. */
  restore(store: string, options: RestoreChoice = {}): Promise<RestoreOutcome> {
    return this.#held(() => restoreStore(this.#stores.slot(store), this.#watched(options)));
  }

  /** The backup becomes the primary. The settings have to be changed as the outcome says. */
  promote(
    store: string,
    options: WorkOptions & { readonly force?: boolean | undefined } = {},
  ): Promise<MovedOutcome> {
    return this.#held(() => promoteStore(this.#stores.slot(store), this.#watched(options)));
  }

  /** Another place becomes the primary. The settings have to be changed as the outcome says. */
  migrate(store: string, to: string, options: WorkOptions = {}): Promise<MovedOutcome> {
    return this.#held(() => {
      const slot = this.#stores.slot(store);
      return migrateStore(slot, this.#target(slot, to), this.#watched(options));
    });
  }

  /** Of a store that another node wrote to last: that one stops. */
  takeOver(
    store: string,
    options: WorkOptions = {},
  ): Promise<{ readonly store: string; readonly epoch: number }> {
    return this.#held(() => takeOverStore(this.#stores.slot(store), this.#watched(options)));
  }

  /** Values that rest under older keys are sealed anew, with the active one. */
  rewrap(store: string, options: WorkOptions = {}): Promise<RewrapOutcome> {
    return this.#held(() => rewrapStore(this.#stores.slot(store), this.#watched(options)));
  }

  /** Lines of an export. What has no last line is no export. */
  async *export(
    store: string,
    { since, signal }: ExportChoice = {},
  ): AsyncGenerator<string, void, undefined> {
    const slot = this.#stores.slot(store);
    yield* exportEntries(slot.store, {
      ...(since === undefined ? {} : { since }),
      signal: eitherSignal(this.#ended.signal, signal),
    });
  }

  /** An export becomes what is in the primary; the backup is filled from there. */
  import(
    store: string,
    chunks: AsyncIterable<Uint8Array | string>,
    options: RestoreChoice = {},
  ): Promise<RestoreOutcome> {
    return this.#held(() =>
      restoreStore(
        this.#stores.slot(store),
        this.#watched(options),
        importEntries(`export ${store}`, chunks),
      ),
    );
  }

  /** Work under way ends, and nothing new begins; calls of the stores go on. Idempotent. */
  async close(): Promise<void> {
    this.#ended.abort(new HoldfastError('CLOSED', 'the node is closing'));
    await Promise.allSettled([...this.#work]);
  }

  async #held<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#ended.signal.aborted) throw this.#ended.signal.reason as Error;
    const done = holding(async () => work(), this.#hold);
    this.#work.add(done);
    try {
      return await done;
    } finally {
      this.#work.delete(done);
    }
  }

  /** Ends with the node, too; without what was not given. */
  #watched<Options extends { readonly signal?: AbortSignal | undefined }>(
    options: Options,
  ): Options & { readonly signal: AbortSignal } {
    const said = Object.entries(options).filter(([, value]) => value !== undefined);
    const signal = eitherSignal(this.#ended.signal, options.signal);
    return { ...(Object.fromEntries(said) as Options), signal };
  }

  #with<Result>(
    store: string,
    work: (tiers: TieredKvStore, slot: TierSlot) => Promise<Result>,
  ): Promise<Result> {
    return this.#held(async () => {
      const slot = this.#stores.slot(store);
      return work(slot.store, slot);
    });
  }

  /** @throws `INVALID_SETTINGS` */
  #target(slot: TierSlot, text: string): KvLocation {
    const location = parseKvLocation(text, {
      setting: 'to',
      engineStore: engineStoreOf(slot.name, 'primary'),
    });
    const { memory, dir } = this.#context;
    const user = this.#stores.userOf(location.id);
    if (user !== undefined) throw invalid(`is a place of the store ${user} already`);
    if (location.kind === 'memory' && !memory) throw invalid('is gone when the process ends');
    const own = engineStoreOf(slot.name, 'primary');
    if (location.kind === 'engine' && location.store !== own) throw invalid('is another store');
    if ('directory' in location && dir !== undefined && isInside(dir, location.directory)) {
      throw invalid('must not be in the data directory');
    }
    return location;
  }
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `the place of a tier ${message} setting=to`, {
    details: { setting: 'to' },
  });
}
