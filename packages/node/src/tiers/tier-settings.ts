/**
 * The tiers of named stores, as they are given: `openNode({ tiers })` and the file of
 * `serve --tiers`. Checked once; what comes out names every place.
 *
 * Invariants
 * 1. Nothing unknown is passed over: a typing error must not leave a store without its backup.
 * 2. No place is given twice, in whatever parts, nor the folder of the node itself.
 * 3. Places may hold passwords: what is given here is never shown; their ids are.
 */
import { closestName, HoldfastError, LIMITS } from '@holdfast/core';
import type { EphemeralBounds, TieredSettings, TierRule } from '@holdfast/kv';
import { isInside } from '../backup-settings.ts';
import { type KvLocation, parseKvLocation } from './kv-location.ts';

/** Of one store; texts of places: see `kv-location.ts`. */
export interface StoreTiersInput {
  /** Default: `engine:`. */
  readonly primary?: string | undefined;
  readonly backup?: string | undefined;
  readonly ephemeral?: string | undefined;
  readonly rules?: readonly TierRule[] | undefined;
  readonly onRulesChange?: TieredSettings['onRulesChange'] | undefined;
  readonly backupMode?: TieredSettings['backupMode'] | undefined;
  readonly readFallback?: TieredSettings['readFallback'] | undefined;
  readonly onOwedLimit?: TieredSettings['onOwedLimit'] | undefined;
  readonly maxOwedOperations?: number | undefined;
  readonly maxOwedBytes?: number | undefined;
  readonly maxOwedAgeMs?: number | undefined;
  readonly callTimeoutMs?: number | undefined;
  readonly ephemeralLimits?: EphemeralBounds | undefined;
  /** At each opening: whoever else wrote to these places stops. Better: `tier take-over`, once. */
  readonly takeOver?: boolean | undefined;
  /** Values are sealed with the keys of the node before they leave it. Default: with keys, yes. */
  readonly encrypted?: boolean | undefined;
}

/** By the names of stores. */
export type TiersInput = Readonly<Record<string, StoreTiersInput>>;

export const TIER_PARTS = ['primary', 'backup', 'ephemeral'] as const;
export type TierPart = (typeof TIER_PARTS)[number];

export interface StoreTiers {
  readonly name: string;
  readonly primary: KvLocation;
  readonly backup: KvLocation | undefined;
  readonly ephemeral: KvLocation | undefined;
  /** `undefined`: as the node is. */
  readonly encrypted: boolean | undefined;
  readonly settings: TieredSettings;
}

export interface TiersContext {
  readonly memory: boolean;
  readonly dir: string | undefined;
}

type Check = (value: unknown) => string | undefined;

const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(value as string) ? undefined : `must be ${words.join(' or ')}`;
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');
const text: Check = (value) => (typeof value === 'string' ? undefined : 'must be a text');
const count: Check = (value) =>
  Number.isSafeInteger(value) && (value as number) > 0
    ? undefined
    : 'must be a whole number above 0';

const MEMBERS: Record<keyof StoreTiersInput, Check> = {
  primary: text,
  backup: text,
  ephemeral: text,
  rules: checkRules,
  onRulesChange: oneOf('refuse', 'migrate'),
  backupMode: oneOf('sync', 'async'),
  readFallback: checkFallback,
  onOwedLimit: oneOf('block', 'fail', 'degrade'),
  maxOwedOperations: count,
  maxOwedBytes: count,
  maxOwedAgeMs: count,
  callTimeoutMs: count,
  ephemeralLimits: checkEphemeralLimits,
  takeOver: flag,
  encrypted: flag,
};

const STORE_NAME = /^[A-Za-z0-9.-][A-Za-z0-9_.-]*$/;
/** The engine keeps parts of a tiered store under names that are longer than its own. */
const LOCAL_PREFIX = '_tiers.';
const LONGEST_PREFIX = '_tiers-ephemeral.';
const MAX_NAME_CHARS: number = LIMITS.maxStoreNameBytes - LONGEST_PREFIX.length;

/** Name of the engine's store in which a tiered store keeps its intents. */
export function localStoreName(store: string): string {
  return LOCAL_PREFIX + store;
}

/** What `engine:` alone means for this part. */
export function engineStoreOf(store: string, part: TierPart): string {
  return part === 'primary' ? store : `_tiers-${part}.${store}`;
}

/** @throws `INVALID_SETTINGS`, naming the setting and what would be right. */
export function parseTiers(input: unknown, context: TiersContext): readonly StoreTiers[] {
  if (input === undefined) return [];
  const stores = Object.entries(objectOf(input, 'tiers')).map(([name, tiers]) =>
    parseStore(name, tiers, context),
  );
  assertApart(stores, context);
  return stores;
}

function parseStore(name: string, input: unknown, context: TiersContext): StoreTiers {
  const at = `tiers.${name}`;
  if (!STORE_NAME.test(name) || name.length > MAX_NAME_CHARS) {
    throw invalid(
      `names a store that is not 1 to ${MAX_NAME_CHARS} of A-Z a-z 0-9 . - and, not first, _`,
      'tiers',
    );
  }
  const given = objectOf(input, at) as StoreTiersInput;
  assertMembers(given, MEMBERS, at);
  const place = (part: TierPart, fallback?: string): KvLocation | undefined => {
    const location = given[part] ?? fallback;
    if (location === undefined) return undefined;
    const parsed = parseKvLocation(location, {
      setting: `${at}.${part}`,
      engineStore: engineStoreOf(name, part),
    });
    assertLasting(parsed, part, at, context);
    assertOwn(parsed, name, `${at}.${part}`);
    return parsed;
  };
  const primary = place('primary', 'engine:') as KvLocation;
  const backup = place('backup');
  const ephemeral = place('ephemeral');
  if (ephemeral === undefined && (given.rules?.length ?? 0) > 0) {
    throw invalid('say what is ephemeral, and there is no ephemeral place', `${at}.rules`);
  }
  if (ephemeral !== undefined && (given.rules?.length ?? 0) === 0) {
    throw invalid('is given, and no rules that say what goes there', `${at}.ephemeral`);
  }
  const { encrypted, ...rest } = given;
  return {
    ...{ name, primary, backup, ephemeral, encrypted },
    settings: { ...tieredSettings(rest), id: name },
  };
}

