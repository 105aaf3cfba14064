/**
 * Copies all entries of a source into an empty store, so that it can be a primary: with their order,
 * versions and expiries, and compared in the end.
 *
 * Invariants
 * 1. The target says from its first entry to the end of the comparison that it is being restored, and
 *    from where; until then nobody takes it for a primary (`TIER_MISMATCH`).
 * 2. A restore that was cut short goes on when it is called again with the same source: every entry is
 *    stamped, so that one that is there already costs a look and changes nothing.
 * 3. A target with entries is refused, unless `overwrite`: then the higher version stays, and what the
 *    source does not have stays too.
 * 4. The newest epoch of the source comes last: who wrote to the source before has to be taken over.
 * 5. A source that gives nothing, as a file that is no export, leaves the target as it was.
 */
import { createHash, type Hash } from 'node:crypto';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { abortedError } from '../kv-errors.ts';
import type { KvEntry, KvPutOperation, KvStore } from '../kv-store.ts';
import type { FencedKvStore } from '../fencing.ts';
import {
  EPOCH_PREFIX,
  epochKey,
  epochOf,
  isReserved,
  PLACE_KEY,
  RESTORE_KEY,
  RULES_KEY,
} from './reserved-keys.ts';
import type { CopyProgress } from './tiered-store.ts';

export interface RestoreSource {
  readonly id: string;
  entries(): AsyncIterable<KvEntry>;
}

export interface RestoreOptions {
  /** A store, or what an export gave. */
  readonly from: KvStore | RestoreSource;
  readonly to: KvStore;
  readonly overwrite?: boolean;
  /** The target knows of at least this epoch in the end. Default: of the newest of the source. */
  readonly epoch?: number;
  /** Of the tiered store whose primary the target becomes. */
  readonly id?: string;
  readonly signal?: AbortSignal;
}

export interface RestoreReport {
  readonly entries: number;
  /** Over keys, order, versions, expiries and values; that of the target is the same. */
  readonly sha256: string;
}

/** Steps of a restore; the last has phase `done`. */
export async function* restoreTier(
  options: RestoreOptions,
): AsyncGenerator<CopyProgress & { readonly report?: RestoreReport }, void, undefined> {
  const { from, to, overwrite = false } = options;
  await assertTarget(from.id, to, overwrite);
  const digest = createHash('sha256');
  const epochs: number[] = [];
  let entries = 0;
  let putting: Promise<void> = Promise.resolve();
  const source = batches(options, epochs);
  try {
    let next = await source.next(); // I5
    const mark = Buffer.from(JSON.stringify({ from: from.id }));
    await to.put(RESTORE_KEY, mark); // I1
    await to.del(RULES_KEY); // those of the source, or none
    for (; next.done !== true; next = await source.next()) {
      const batch = next.value;
      for (const entry of batch) digestEntry(digest, entry);
      await putting;
      // While this one is put the next one is read.
      putting = putAll(to, batch);
      putting.catch(() => undefined);
      entries += batch.filter(({ key }) => !isReserved(key)).length;
      yield { phase: 'copy', entries };
    }
  } finally {
    await source.return();
    await putting;
  }
  const sha256 = digest.digest('hex');
  await to.flush();
  if (!overwrite) await compareTarget(to, entries, sha256);
  yield { phase: 'verify', entries };
  const epoch = await raiseEpoch(from, to, [...epochs, options.epoch ?? 0]); // I4
  await setMark(to, options.id, epoch + 1); // whatever it was before
  await to.del(RESTORE_KEY);
  yield { phase: 'done', entries, report: { entries, sha256 } };
}

/** I1 of whoever opens a primary. */
export async function assertNotRestoring(primary: KvStore): Promise<void> {
  if (!(await primary.has(RESTORE_KEY))) return;
  throw new HoldfastError(
    'TIER_MISMATCH',
    'tiers do not fit together: a restore into the primary did not end; begin it again',
  );
}

async function assertTarget(fromId: string, to: KvStore, overwrite: boolean): Promise<void> {
  const mark = await to.get(RESTORE_KEY);
  const { from } = (mark === undefined ? {} : JSON.parse(Buffer.from(mark).toString())) as {
    from?: string;
  };
  if (from === fromId || overwrite) return; // I2, I3
  for await (const key of to.keys()) {
    if (key === RESTORE_KEY || !isReserved(key)) {
      throw new HoldfastError('RESTORE_TARGET_NOT_EMPTY', 'the store to restore into has entries');
    }
  }
}

async function* batches(
  { from, to, signal }: RestoreOptions,
  epochs: number[],
): AsyncGenerator<KvEntry[], void, undefined> {
  const { maxBatchBytes, maxBatchOperations } = to.capabilities;
  const mostBytes = Math.min(maxBatchBytes / 2, LIMITS.restoredBytesPerBatch);
  const most = Math.min(maxBatchOperations, LIMITS.restoredPerBatch);
  let batch: KvEntry[] = [];
  let bytes = 0;
  for await (const entry of from.entries()) {
    if (signal?.aborted) throw abortedError(signal, 'unknown');
    if (entry.key.startsWith(EPOCH_PREFIX)) epochs.push(epochOf(entry.key));
    if (isReserved(entry.key) && entry.key !== RULES_KEY) continue;
    const size = entry.key.length * 3 + entry.value.length;
    if (batch.length > 0 && (batch.length >= most || bytes + size > mostBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

async function putAll(to: KvStore, batch: readonly KvEntry[]): Promise<void> {
  const puts = batch.map(({ key, value, expiresAtMs, seq, version, epoch }): KvPutOperation => {
    return { type: 'put', key, value, expiresAtMs, stamp: { seq, version, epoch } };
  });
  if (to.capabilities.atomicBatch) await to.batch(puts);
  else await Promise.all(puts.map((put) => to.batch([put])));
}

async function raiseEpoch(
  from: RestoreOptions['from'],
  to: KvStore,
  records: readonly number[],
): Promise<number> {
  const ofSource = await (from as Partial<FencedKvStore>).fence?.newest();
  const newest = Math.max(ofSource ?? 0, ...records);
  const own = (to as Partial<FencedKvStore>).fence;
  if (own !== undefined) {
    if (newest > (await own.newest())) await own.claim(newest);
    return newest;
  }
  for (let epoch = 1; epoch <= newest; epoch++) await to.put(epochKey(epoch), new Uint8Array(0));
  return newest;
}

/** Whoever was the primary before is none any more, by the higher epoch of this one. */
async function setMark(to: KvStore, id: string | undefined, since: number): Promise<void> {
  if (id === undefined) await to.del(PLACE_KEY);
  else await to.put(PLACE_KEY, Buffer.from(JSON.stringify({ store: id, role: 'primary', since })));
}

async function compareTarget(to: KvStore, entries: number, sha256: string): Promise<void> {
  const digest = createHash('sha256');
  let found = 0;
  for await (const entry of to.entries()) {
    if (isReserved(entry.key) && entry.key !== RULES_KEY) continue;
    digestEntry(digest, entry);
    if (!isReserved(entry.key)) found++;
  }
  if (found === entries && digest.digest('hex') === sha256) return;
  throw new HoldfastError(
    'CHECKSUM_MISMATCH',
    `what was restored is not what was read entries=${entries} found=${found}`,
    { effect: 'unknown' },
  );
}

function digestEntry(digest: Hash, { key, value, seq, version, expiresAtMs }: KvEntry): void {
  digest.update(JSON.stringify([key, seq, version, expiresAtMs ?? null, value.length]));
  digest.update(value);
}
