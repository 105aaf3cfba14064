/**
 * The rows of all shards in one order: of equal ranges of each. They are as they were when all scans
 * were opened, in one turn.
 */
import type { EngineHost, KeyRange, Row } from '@holdfast/database';
import type { ShardId } from '@holdfast/core';

type StoredRow = Row & { readonly value: Buffer };

export class MergedRows {
  readonly #scans: AsyncIterator<StoredRow, unknown, undefined>[] = [];
  /** The next row of each scan; `undefined` at its end. */
  #heads: (StoredRow | undefined)[] = [];
  #least = -1;

  private constructor() {}

  static async open(host: EngineHost, range: KeyRange): Promise<MergedRows> {
    const merged = new MergedRows();
    const firsts: Promise<IteratorResult<StoredRow, unknown>>[] = [];
    for (let id = 0; id < host.shardCount; id++) {
      const scan = host
        .shard(id as ShardId)
        .scan(range)
        [Symbol.asyncIterator]();
      merged.#scans.push(scan);
      firsts.push(scan.next()); // a scan sees the rows of the moment of its first step
    }
    const settled = await Promise.allSettled(firsts);
    const failed = settled.find((first) => first.status === 'rejected');
    if (failed !== undefined) {
      await merged.close();
      throw failed.reason;
    }
    merged.#heads = settled.map((first) => rowOf((first as PromiseFulfilledResult<never>).value));
    merged.#choose();
    return merged;
  }

  /** The lowest row that was not taken. */
  get head(): StoredRow | undefined {
    return this.#heads[this.#least];
  }

  async advance(): Promise<void> {
    const least = this.#least;
    this.#heads[least] = rowOf(await (this.#scans[least] as AsyncIterator<StoredRow>).next());
    this.#choose();
  }

  async close(): Promise<void> {
    for (const scan of this.#scans) await scan.return?.();
  }

  #choose(): void {
    let least = -1;
    for (const [at, head] of this.#heads.entries()) {
      if (head === undefined) continue;
      const best = this.#heads[least];
      if (best === undefined || Buffer.compare(head.key, best.key) < 0) least = at;
    }
    this.#least = least;
  }
}

function rowOf(step: IteratorResult<StoredRow, unknown>): StoredRow | undefined {
  return step.done === true ? undefined : step.value;
}
