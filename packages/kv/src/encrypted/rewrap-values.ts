/**
 * Brings the values of an encrypted store under the active key, by writing each of them again.
 *
 * Invariants
 * 1. A value that somebody else writes meanwhile is theirs: it is written again only at the version
 *    that was read. It keeps its value, its place of creation and its expiry; its version rises, and
 *    who watches is told of a put.
 * 2. It may end anywhere and begin again: what is under the active key already is left as it is.
 */
import { hasCode, type KeyRing } from '@holdfast/core';
import { unsupported } from '../kv-errors.ts';
import type { KvStore } from '../kv-store.ts';
import { isReserved } from '../tiers/reserved-keys.ts';
import type { ValueSealer } from './value-sealer.ts';

export interface RewrapOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * The tiered store that this one is a tier of. It has to do the writing, for what a tier holds is
   * its to say. Default: this store.
   */
  readonly through?: KvStore | undefined;
  /** After each value that was looked at. */
  readonly onProgress?: ((soFar: RewrapReport) => void) | undefined;
}

export interface RewrapReport {
  /** Values looked at. */
  readonly values: number;
  /** Of these, written again. */
  readonly rewrapped: number;
  /** Of these, left under an older key: `through` has no such entry. They go when it deletes them. */
  readonly left: number;
}

export interface RewrapParts {
  /** What holds the sealed values. */
  readonly store: KvStore;
  readonly view: KvStore;
  readonly sealer: ValueSealer;
  readonly keys: KeyRing;
}

export async function rewrapValues(
  { store, view, sealer, keys }: RewrapParts,
  { signal, through = view, onProgress }: RewrapOptions,
): Promise<RewrapReport> {
  if (!through.capabilities.compareAndSet) throw unsupported('rewrap without compare-and-set');
  const activeId = keys.active.id;
  let report: RewrapReport = { values: 0, rewrapped: 0, left: 0 };
  for await (const entry of store.entries({ signal })) {
    const { values, rewrapped, left } = report;
    if (sealer.keyIdOf(entry) === activeId) {
      report = { ...report, values: values + 1 };
    } else {
      const by = isReserved(entry.key) ? view : through;
      const isThere = await writeAgain(by, entry.key, signal);
      report = isThere
        ? { ...report, values: values + 1, rewrapped: rewrapped + 1 }
        : { ...report, values: values + 1, left: left + 1 };
    }
    onProgress?.(report);
  }
  return report;
}

/** False: there is no such entry. I1. */
async function writeAgain(
  store: KvStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const entry = await store.getEntry(key, { signal });
  if (entry === undefined) return false;
  const { value, version, expiresAtMs } = entry;
  try {
    await store.put(key, value, {
      ifVersion: version,
      signal,
      ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    });
  } catch (error) {
    if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
  }
  return true;
}
