/**
 * What the limits of the ephemeral tier have to know of: entries of earlier lives. While the tier is
 * away nobody can say which there are, and nothing else waits for that (rule 7): it is looked again
 * until it answered.
 */
import { LIMITS, sleep } from '@holdfast/core';
import type { TieredCore } from './tiered-core.ts';
import { walkKeys } from './tiered-walks.ts';
import { isTransient } from './tier.ts';

export async function findEphemeral(core: TieredCore): Promise<void> {
  if (!core.limits.bounded || core.parts.tiers.ephemeral === undefined) return;
  if (!(await isFound(core))) core.alongside(findLater(core));
}

async function findLater(core: TieredCore): Promise<void> {
  const { clock } = core.parts;
  do {
    await sleep(clock, LIMITS.maxDrainPauseMs, core.signal).catch(() => undefined);
  } while (!core.signal.aborted && !(await isFound(core)));
}

/** False: it has to be looked again. */
async function isFound({ limits, parts }: TieredCore): Promise<boolean> {
  const { tiers, rules, logger } = parts;
  if (tiers.ephemeral === undefined) return true;
  const found: { key: string; version: number; bytes: number }[] = [];
  try {
    const whole = { from: '', to: undefined };
    for await (const batch of walkKeys(tiers.ephemeral.tier, whole, false)) {
      for (const { key, version, value } of batch) {
        if (rules.isEphemeral(key)) found.push({ key, version, bytes: value.length });
      }
    }
  } catch (error) {
    if (isTransient(error)) return false;
    // A cache that cannot be read keeps nothing else from being served.
    logger.warn('tiers.ephemeralNotRead', { error: String(error) });
  }
  for (const { key, bytes } of found.toSorted((a, b) => a.version - b.version)) {
    limits.found(key, bytes);
  }
  return true;
}
