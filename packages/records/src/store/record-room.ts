/**
 * Room for records of others: who may have how much, and who goes for it.
 *
 * Invariants
 * 1. With every claim that is let in, the index counts at most `maxRecords` and `maxBytes`: what is to
 *    go counts no more from then on, and the write waits until it went.
 * 2. Only idle records go, and each is busy from the moment it was chosen; never the one that claims.
 * 3. A claim that is not let in changes nothing.
 */
import type { PeerId } from '../coordinate.ts';
import type { RecordId } from '../record-key.ts';
import type { IndexEntry, RecordIndex } from './record-index.ts';
import type { RecordTurns } from './record-turns.ts';

export interface RecordBounds {
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly maxRecordsOfPeer: number;
  readonly maxBytesOfPeer: number;
}

export interface Claim {
  readonly record: RecordId;
  readonly origin: PeerId | undefined;
  /** Of all its rows, as they will be. */
  readonly bytes: number;
  readonly nowMs: number;
}

export class RecordRoom {
  readonly #index: RecordIndex;
  readonly #turns: RecordTurns;
  readonly #bounds: RecordBounds | undefined;
  /** In a turn of the record; rejects where it did not go. */
  readonly #evict: (record: RecordId) => Promise<void>;

  /** @param bounds `undefined`: there are none. */
  constructor(
    index: RecordIndex,
    turns: RecordTurns,
    bounds: RecordBounds | undefined,
    evict: (record: RecordId) => Promise<void>,
  ) {
    this.#index = index;
    this.#turns = turns;
    this.#bounds = bounds;
    this.#evict = evict;
  }

  /** In a turn of the record. The entry counts the larger of before and after until it was written. */
  claim(claim: Claim): { readonly evicted: Promise<void>; readonly undo: () => void } | undefined {
    if (!this.#mayGrow(claim)) return undefined;
    const { record, origin, bytes, nowMs } = claim;
    const before = this.#index.get(record);
    const touched = { touchedAtMs: nowMs, touchWrittenAtMs: nowMs };
    const made = { counted: true, version: 0, uncertain: false, ...touched };
    const most = Math.max(bytes, before?.bytes ?? 0);
    // What keeps its origin keeps its place in the order of use.
    const stays = before !== undefined && before.origin === origin;
    if (stays) this.#index.change(record, { bytes: most });
    else this.#index.put(record, { ...(before ?? made), origin, bytes: most });
    const undo = (): void => {
      if (before === undefined) this.#index.remove(record);
      else if (stays) this.#index.change(record, { bytes: before.bytes });
      else this.#index.put(record, before);
    };
    const victims = this.#victims();
    if (victims === undefined) {
      undo();
      return undefined;
    }
    return { evicted: this.#clear(victims), undo };
  }

  /** Until the bounds hold, as far as that is possible now. */
  async fit(): Promise<void> {
    await this.#clear(this.#victims() ?? []);
  }

  #mayGrow({ record, origin, bytes }: Claim): boolean {
    if (this.#bounds === undefined) return true;
    const { maxBytes, maxBytesOfPeer, maxRecordsOfPeer } = this.#bounds;
    const before = this.#index.get(record);
    if (bytes <= (before?.bytes ?? 0)) return true;
    if (bytes > maxBytes) return false;
    if (origin === undefined) return true; // our own
    const sum = this.#index.ofOrigin(origin);
    const known = before !== undefined && before.origin === origin;
    const records = sum.records + (known ? 0 : 1);
    const total = sum.bytes + bytes - (known ? before.bytes : 0);
    return records <= maxRecordsOfPeer && total <= maxBytesOfPeer;
  }

  /** They count no more. `undefined`: not enough of them may go, and all count as before. */
  #victims(): IndexEntry[] | undefined {
    const victims: IndexEntry[] = [];
    for (let what = this.#short(); what !== undefined; what = this.#short()) {
      const victim = this.#index.victim(what, (id) => this.#turns.isIdle(id));
      if (victim === undefined) {
        for (const { id } of victims) this.#index.change(id, { counted: true });
        return undefined;
      }
      this.#index.change(victim.id, { counted: false });
      victims.push(victim);
    }
    return victims;
  }

  #short(): 'bytes' | 'records' | undefined {
    if (this.#bounds === undefined) return undefined;
    if (this.#index.bytes > this.#bounds.maxBytes) return 'bytes';
    return this.#index.records > this.#bounds.maxRecords ? 'records' : undefined;
  }

  /** Begins with all of them at once (I2); rejects when all have ended and one did not go. */
  async #clear(victims: readonly IndexEntry[]): Promise<void> {
    const all = await Promise.allSettled(
      victims.map(({ id }) => this.#turns.run(id, () => this.#evict(id))),
    );
    for (const one of all) if (one.status === 'rejected') throw one.reason;
  }
}
