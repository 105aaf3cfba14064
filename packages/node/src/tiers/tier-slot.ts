/**
 * One tiered store of a node, from the settings to an open store: it is opened in the background, so
 * that a node starts although a Postgres is away, and closed and opened again by operations.
 *
 * Invariants
 * 1. Whatever opens, closes or changes the tiers does so in its turn; calls of users take none.
 * 2. A store is never opened on another primary than the one it knows: after a promotion or a
 *    migration the settings of before are `TIER_MISMATCH`, and say what they have to be.
 * 3. `opening` is left by itself; `refused` by an operation, or by a restart.
 * 4. What was opened for an attempt is closed with it.
 *
 * Owner: `TieredStores`.
 */
import { HoldfastError, isHoldfastError, LIMITS, type Logger, sleep, Turns } from '@holdfast/core';
import {
  combinedCapabilities,
  type KvCapabilities,
  type KvStore,
  openTieredKvStore,
  readTierMemory,
  type TieredKvStore,
  type TierMemory,
} from '@holdfast/kv';
import type { WorkProgress } from '../backup/work.ts';
import { ForwardingKvStore } from './forwarding-kv-store.ts';
import type { KvLocation } from './kv-location.ts';
import { goneStore, LateKvStore, unopened } from './late-kv-store.ts';
import { closeTiers, OpenPlaces, type OpenTiers } from './open-places.ts';
import {
  ASSUMED_CAPABILITIES,
  isNarrower,
  isOutside,
  openTierPlace,
  type TierPlaceComponents,
} from './tier-places.ts';
import { localStoreName, type StoreTiers, TIER_PARTS, type TierPart } from './tier-settings.ts';
import {
  FENCED_ADVICE,
  linesText,
  problemOf,
  type SettingLine,
  settingLines,
  type TieredStoreState,
  type TieredStoreStatus,
  type TierPartStatus,
} from './tier-status.ts';

export interface TierSlotComponents extends TierPlaceComponents {
  readonly logger: Logger;
  /** Which copy the local stores are in. */
  readonly copyId: string | undefined;
  /** A handle, to be closed. */
  readonly engineStore: (name: string) => KvStore;
  /** The same one each time. */
  readonly memoryStore: (key: string) => KvStore;
  /** Durable once it resolves: this name is that of a tiered store. */
  readonly remember: (name: string) => Promise<void>;
}

export type TierLocations = Readonly<Record<TierPart, KvLocation | undefined>> & {
  readonly primary: KvLocation;
};

export interface OpenChoice {
  /** Whoever wrote last stops. */
  readonly takeOver?: boolean;
  /** The primary is not asked: for promotions of what has none any more. */
  readonly withoutPrimary?: boolean;
}

export class TierSlot {
  readonly name: string;
  readonly components: TierSlotComponents;
  readonly turns: Turns = new Turns();
  readonly #tiers: StoreTiers;
  readonly #closing = new AbortController();
  #locations: TierLocations;
  #state: TieredStoreState = 'opening';
  #error: HoldfastError | undefined;
  #open: OpenTiers | undefined;
  #opening: Promise<void> | undefined;
  #lines: readonly SettingLine[] | undefined;
  operation: { readonly kind: string; progress?: WorkProgress } | undefined;

  constructor(components: TierSlotComponents, tiers: StoreTiers) {
    this.name = tiers.name;
    this.components = components;
    this.#tiers = tiers;
    const { primary, backup, ephemeral } = tiers;
    this.#locations = { primary, backup, ephemeral };
  }

  get state(): TieredStoreState {
    return this.#state;
  }

  get locations(): TierLocations {
    return this.#locations;
  }

  /** Values of some of its places are sealed with the keys of the node. */
  get isSealed(): boolean {
    const outside = Object.values(this.#locations).some(
      (one) => one !== undefined && isOutside(one),
    );
    return outside && this.#placeComponents.seal !== undefined;
  }

