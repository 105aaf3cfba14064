/**
 * Opens a record store: reads the rows of heads and floors once, names the ones that cannot be read,
 * and makes the bounds hold. `record-store.ts` is the contract.
 */
import { HoldfastError, RECORD_LIMITS } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { RecordId } from '../record-key.ts';
import type { RecordStore, RecordStoreComponents, RecordStoreSettings } from '../record-store.ts';
import { FloorIndex } from './floor-index.ts';
import { KvRecordStore } from './kv-record-store.ts';
import { RecordIndex } from './record-index.ts';
import type { RecordBounds } from './record-room.ts';
import {
  decodeNumbers,
  FLOOR_PREFIX,
  HEAD_PREFIX,
  type HeadSummary,
  NUMBERS_KEY,
  readFloorSummary,
  readHeadSummary,
  recordOfKey,
} from './record-rows.ts';
import { RowNumbers } from './row-numbers.ts';
import { StoredRecords } from './stored-records.ts';
import { isCorrupt, tolerantWalk } from './tolerant-walk.ts';

type OnDamage = (key: string, error: unknown) => void;

/**
 * Where the row of numbers is lost: no store gives out so many in a ms, so numbers made of the time
 * are above all that were given out.
 */
const NUMBERS_IN_MS = 1024;

export async function openRecordStore(
  settings: RecordStoreSettings,
  components: RecordStoreComponents,
): Promise<RecordStore> {
  const { kv, nowMs, logger } = components;
  const { atomicBatch, compareAndSet } = kv.capabilities;
  if (!atomicBatch || !compareAndSet) {
    throw new HoldfastError('KV_UNSUPPORTED', 'records need atomic batches with conditions');
  }
  const onDamage = damageOf(components);
  const index = new RecordIndex();
  const floors = new FloorIndex();
  const damaged = new Set<RecordId>();
  const heads = await readHeads(kv, index, damaged, onDamage);
  const ages = await readFloors(kv, floors, onDamage);
  const numbers = await openNumbers(components, Math.max(heads, ages), onDamage);
  const cacheBytes = settings.cacheBytes ?? RECORD_LIMITS.recordCacheBytes;
  const records = new StoredRecords({ kv, index, floors, numbers, damaged, onDamage, cacheBytes });
  const bounds = settings.kind === 'local' ? undefined : boundsOf(settings);
  const maxFloors = settings.maxFloors ?? RECORD_LIMITS.maxSequenceFloors;
  const store = new KvRecordStore({ records, index, floors, bounds, maxFloors, nowMs, logger });
  await store.fit();
  return store;
}

/** Each key once. */
function damageOf({ logger, onDamage }: RecordStoreComponents): OnDamage {
  const told = new Set<string>();
  return (key, error) => {
    if (told.has(key)) return;
    told.add(key);
    logger.error('record-row-damaged', { key, error: String(error) });
    onDamage?.(key, error);
  };
}

function boundsOf(settings: RecordStoreSettings): RecordBounds {
  const { maxRemoteRecords, maxRemoteBytes, maxRecordsOfPeer, maxBytesOfPeer } = RECORD_LIMITS;
  return {
    maxRecords: settings.maxRecords ?? maxRemoteRecords,
    maxBytes: settings.maxBytes ?? maxRemoteBytes,
    maxRecordsOfPeer: settings.maxRecordsOfPeer ?? maxRecordsOfPeer,
    maxBytesOfPeer: settings.maxBytesOfPeer ?? maxBytesOfPeer,
  };
}

/** The highest revision. */
async function readHeads(
  kv: KvStore,
  index: RecordIndex,
  damaged: Set<RecordId>,
  onDamage: OnDamage,
): Promise<number> {
  const found: { id: RecordId; version: number; head: HeadSummary }[] = [];
  const bad: OnDamage = (key, error) => {
    const id = recordOfKey(key);
    if (id !== undefined) damaged.add(id);
    onDamage(key, error);
  };
  for await (const { key, version, value } of tolerantWalk(kv, HEAD_PREFIX, bad)) {
    const head = readable(key, () => readHeadSummary(key, value), bad);
    const id = recordOfKey(key);
    if (head !== undefined && id !== undefined) found.push({ id, version, head });
  }
  found.sort((a, b) => a.head.touchedAtMs - b.head.touchedAtMs);
  for (const { id, version, head } of found) {
    const { origin, bytes, touchedAtMs } = head;
    const times = { touchedAtMs, touchWrittenAtMs: touchedAtMs };
    index.put(id, { origin, bytes, counted: true, version, uncertain: false, ...times });
  }
  return found.reduce((highest, { head }) => Math.max(highest, head.revision), 0);
}

/** The highest age. */
async function readFloors(kv: KvStore, floors: FloorIndex, onDamage: OnDamage): Promise<number> {
  const found: { id: RecordId; age: number; count: number }[] = [];
  for await (const { key, value } of tolerantWalk(kv, FLOOR_PREFIX, onDamage)) {
    const row = readable(key, () => readFloorSummary(key, value), onDamage);
    const id = recordOfKey(key);
    if (row !== undefined && id !== undefined) found.push({ id, ...row });
  }
  found.sort((a, b) => a.age - b.age);
  for (const { id, count } of found) floors.put(id, count);
  return found.at(-1)?.age ?? 0;
}

/** @param seen the highest number in any row. */
async function openNumbers(
  { kv, nowMs }: RecordStoreComponents,
  seen: number,
  onDamage: OnDamage,
): Promise<RowNumbers> {
  let atRest: number | undefined;
  try {
    const row = await kv.get(NUMBERS_KEY);
    atRest = row === undefined ? undefined : decodeNumbers(row);
    if (atRest === undefined && seen > 0) {
      throw new HoldfastError('FILE_MISSING', 'the row of numbers is not there');
    }
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    onDamage(NUMBERS_KEY, error);
    return new RowNumbers(Math.max(seen + 1, nowMs() * NUMBERS_IN_MS), 0);
  }
  const next = Math.max(atRest ?? 1, seen + 1);
  return new RowNumbers(next, atRest ?? 0);
}

function readable<Row>(key: string, read: () => Row, onDamage: OnDamage): Row | undefined {
  try {
    return read();
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    onDamage(key, error);
    return undefined;
  }
}
