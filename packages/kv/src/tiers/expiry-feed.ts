/**
 * What goes by itself in a tier, told to those who watch the tiered store. While a tier cannot be
 * watched nothing of that is heard.
 */
import { type Clock, hasCode, LIMITS, sleep } from '@holdfast/core';
import type { KvChange } from '../kv-store.ts';
import { isReserved } from './reserved-keys.ts';
import type { Tier } from './tier.ts';

export async function feedExpiries(
  clock: Clock,
  tier: () => Tier,
  signal: AbortSignal,
  tell: (change: KvChange) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const change of tier().store.watch({ signal })) {
        if (change.type === 'expire' && !isReserved(change.key)) tell(change);
      }
    } catch (error) {
      if (signal.aborted || hasCode(error, 'CLOSED')) return;
    }
    await sleep(clock, LIMITS.maxDrainPauseMs, signal).catch(() => undefined);
  }
}
