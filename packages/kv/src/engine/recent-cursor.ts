/** What memory has next in one order, for a walk that goes up. */
import { compareKeys } from '../kv-key.ts';
import type { WalkOrder } from './kv-walk.ts';

/** Looks again only when keys came or went, or the walk has passed what was found. */
export class RecentCursor {
  readonly #order: Pick<WalkOrder, 'recent'>;
  readonly #to: string | undefined;
  #changes = -1;
  #found: string | undefined;

  constructor(order: Pick<WalkOrder, 'recent'>, to: string | undefined) {
    this.#order = order;
    this.#to = to;
  }

  /** @param low never below that of the call before. */
  firstAtOrAbove(low: string): string | undefined {
    const recent = this.#order.recent();
    const { changes } = recent;
    const found = this.#found;
    const holds =
      changes === this.#changes && (found === undefined || compareKeys(found, low) >= 0);
    if (holds) return found;
    this.#changes = changes;
    const first = recent.firstAtOrAbove(low);
    const to = this.#to;
    this.#found =
      first !== undefined && (to === undefined || compareKeys(first, to) < 0) ? first : undefined;
    return this.#found;
  }
}