function tieredSettings(given: StoreTiersInput): Omit<TieredSettings, 'id'> {
  const { primary: _p, backup: _b, ephemeral: _e, encrypted: _c, ...settings } = given;
  const said = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said) as Omit<TieredSettings, 'id'>;
}

/** What is gone with the process is no primary and no backup, unless all of the node is. */
function assertLasting(
  { kind }: KvLocation,
  part: TierPart,
  at: string,
  { memory }: TiersContext,
): void {
  if (part === 'ephemeral') return;
  if (!memory && kind === 'memory') {
    throw invalid(
      'is gone when the process ends: memory: is for ephemeral entries',
      `${at}.${part}`,
    );
  }
  if (memory && kind !== 'memory' && kind !== 'engine') {
    // At every start it would be a new node, which never wrote there.
    throw invalid(
      'cannot be combined with memory: the node forgets what it wrote',
      `${at}.${part}`,
    );
  }
}

/** Other stores of the engine have users of their own. */
function assertOwn(location: KvLocation, name: string, setting: string): void {
  if (location.kind !== 'engine') return;
  const own = TIER_PARTS.map((part) => engineStoreOf(name, part));
  if (own.includes(location.store)) return;
  throw invalid(`is a store of its own: write engine:, or one of ${own.join(', ')}`, setting);
}

/** I2. */
function assertApart(stores: readonly StoreTiers[], { dir }: TiersContext): void {
  const places = stores.flatMap((store) =>
    TIER_PARTS.map((part) => ({ location: store[part], setting: `tiers.${store.name}.${part}` })),
  );
  const users = new Map<string, string>();
  for (const { location, setting } of places) {
    if (location === undefined || location.kind === 'memory') continue;
    const other = users.get(location.id);
    if (other !== undefined) {
      throw invalid(`is the same place as ${other}: each needs one of its own`, setting);
    }
    users.set(location.id, setting);
  }
  const folders = places.flatMap(({ location, setting }) =>
    location !== undefined && 'directory' in location
      ? [{ directory: location.directory, setting }]
      : [],
  );
  for (const { directory, setting } of folders) {
    if (dir !== undefined && isInside(dir, directory)) {
      throw invalid('must not be in the data directory: it would be lost with it', setting);
    }
    const around = folders.find(
      (one) => one.setting !== setting && isInside(one.directory, directory),
    );
    if (around !== undefined) throw invalid(`is in the folder of ${around.setting}`, setting);
  }
}

function checkRules(value: unknown): string | undefined {
  if (!Array.isArray(value)) return 'must be a list of rules';
  for (const rule of value as unknown[]) {
    const { prefix, glob, id, matches } = (rule ?? {}) as Record<string, unknown>;
    const said = [prefix, glob].filter((one) => typeof one === 'string' && one !== '').length;
    const predicate = typeof id === 'string' && id !== '' && typeof matches === 'function';
    const members = typeof rule === 'object' && rule !== null ? Object.keys(rule).length : 0;
    if (predicate ? members !== 2 : said !== 1 || members !== 1) {
      return 'must hold rules like {"prefix": "cache/"} or {"glob": "*/tmp/**"}';
    }
  }
  return undefined;
}

function checkFallback(value: unknown): string | undefined {
  if (value === 'never' || value === 'if-unavailable') return undefined;
  const { hedgedAfterMs } = (value ?? {}) as { hedgedAfterMs?: unknown };
  const hedged = typeof value === 'object' && Number.isSafeInteger(hedgedAfterMs);
  if (hedged && (hedgedAfterMs as number) >= 0 && Object.keys(value as object).length === 1) {
    return undefined;
  }
  return 'must be never, if-unavailable or {"hedgedAfterMs": N}';
}

function checkEphemeralLimits(value: unknown): string | undefined {
  const wrong = 'must be like {"maxBytes": N, "maxEntries": N}';
  if (typeof value !== 'object' || value === null) return wrong;
  for (const [key, bound] of Object.entries(value)) {
    if (key !== 'maxBytes' && key !== 'maxEntries') return wrong;
    if (count(bound) !== undefined) return wrong;
  }
  return undefined;
}

/** I1. */
function assertMembers(given: object, members: Readonly<Record<string, Check>>, at: string): void {
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(members, key)) {
      const near = closestName(key, Object.keys(members));
      throw invalid(
        `unknown setting${near === undefined ? '' : `, did you mean ${near}?`}`,
        `${at}.${key}`,
      );
    }
    const wrong = value === undefined ? undefined : members[key]?.(value);
    if (wrong !== undefined) throw invalid(wrong, `${at}.${key}`);
  }
}

function objectOf(value: unknown, setting: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid('must be an object', setting);
}

function invalid(message: string, setting: string): HoldfastError {
  return new HoldfastError('INVALID_SETTINGS', `${message} setting=${setting}`, {
    details: { setting },
  });
}
