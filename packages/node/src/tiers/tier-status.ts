/** What is told of tiered stores: to operators in full, to anybody in numbers. */
import type { HoldfastError } from '@holdfast/core';
import type { TieredStatus } from '@holdfast/kv';
import type { WorkProgress } from '../backup/work.ts';
import type { TierPart } from './tier-settings.ts';

/** `opening`: tried again by itself. `refused`: somebody has to do something. */
export type TieredStoreState = 'opening' | 'open' | 'refused';

export interface TieredStoreStatus {
  readonly name: string;
  readonly state: TieredStoreState;
  /** Why it is not open, or what keeps it from being written. */
  readonly problem?: TierProblem;
  /** What is being done with it. */
  readonly operation?: { readonly kind: string; readonly progress?: WorkProgress };
  /** Without passwords. */
  readonly tiers: Partial<Record<TierPart, TierPartStatus>>;
  /** Of an open store. */
  readonly epoch?: number;
  readonly owed?: TieredStatus['owed'];
  readonly fenced: boolean;
  /** What the settings have to say, where they say something else. */
  readonly settings?: readonly SettingLine[];
}

export interface TierProblem {
  readonly code: string;
  readonly message: string;
  /** What to do about it. */
  readonly advice: string;
}

export interface TierPartStatus {
  readonly place: string;
  readonly state: 'opening' | 'ok' | 'degraded' | 'down';
  readonly owedOperations: number;
  /** Has to be filled from the primary before it is a backup again. */
  readonly behind: boolean;
  /** Why it cannot be opened. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** `value` absent: the line has to go. */
export interface SettingLine {
  readonly setting: string;
  readonly value?: string;
}

/** For everybody who may ask whether the node is ready: numbers, and no names. */
export interface TiersHealth {
  readonly stores: number;
  readonly open: number;
  /** Not open, and nothing but somebody's doing opens them. */
  readonly refused: number;
  /** Open, with a tier that is away or lacks something. */
  readonly degraded: number;
  /** Taken over by another node: they write nothing. */
  readonly fenced: number;
}

export function tiersHealth(all: readonly TieredStoreStatus[]): TiersHealth {
  const count = (is: (status: TieredStoreStatus) => boolean): number => all.filter(is).length;
  return {
    stores: all.length,
    open: count(({ state }) => state === 'open'),
    refused: count(({ state }) => state === 'refused'),
    degraded: count(
      ({ state, tiers }) =>
        state === 'open' && Object.values(tiers).some((tier) => tier.state !== 'ok'),
    ),
    fenced: count(({ fenced }) => fenced),
  };
}

export function problemOf(error: HoldfastError, store: string): TierProblem {
  const { code, message } = error;
  return { code, message, advice: adviceFor(error, store) };
}

export const FENCED_ADVICE: string =
  'another node writes this store now: stop this one, or, to go on here, stop that one and run ' +
  '"holdfast tier take-over"';

function adviceFor({ code, message, retryable }: HoldfastError, store: string): string {
  switch (code) {
    case 'FENCED':
      return `${FENCED_ADVICE} ${store}`;
    case 'DRIVER_MISSING':
      return 'install what the message names, and restart the node';
    case 'TIER_RULES_CHANGED':
      return 'give the rules of before, or "onRulesChange": "migrate", and restart the node';
    case 'TIER_MISMATCH':
      return mismatchAdvice(message, store);
    case 'CHECKSUM_MISMATCH':
    case 'FORMAT_INVALID':
    case 'KEY_MISSING':
      return (
        'if the values there were sealed with other keys, or not at all, give the keys of before, ' +
        'or "encrypted" as it was; else "holdfast tier verify" and docs/TIERS.md'
      );
    case 'ACCESS_DENIED':
      return 'correct the user, the password or their rights; the node tries again by itself';
    case 'DIRECTORY_LOCKED':
      return 'stop who uses the folder; the node tries again by itself';
    default:
      return retryable
        ? 'nothing: the node tries again by itself'
        : 'see the log of the node, and docs/ERRORS.md';
  }
}

function mismatchAdvice(message: string, store: string): string {
  const restore = `"holdfast tier restore ${store}" fills the primary from the backup`;
  if (/restored copy/.test(message)) {
    return (
      `"holdfast tier take-over ${store}" goes on with what is in the primary, and makes the backup ` +
      `equal to it; "holdfast tier restore ${store} --overwrite" first brings back what only the ` +
      'backup has'
    );
  }
  if (/restore|emptied|put back/.test(message)) return restore;
  if (/changed to/.test(message)) return 'change the settings as they say, and restart the node';
  if (/was left|made the primary/.test(message)) {
    return 'give the places as the promotion or migration said, and restart the node';
  }
  if (/not in the settings/.test(message)) return 'give its tiers again, and restart the node';
  return 'give each place to the store and the part it belongs to, and restart the node';
}

export function settingLines(
  name: string,
  primaryId: string,
  backupId: string | undefined,
): readonly SettingLine[] {
  const backup = { setting: `tiers.${name}.backup` };
  return [
    { setting: `tiers.${name}.primary`, value: primaryId },
    backupId === undefined ? backup : { ...backup, value: backupId },
  ];
}

/** For people. */
export function linesText(lines: readonly SettingLine[]): string {
  const said = lines.map(({ setting, value }) =>
    value === undefined ? `remove ${setting}` : `set ${setting} to ${value}`,
  );
  return `${said.join(', ')}, with the user and password where it has some`;
}
