/**
 * The plan of what goes wrong on a simulated disk, by the n-th call of a kind.
 *
 * Invariants
 * 1. A fault counts the calls that match it from the moment it was planned.
 * 2. When several faults are due at one call, the one planned first wins; all have counted it.
 */
export type SimOperation =
  | 'open'
  | 'list'
  | 'stat'
  | 'makeDirectory'
  | 'rename'
  | 'unlink'
  | 'removeDirectory'
  | 'syncDirectory'
  | 'freeBytes'
  | 'lockDirectory'
  | 'size'
  | 'read'
  | 'write'
  | 'truncate'
  | 'datasync'
  | 'close';

/**
 * - an errno: the call rejects with it. Nothing happened, unless `performed`; but of a `write`
 *   the first half did.
 * - `short-write`: writes fewer bytes, at least one, without an error.
 * - `lying-sync`: a `datasync` that rejects with EIO and loses what was unsynced, while later
 *   syncs succeed and running reads still see it (fsyncgate).
 * - `halt`: the process is dead from this call on: before it, in the middle of a `write`, or
 *   after it when `performed`.
 */
export type FaultEffect =
  'EIO' | 'ENOSPC' | 'EMFILE' | 'EFBIG' | 'EACCES' | 'short-write' | 'lying-sync' | 'halt';

export interface Fault {
  readonly effect: FaultEffect;
  /** Which matching call is hit first: 1 is the next one. Default 1. */
  readonly nth?: number;
  /** How many matching calls are hit from there on. Default 1; `Infinity` until removed. */
  readonly times?: number;
  /** Default: every kind of call the effect makes sense for. */
  readonly operations?: readonly SimOperation[];
  /** Only calls on such a path. */
  readonly path?: (path: string) => boolean;
  /** The call takes effect, and then fails. */
  readonly performed?: boolean;
  /** For `short-write`: bytes that are written; default half. */
  readonly bytes?: number;
}

export interface PlannedFault {
  /** Calls hit so far. A test asserts on it: a fault that never fired shows nothing. */
  readonly fired: number;
  remove(): void;
}

class Plan implements PlannedFault {
  readonly fault: Fault;
  readonly #operations: readonly SimOperation[] | undefined;
  seen = 0;
  fired = 0;
  removed = false;

  constructor(fault: Fault) {
    this.fault = fault;
    this.#operations = fault.operations ?? DEFAULT_OPERATIONS[fault.effect];
  }

  remove(): void {
    this.removed = true;
  }

  matches(operation: SimOperation, path: string): boolean {
    if (this.#operations !== undefined && !this.#operations.includes(operation)) return false;
    return this.fault.path === undefined || this.fault.path(path);
  }

  isDue(): boolean {
    const first = this.fault.nth ?? 1;
    return this.seen >= first && this.seen < first + (this.fault.times ?? 1);
  }
}

const DEFAULT_OPERATIONS: Partial<Record<FaultEffect, readonly SimOperation[]>> = {
  'short-write': ['write'],
  'lying-sync': ['datasync'],
  EMFILE: ['open', 'list', 'syncDirectory'],
  ENOSPC: ['write', 'makeDirectory', 'rename'],
  EFBIG: ['write', 'truncate'],
};

export class SimFaults {
  #plans: Plan[] = [];

  plan(fault: Fault): PlannedFault {
    const plan = new Plan(fault);
    this.#plans.push(plan);
    return plan;
  }

  clear(): void {
    this.#plans = [];
  }

  /** Counts one call; what is to go wrong with it. */
  next(operation: SimOperation, path: string): Fault | undefined {
    if (this.#plans.length === 0) return undefined;
    let hit: Plan | undefined;
    let spent = false;
    for (const plan of this.#plans) {
      if (plan.removed) {
        spent = true;
      } else if (plan.matches(operation, path)) {
        plan.seen++;
        if (plan.isDue()) hit ??= plan;
      }
    }
    if (spent) this.#plans = this.#plans.filter((plan) => !plan.removed);
    if (hit === undefined) return undefined;
    hit.fired++;
    return hit.fault;
  }
}
