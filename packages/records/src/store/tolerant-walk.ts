/**
 * All entries under a prefix, also where some of them cannot be read: a `KvStore` ends a walk at the
 * first damaged entry, so those from there on are asked for one by one.
 */
import { isHoldfastError } from '@holdfast/core';
import type { KvEntry, KvStore } from '@holdfast/kv';

/** @param onDamage hears of each entry that cannot be read; then the walk goes on. */
export async function* tolerantWalk(
  kv: KvStore,
  prefix: string,
  onDamage: (key: string, error: unknown) => void,
): AsyncGenerator<KvEntry, void, undefined> {
  let behind: string | undefined;
  try {
    for await (const entry of kv.entries({ prefix })) {
      yield entry;
      behind = entry.key;
    }
    return;
  } catch (error) {
    if (!isCorrupt(error)) throw error;
  }
  for await (const key of kv.keys({ prefix, gt: behind })) {
    const entry = await kv.getEntry(key).catch((error: unknown) => {
      if (!isCorrupt(error)) throw error;
      onDamage(key, error);
      return undefined;
    });
    if (entry !== undefined) yield entry;
  }
}

/** Damage, as opposed to a store that cannot be asked, or a row of another release. */
export function isCorrupt(error: unknown): boolean {
  return isHoldfastError(error) && error.kind === 'corrupt' && error.code !== 'FORMAT_UNSUPPORTED';
}
