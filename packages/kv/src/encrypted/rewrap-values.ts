/**
 * Brings the values of an encrypted store under the active key, by writing each of them again.
 *
 * Invariants
 * 1. A value that somebody else writes meanwhile is theirs: it is written again only at the version
 *    that was read. It keeps its value, its place of creation and its expiry; its version rises, and
 *    who watches is told of a put.
 * 2. It may end anywhere and begin again: what is under the active key already is left as it is.
 * 3. What a tier holds and its tiers do not know, an old copy that is never shown, is replaced by itself
 *    at the version it has: a higher one would look like that of another writer.
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
  /** Of these, left under an older key: `through` does not know them, and the store has no batches. */
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
      const isDone =
        (await writeAgain(isReserved(entry.key) ? view : through, entry.key, signal)) ||
        (await replace(view, entry.key, signal));
      report = isDone
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
  return unlessChanged(store.put(key, value, { ifVersion: version, expiresAtMs, signal }));
}

/** I3. False: the store has no batches to do it in. */
async function replace(
  view: KvStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const entry = await view.getEntry(key, { signal });
  if (entry === undefined) return true;
  const { atomicBatch, stamps } = view.capabilities;
  if (!atomicBatch || !stamps) return false;
  const { value, seq, version, epoch, expiresAtMs } = entry;
  const stamp = { seq, version, epoch };
  return unlessChanged(
    view.batch(
      [
        { type: 'del', key, ifVersion: version },
        { type: 'put', key, value, expiresAtMs, stamp },
      ],
      { signal },
    ),
  );
}

/** I1. */
async function unlessChanged(write: Promise<unknown>): Promise<true> {
  await write.catch((error: unknown) => {
    if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
  });
  return true;
}
