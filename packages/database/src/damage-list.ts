/**
 * What was found damaged, and what became of it. Bounded: the newest damages by name, all of
 * them by number. Names each damage once in the log.
 *
 * Owner: the database.
 */
import {
  type Clock,
  type HoldfastError,
  LIMITS,
  type Logger,
  type Lsn,
  type ShardId,
} from '@holdfast/core';

/** `quarantined`: not mended so far. Reads that need what is lost fail, everything else goes on. */
export type DamageState = 'repaired' | 'quarantined';

/** `missing`: no such file. `damaged`: not the bytes that were written, or not readable. */
export type DamageKind = 'missing' | 'damaged';

export interface Damage {
  readonly kind: DamageKind;
  readonly path: string;
  /** Byte in the file where it begins. */
  readonly position: number;
  readonly message: string;
  readonly state: DamageState;
  readonly shard?: ShardId;
  /** Whose data it is, as the engine names it: the path of a stream. */
  readonly owner?: string;
  /** The acknowledged records that lie in it. */
  readonly firstLsn?: Lsn;
  readonly lastLsn?: Lsn;
  /** When it was last looked at, ms since 1970. */
  readonly atMs: number;
}

export interface IntegrityStats {
  /** Damages found since the start. */
  readonly found: number;
  readonly repaired: number;
  /** Damages that are there now, of those that are named. */
  readonly quarantined: number;
}

export class DamageList {
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** By place; the newest last. */
  readonly #damages = new Map<string, Damage>();
  #found = 0;
  #repaired = 0;

  constructor(components: { readonly clock: Clock; readonly logger: Logger }) {
    this.#clock = components.clock;
    this.#logger = components.logger;
  }

  /** A damage that stays as it was is not news. */
  report(damage: Omit<Damage, 'atMs'>): void {
    const key = `${damage.path}:${damage.position}:${damage.owner ?? ''}`;
    const known = this.#damages.get(key);
    this.#damages.delete(key);
    this.#damages.set(key, { ...damage, atMs: this.#clock.now() });
    if (known?.state === 'quarantined' && damage.state === 'quarantined') return;
    if (known?.state !== 'quarantined') this.#found++;
    if (damage.state === 'repaired') this.#repaired++;
    this.#tell(damage);
    for (const oldest of this.#damages.keys()) {
      if (this.#damages.size <= LIMITS.maxDamages) break;
      this.#damages.delete(oldest);
    }
  }

  /** Nothing is wrong with the file any more. */
  repaired(path: string): void {
    for (const [key, damage] of this.#damages) {
      if (damage.path !== path || damage.state === 'repaired') continue;
      const { kind, message, position, shard, owner } = damage;
      this.#damages.set(key, { ...damage, state: 'repaired', atMs: this.#clock.now() });
      this.#repaired++;
      this.#tell({ kind, path, message, position, state: 'repaired', ...optional(shard, owner) });
    }
  }

  isQuarantined(path: string): boolean {
    return this.all().some((damage) => damage.path === path && damage.state === 'quarantined');
  }

  /** The file is gone, and nobody needs it. */
  gone(path: string): void {
    for (const [key, damage] of this.#damages) {
      if (damage.path === path && damage.state === 'quarantined') this.#damages.delete(key);
    }
  }

  /** The newest last. */
  all(): Damage[] {
    return [...this.#damages.values()];
  }

  stats(): IntegrityStats {
    let quarantined = 0;
    for (const { state } of this.#damages.values()) if (state === 'quarantined') quarantined++;
    return { found: this.#found, repaired: this.#repaired, quarantined };
  }

  /** Never the owner: a log holds no paths of streams. */
  #tell(damage: Omit<Damage, 'atMs'>): void {
    const { kind, path, position, message, shard, firstLsn, lastLsn } = damage;
    const facts = { kind, path, position, message, shard, firstLsn, lastLsn };
    if (damage.state === 'repaired') this.#logger.warn('database.damageRepaired', facts);
    else this.#logger.error('database.fileDamaged', facts);
  }
}

/** What an error says of a file that is to be reported. */
export function damageOf(error: HoldfastError, repaired: boolean): Omit<Damage, 'atMs'> {
  const { position } = error.details;
  return {
    kind: error.code === 'FILE_MISSING' ? 'missing' : 'damaged',
    path: pathIn(error),
    position: typeof position === 'number' ? position : 0,
    message: error.message,
    state: repaired ? 'repaired' : 'quarantined',
  };
}

/** The file that an error names. */
export function pathIn(error: HoldfastError): string {
  return String(error.details['path'] ?? '');
}

function optional(
  shard: ShardId | undefined,
  owner: string | undefined,
): { shard?: ShardId; owner?: string } {
  return { ...(shard === undefined ? {} : { shard }), ...(owner === undefined ? {} : { owner }) };
}
