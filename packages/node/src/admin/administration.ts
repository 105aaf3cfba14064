/**
 * What an operator does with a running node, as the routes of administration need it: its backup,
 * its snapshots, its marks and its keys. What they answer is shown as JSON.
 */
import type { WorkOptions } from './admin-answer.ts';

type Quick = Pick<WorkOptions, 'signal'>;

export interface RetentionChoice {
  readonly keepLast?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMaxAgeMs?: number | undefined;
}

export interface Administration {
  /** State of archive, snapshots and drills. */
  backup(): object;
  readonly snapshots: {
    list(options: Quick): Promise<readonly object[]>;
    info(id: string, options: Quick): Promise<object>;
    create(options: WorkOptions & { readonly full: boolean }): Promise<object>;
    verify(id: string, options: WorkOptions): Promise<object>;
    delete(id: string, options: Quick): Promise<void>;
    prune(options: Quick & RetentionChoice & { readonly dryRun: boolean }): Promise<object>;
    drill(options: WorkOptions): Promise<object>;
  };
  /** Names the present; resolves with its LSN once that is durable. */
  mark(name: string): Promise<number>;
  readonly keys: {
    status(options: Quick): Promise<object>;
    /** Reads the source of keys anew, and goes on under its first. */
    rotate(options: Quick): Promise<object>;
    retire(id: string): Promise<void>;
  };
}
