/**
 * Which store has which part now. Parts change by `promote`, `migrate` and when a backup falls
 * behind; everything else asks here each time.
 *
 * Invariants
 * 1. A backup that is behind is not written, unless it is being filled: then every write goes to it,
 *    so that filling comes to an end.
 */
import type { KvStore } from '../kv-store.ts';
import type { TierWriter } from './tier-writer.ts';
import type { TierName } from './tiered-store.ts';

export class TierSet {
  primary: TierWriter;
  backup: TierWriter | undefined;
  readonly ephemeral: TierWriter | undefined;
  /** Of a migration. */
  target: TierWriter | undefined;
  behind = false;
  filling = false;

  constructor(
    primary: TierWriter,
    backup: TierWriter | undefined,
    ephemeral: TierWriter | undefined,
  ) {
    this.primary = primary;
    this.backup = backup;
    this.ephemeral = ephemeral;
  }

  get epoch(): number {
    return this.primary.epoch;
  }

  /** I1. */
  get writtenBackup(): TierWriter | undefined {
    return this.behind && !this.filling ? undefined : this.backup;
  }

  readonly owedTo = (ephemeral: boolean): readonly TierName[] => {
    if (ephemeral) return ['ephemeral'];
    const names: TierName[] = ['primary'];
    if (this.writtenBackup !== undefined) names.push('backup');
    if (this.target !== undefined) names.push('target');
    return names;
  };

  writer(name: TierName): TierWriter | undefined {
    return this[name];
  }

  *all(): Generator<[TierName, TierWriter], void, undefined> {
    for (const name of ['primary', 'backup', 'ephemeral', 'target'] as const) {
      const writer = this[name];
      if (writer !== undefined) yield [name, writer];
    }
  }

  /** Of the stores that hold durable keys. */
  get durableStores(): readonly KvStore[] {
    const backup = this.backup === undefined ? [] : [this.backup.tier.store];
    return [this.primary.tier.store, ...backup];
  }
}
