/** A store over a backend that can be taken over. */
import type { Clock } from '@holdfast/core';
import { BackedKvStore } from '../backed-kv-store.ts';
import type { FencedKvStore, KvFence } from '../fencing.ts';
import type { KvBackend } from '../kv-backend.ts';

export class BackedFencedKvStore extends BackedKvStore implements FencedKvStore {
  readonly fence: KvFence;

  constructor(components: { readonly clock: Clock }, backend: KvBackend & KvFence) {
    super(components, backend);
    this.fence = backend;
  }
}
