/** What a view can do, made of what its store can, which may come to be known late. */
import type { KvCapabilities, KvStore } from './kv-store.ts';

export class ViewCapabilities {
  readonly #store: KvStore;
  readonly #derive: (beneath: KvCapabilities) => KvCapabilities;
  #beneath: KvCapabilities | undefined;
  #derived: KvCapabilities | undefined;

  constructor(store: KvStore, derive: (beneath: KvCapabilities) => KvCapabilities) {
    this.#store = store;
    this.#derive = derive;
  }

  get current(): KvCapabilities {
    const beneath = this.#store.capabilities;
    if (this.#derived === undefined || this.#beneath !== beneath) {
      this.#derived = this.#derive(beneath);
      this.#beneath = beneath;
    }
    return this.#derived;
  }
}