  /** Ends when the node closes. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  get opened(): OpenTiers | undefined {
    return this.#open;
  }

  /** What calls are passed on to. @throws why there is none. */
  get store(): TieredKvStore {
    if (this.#open !== undefined) return this.#open.store;
    if (this.signal.aborted) throw new HoldfastError('CLOSED', 'the store is closed');
    const why = this.#error === undefined ? '' : `: ${this.#error.message}`;
    if (this.#state === 'refused' && this.#error !== undefined) {
      const { code, message, details } = this.#error;
      throw new HoldfastError(code, message, { cause: this.#error, details });
    }
    const doing = this.operation === undefined ? 'is not open yet' : `is in ${this.operation.kind}`;
    throw new HoldfastError('STORAGE_UNAVAILABLE', `the tiered store ${doing}${why}`, {
      ...(this.#error === undefined ? {} : { cause: this.#error }),
    });
  }

  /** @throws why it is not. */
  assertOpen(): void {
    if (this.#open === undefined) void this.store;
  }

  /** A handle for callers: what is behind it may be closed and opened again meanwhile. */
  handle(): KvStore {
    return new ForwardingKvStore({
      id: this.name,
      capabilities: () => this.#open?.store.capabilities ?? this.#assumed(),
      target: () => this.store,
      close: async () => undefined,
    });
  }

  /** Begins to open, in the background. */
  start(): void {
    if (this.#opening !== undefined || this.signal.aborted) return;
    this.#opening = this.#keepOpening().finally(() => {
      this.#opening = undefined;
    });
  }

  /** In its turn. Afterwards it is open, or the error says why not. */
  async openNow(choice: OpenChoice = {}): Promise<void> {
    if (this.signal.aborted) throw new HoldfastError('CLOSED', 'the node is closing');
    try {
      this.#open = await this.#openOnce(choice);
      this.#state = 'open';
      this.#error = undefined;
      this.components.logger.info('tiers.opened', { store: this.name });
    } catch (error) {
      this.#refuse(error);
      throw error;
    }
  }

  /** In its turn. What is under way in it ends. */
  async shut(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    this.#state = 'opening';
    this.#error = undefined;
    if (open !== undefined) await closeTiers(open);
  }

  /** The parts are other ones than the settings say. */
  moved(locations: Partial<TierLocations>): void {
    this.#locations = { ...this.#locations, ...locations };
    const { primary, backup } = this.#locations;
    this.#lines = settingLines(this.name, primary.id, backup?.id);
  }

  /** What `moved` said did not come to be. */
  notMoved(before: TierLocations): void {
    this.#locations = before;
    this.#lines = undefined;
  }

  get settingLines(): readonly SettingLine[] | undefined {
    return this.#lines;
  }

  /** Stores of the parts that are asked for; first attempts have ended. */
  async openPlaces(
    parts: readonly TierPart[],
    epoch: number | undefined,
    choice: OpenChoice = {},
  ): Promise<OpenPlaces> {
    const places = new OpenPlaces();
    for (const part of parts) {
      const location = this.#locations[part];
      if (location === undefined) continue;
      const gone = part === 'primary' && choice.withoutPrimary === true;
      // What is ephemeral is fenced by nobody: others may use its place, too.
      const own = part === 'ephemeral' ? undefined : epoch;
      const store = this.openLocation(location, part, own, gone);
      places.parts[part] = store;
      places.keep(store);
    }
    const lates = parts.map((part) => places.late(part)).filter((late) => late !== undefined);
    await Promise.all(lates.map((late) => late.begin()));
    return places;
  }

  openLocation(
    location: KvLocation,
    part: string,
    epoch: number | undefined,
    gone = false,
  ): KvStore {
    const { components } = this;
    if (gone)
      return goneStore(components, {
        id: location.id,
        epoch,
        assumed: ASSUMED_CAPABILITIES[location.kind],
      });
    if (location.kind === 'engine') return components.engineStore(location.store);
    if (!isOutside(location)) return components.memoryStore(`${this.name}.${part}`);
    const assumed = ASSUMED_CAPABILITIES[location.kind];
    const store: LateKvStore = new LateKvStore(
      {
        clock: components.clock,
        random: components.random,
        open: (own) =>
          openTierPlace(location, { name: this.name, epoch: own }, this.#placeComponents),
        onLate: () => {
          if (isNarrower(store, assumed)) this.#reopen();
        },
      },
      { id: location.id, epoch, assumed },
    );
    return store;
  }

  local(): KvStore {
    return this.components.engineStore(localStoreName(this.name));
  }

  status(): TieredStoreStatus {
    const status = this.#open?.store.status();
    const tiers: Partial<Record<TierPart, TierPartStatus>> = {};
    for (const part of TIER_PARTS) {
      const location = this.#locations[part];
      if (location === undefined) continue;
      const error = this.#open?.places.late(part)?.error;
      const told = status?.tiers[part];
      tiers[part] = {
        place: location.id,
        state: told?.state ?? 'opening',
        owedOperations: told?.owedOperations ?? 0,
        behind: told?.behind ?? false,
        ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      };
    }
    const fenced = status?.fenced === true || this.#error?.code === 'FENCED';
    const problem = this.#problem(status?.fenced === true);
    return {
      name: this.name,
      state: this.#state,
      ...(problem === undefined ? {} : { problem }),
      ...(this.operation === undefined ? {} : { operation: { ...this.operation } }),
      ...(status === undefined ? {} : { epoch: status.epoch, owed: status.owed }),
      ...{ tiers, fenced },
      ...(this.#lines === undefined ? {} : { settings: this.#lines }),
    };
  }

  /** Ends what is under way, and waits for it. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('CLOSED', 'the node was closed'));
    await this.#opening;
    await this.turns.run(() => this.shut());
  }

  #problem(isFenced: boolean): TieredStoreStatus['problem'] {
    if (this.#error !== undefined) return problemOf(this.#error, this.name);
    if (!isFenced) return undefined;
    return {
      code: 'FENCED',
      message: 'another node has taken this store over: nothing is written here any more',
      advice: `${FENCED_ADVICE} ${this.name}`,
    };
  }

  async #keepOpening(): Promise<void> {
    const { clock, random } = this.components;
    for (let failures = 0; ; failures++) {
      await this.turns.run(async () => {
        if (this.#state !== 'opening' || this.signal.aborted) return;
        await this.openNow().catch(() => undefined);
      });
      if (this.#state !== 'opening' || this.signal.aborted) return;
      const most = Math.min(LIMITS.maxDrainPauseMs, LIMITS.drainPauseMs * 2 ** failures);
      await sleep(clock, 1 + random.integer(most), this.signal).catch(() => undefined);
    }
  }

  async #openOnce(choice: OpenChoice): Promise<OpenTiers> {
    const local = this.local();
    let places: OpenPlaces | undefined;
    try {
      const memory = await readTierMemory(local);
      this.#assertCurrent(memory, choice);
      await this.components.remember(this.name);
      places = await this.openPlaces(TIER_PARTS, memory.epoch, choice);
      assertOpenable(places, choice);
      const { primary, backup, ephemeral } = places.parts;
      const takeOver = choice.takeOver === true || this.#tiers.settings.takeOver === true;
      const store = await openTieredKvStore(
        this.components,
        { primary: primary as KvStore, backup, ephemeral, local },
        { ...this.#tiers.settings, takeOver, copyId: this.components.copyId },
      );
      places.keep(local);
      return { store, places };
    } catch (error) {
      const because = places?.late('primary')?.error;
      await places?.close(); // I4
      await local.close();
      const isAnswer = isHoldfastError(error) && !error.retryable;
      throw because === undefined || isAnswer ? error : unopened('primary', because);
    }
  }

  /** I2. */
  #assertCurrent({ epoch, primaryId, backupId }: TierMemory, { takeOver }: OpenChoice): void {
    const { primary } = this.#locations;
    if (epoch === 0 || primaryId === primary.id || takeOver || this.#tiers.settings.takeOver)
      return;
    this.#lines = settingLines(this.name, primaryId, backupId);
    throw new HoldfastError(
      'TIER_MISMATCH',
      `the primary of the store was changed to ${primaryId}, the settings say ${primary.id}: ` +
        linesText(this.#lines),
    );
  }

  #refuse(thrown: unknown): void {
    const error = isHoldfastError(thrown)
      ? thrown
      : new HoldfastError('STORAGE_UNAVAILABLE', `a tier failed: ${String(thrown)}`, {
          cause: thrown,
        });
    const passes = error.retryable || ['ACCESS_DENIED', 'DIRECTORY_LOCKED'].includes(error.code);
    const isNew = this.#error?.message !== error.message;
    this.#error = error;
    this.#state = passes ? 'opening' : 'refused'; // I3
    if (!isNew || this.signal.aborted) return;
    const { code, message } = error;
    this.components.logger.warn('tiers.notOpened', { store: this.name, code, message });
  }

  #reopen(): void {
    void this.turns
      .run(() => this.shut())
      .catch(() => undefined)
      .then(() => this.start());
  }

  get #placeComponents(): TierPlaceComponents {
    const { seal, ...components } = this.components;
    return this.#tiers.encrypted === false ? components : { ...components, seal };
  }

  /** What callers may rely on until it is known. */
  #assumed(): KvCapabilities {
    const local = this.local();
    const { primary, backup, ephemeral } = this.#locations;
    const assumed = (location: KvLocation | undefined): KvStore | undefined =>
      location && ({ capabilities: ASSUMED_CAPABILITIES[location.kind] } as KvStore);
    const stores = {
      primary: assumed(primary) as KvStore,
      backup: assumed(backup),
      ephemeral: assumed(ephemeral),
      local,
    };
    void local.close();
    return combinedCapabilities(stores, this.#tiers.settings.ephemeralLimits !== undefined);
  }
}

/** What nobody but an operator can help with is told at once, and names the part. */
function assertOpenable(places: OpenPlaces, { withoutPrimary }: OpenChoice): void {
  for (const part of TIER_PARTS) {
    if (part === 'primary' && withoutPrimary === true) continue;
    const late = places.late(part);
    if (late?.error !== undefined && late.isLost) throw unopened(part, late.error);
  }
}
