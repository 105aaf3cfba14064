/**
 * What a node says about itself. Liveness: the process answers. Readiness: it may be sent
 * work. Answers hold no paths and no versions: whoever can reach the port may read them.
 *
 * Invariants
 * I1. Neither fact is ever taken back: opening a node again makes a new `Health`.
 */
import type { IntegrityStats } from '@holdfast/database';

export type HealthState = 'ready' | 'draining' | 'failed' | 'closed';

export interface HealthReport {
  readonly status: HealthState;
  readonly checks: {
    readonly storage: 'ok' | 'failed';
    readonly requests: 'ok' | 'draining' | 'closed';
  };
  /** Damage of what rests, by number. A node with damage serves everything else: it is ready. */
  readonly integrity?: IntegrityStats;
}

export class Health {
  readonly #integrity: (() => IntegrityStats) | undefined;
  #storage: 'ok' | 'failed' = 'ok';
  #requests: 'ok' | 'draining' | 'closed' = 'ok';

  /** @param integrity what is known of damage, when asked. */
  constructor(integrity?: () => IntegrityStats) {
    this.#integrity = integrity;
  }

  get state(): HealthState {
    if (this.#requests === 'closed') return 'closed';
    if (this.#storage === 'failed') return 'failed';
    return this.#requests === 'draining' ? 'draining' : 'ready';
  }

  get ready(): boolean {
    return this.state === 'ready';
  }

  /** Requests are taken, at least reads. */
  get accepting(): boolean {
    return this.#requests === 'ok';
  }

  get storageFailed(): boolean {
    return this.#storage === 'failed';
  }

  fail(): void {
    this.#storage = 'failed';
  }

  drain(): void {
    if (this.#requests === 'ok') this.#requests = 'draining'; // I1
  }

  close(): void {
    this.#requests = 'closed';
  }

  report(): HealthReport {
    return {
      status: this.state,
      checks: { storage: this.#storage, requests: this.#requests },
      ...(this.#integrity === undefined ? {} : { integrity: this.#integrity() }),
    };
  }
}
