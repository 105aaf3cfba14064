/**
 * What a node says about itself. Liveness: the process answers. Readiness: it may be sent
 * work. Answers hold no paths and no versions: whoever can reach the port may read them.
 *
 * Invariants
 * I1. Neither fact is ever taken back: opening a node again makes a new `Health`.
 */
import type { IntegrityStats } from '@holdfast/database';
import type { BackupHealth } from './backup/backup-status.ts';
import type { TiersHealth } from './tiers/tier-status.ts';

export type HealthState = 'ready' | 'draining' | 'failed' | 'closed';

export interface HealthReport {
  readonly status: HealthState;
  readonly checks: {
    readonly storage: 'ok' | 'failed';
    readonly requests: 'ok' | 'draining' | 'closed';
  };
  /** Damage of what rests, by number. A node with damage serves everything else: it is ready. */
  readonly integrity?: IntegrityStats;
  /** Of a node with a backup. One that is behind is ready; one that was taken over has failed. */
  readonly backup?: BackupHealth;
  /** Of a node with tiered stores. What they need of others does not make it unready. */
  readonly tiers?: TiersHealth;
}

/** What is asked of others, when somebody asks. */
export interface HealthSources {
  readonly integrity?: () => IntegrityStats;
  readonly backup?: () => BackupHealth | undefined;
  readonly tiers?: () => TiersHealth | undefined;
}

export class Health {
  readonly #sources: HealthSources;
  #storage: 'ok' | 'failed' = 'ok';
  #requests: 'ok' | 'draining' | 'closed' = 'ok';

  constructor(sources: HealthSources = {}) {
    this.#sources = sources;
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
    const integrity = this.#sources.integrity?.();
    const backup = this.#sources.backup?.();
    const tiers = this.#sources.tiers?.();
    return {
      status: this.state,
      checks: { storage: this.#storage, requests: this.#requests },
      ...(integrity === undefined ? {} : { integrity }),
      ...(backup === undefined ? {} : { backup }),
      ...(tiers === undefined ? {} : { tiers }),
    };
  }
}
