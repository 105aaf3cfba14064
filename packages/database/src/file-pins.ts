/**
 * Files that somebody reads by name and by a manifest that may be an old one: a snapshot. What is
 * dropped meanwhile keeps its name until nobody reads it any more.
 *
 * Invariants
 * 1. A file that is pinned is not removed. It is pinned in the turn in which the manifest that names
 *    it was seen as the current one, so before anybody could have dropped it.
 * 2. What was dropped while pinned is removed, in that order, when its last pin goes. Nothing in a
 *    manifest says so: after a crash it is a leftover, as any other.
 *
 * Owner: the database.
 */
import type { Logger } from '@holdfast/core';

export interface Pin {
  /** Resolves once what only this pin kept was removed. Never rejects. Idempotent. */
  release(): Promise<void>;
}

export class FilePins {
  readonly #logger: Logger;
  readonly #pinned = new Map<number, number>();
  readonly #dropped = new Map<number, () => Promise<void>>();

  constructor(components: { readonly logger: Logger }) {
    this.#logger = components.logger;
  }

  pin(fileIds: readonly number[]): Pin {
    for (const id of fileIds) this.#pinned.set(id, (this.#pinned.get(id) ?? 0) + 1);
    let released: Promise<void> | undefined;
    return {
      release: () => {
        released ??= this.#release(fileIds);
        return released;
      },
    };
  }

  /** No manifest names the file any more: `remove` it now, or when its last pin goes. I2. */
  async drop(fileId: number, remove: () => Promise<void>): Promise<void> {
    if (this.#pinned.has(fileId)) this.#dropped.set(fileId, remove);
    else await remove();
  }

  /** Files that only pins keep. */
  get dropped(): number {
    return this.#dropped.size;
  }

  async #release(fileIds: readonly number[]): Promise<void> {
    for (const id of fileIds) {
      const others = (this.#pinned.get(id) ?? 1) - 1;
      if (others > 0) this.#pinned.set(id, others);
      else this.#pinned.delete(id);
    }
    for (const [fileId, remove] of this.#dropped) {
      if (this.#pinned.has(fileId)) continue;
      this.#dropped.delete(fileId);
      try {
        await remove();
      } catch (error) {
        this.#logger.warn('database.leftoverStays', { fileId, reason: String(error) });
      }
    }
  }
}
