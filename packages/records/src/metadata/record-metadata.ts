/**
 * What this peer wants of records and must not forget: writes that too few peers hold yet, the watches
 * that applications asked for, and records that peers may have forgotten. What it *has* of records is in
 * the local store.
 *
 * Invariants
 * 1. Of each kind there is one item for a record, in memory as it is at rest (`DurableItems`).
 * 2. A row that cannot be read costs this item and no other. It is named (`onDamage`), and kept as it is
 *    until its item is written again. Of queued writes it is known whose they were (`damagedPending`):
 *    all that is stored of that record is to be queued, and nothing is lost.
 * 3. A row of a newer release is no damage: `FORMAT_UNSUPPORTED`, and nothing is opened.
 *
 * Owner: who opened it closes it; the `KvStore` is somebody else's.
 */
import type { Logger } from '@holdfast/core';
import type { KvStore } from '@holdfast/kv';
import type { RecordId } from '../record-key.ts';
import { isCorrupt, tolerantWalk } from '../store/tolerant-walk.ts';
import type { SubkeySet } from '../subkey-set.ts';
import { DurableItems } from './durable-items.ts';
import {
  type ItemRows,
  PENDING_ROWS,
  recordOfItem,
  REHYDRATION_ROWS,
  type WantedWatch,
  WATCH_ROWS,
} from './metadata-rows.ts';

export interface RecordMetadataComponents {
  /** Its own, durable: nobody else writes there. */
  readonly kv: KvStore;
  readonly logger: Logger;
  /** Told once for each row that cannot be read. */
  readonly onDamage?: ((key: string, error: unknown) => void) | undefined;
}

export class RecordMetadata {
  readonly pending: DurableItems<SubkeySet>;
  readonly watches: DurableItems<WantedWatch>;
  readonly rehydrations: DurableItems<SubkeySet>;
  /** I2 */
  readonly damagedPending: ReadonlySet<RecordId>;

  private constructor(
    kinds: Pick<RecordMetadata, 'pending' | 'watches' | 'rehydrations'>,
    damagedPending: ReadonlySet<RecordId>,
  ) {
    this.pending = kinds.pending;
    this.watches = kinds.watches;
    this.rehydrations = kinds.rehydrations;
    this.damagedPending = damagedPending;
  }

  static async open(components: RecordMetadataComponents): Promise<RecordMetadata> {
    const { kv, logger } = components;
    const damaged = new Set<RecordId>();
    const onDamage = (key: string, error: unknown): void => {
      logger.error('record-metadata-damaged', { key, error: String(error) });
      const record = recordOfItem(PENDING_ROWS.prefix, key);
      if (key.startsWith(PENDING_ROWS.prefix) && record !== undefined) damaged.add(record);
      components.onDamage?.(key, error);
    };
    const read = <Item>(rows: ItemRows<Item>): Promise<DurableItems<Item>> =>
      readItems(kv, rows, onDamage);
    const kinds = {
      pending: await read(PENDING_ROWS),
      watches: await read(WATCH_ROWS),
      rehydrations: await read(REHYDRATION_ROWS),
    };
    return new RecordMetadata(kinds, damaged);
  }

  /** This record was deleted here: nothing is wanted of it any more. */
  forget(record: RecordId): void {
    for (const kind of [this.pending, this.watches, this.rehydrations]) kind.drop(record);
  }

  /** Resolves once rows are what is in memory; rejects where the `KvStore` refuses. */
  async close(): Promise<void> {
    for (const kind of [this.pending, this.watches, this.rehydrations]) await kind.settle();
  }
}

async function readItems<Item>(
  kv: KvStore,
  rows: ItemRows<Item>,
  onDamage: (key: string, error: unknown) => void,
): Promise<DurableItems<Item>> {
  const items = new Map<RecordId, Item>();
  for await (const { key, value } of tolerantWalk(kv, rows.prefix, onDamage)) {
    const record = recordOfItem(rows.prefix, key);
    if (record === undefined) continue;
    try {
      items.set(record, rows.decode(key, value));
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      onDamage(key, error);
    }
  }
  return new DurableItems(kv, rows, items);
}
