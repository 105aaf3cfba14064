/**
 * What a node says about itself. Liveness: the process answers. Readiness: it may be sent
 * work. Answers hold no paths and no versions: whoever can reach the port may read them.
 *
 * Invariants
 * I1. A state never becomes healthier: opening a node again makes a new `Health`.
 */
export type HealthState = 'ready' | 'draining' | 'failed' | 'closed';

const RANK: Record<HealthState, number> = { ready: 0, draining: 1, failed: 2, closed: 3 };

export interface HealthReport {
  readonly status: HealthState;
  readonly checks: Readonly<Record<string, 'ok' | 'draining' | 'failed' | 'closed'>>;
}

export class Health {
  #state: HealthState = 'ready';
  #storageFailed = false;

  get state(): HealthState {
    return this.#state;
  }

  get ready(): boolean {
    return this.#state === 'ready';
  }

  /** Storage has failed for good in this process; stays true while the node drains and closes. */
  get storageFailed(): boolean {
    return this.#storageFailed;
  }

  worsen(state: HealthState): void {
    if (state === 'failed') this.#storageFailed = true;
    if (RANK[state] > RANK[this.#state]) this.#state = state; // I1
  }

  report(): HealthReport {
    return {
      status: this.#state,
      checks: {
        storage: this.#storageFailed ? 'failed' : 'ok',
        requests: this.#state === 'ready' || this.#state === 'failed' ? 'ok' : this.#state,
      },
    };
  }
}
