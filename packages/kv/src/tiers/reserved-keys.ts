/** Keys under which tiers keep what belongs to the tiers and not to callers. */
import { invalidKey } from '../kv-key.ts';

const PREFIX = '_holdfast_tier-';
const EPOCH_DIGITS = 10;

export const EPOCH_PREFIX: string = `${PREFIX}epoch-`;
export const RULES_KEY: string = `${PREFIX}rules`;
export const PLACE_KEY: string = `${PREFIX}place`;
export const RESTORE_KEY: string = `${PREFIX}restore`;

export function isReserved(key: string): boolean {
  return key.startsWith(PREFIX);
}

export function assertNotReserved(key: string): void {
  if (isReserved(key)) throw invalidKey(`keys that begin with ${PREFIX} are the store's own`);
}

export function epochKey(epoch: number): string {
  return EPOCH_PREFIX + String(epoch).padStart(EPOCH_DIGITS, '0');
}

export function epochOf(key: string): number {
  return Number(key.slice(EPOCH_PREFIX.length));
}
