/** What the routes of administration ask of a node: what it answers is shown as JSON. */
import type { WatchedWork } from '../backup/work.ts';

type Long = WatchedWork;
type Quick = Pick<Long, 'signal'>;

export interface RetentionChoice {
  readonly keepLast: number | undefined;
  readonly keepDaily: number | undefined;
  readonly keepWeekly: number | undefined;
  readonly keepMaxAgeMs: number | undefined;
}

export interface AdminHost {
  backup(): object;
  readonly snapshots: {
    list(options: Quick): Promise<object>;
    info(id: string, options: Quick): Promise<object>;
    create(options: Long & { readonly full: boolean }): Promise<object>;
    verify(id: string, options: Long): Promise<object>;
    delete(id: string, options: Quick): Promise<void>;
    prune(options: Quick & RetentionChoice & { readonly dryRun: boolean }): Promise<object>;
    drill(options: Long): Promise<object>;
  };
  mark(name: string): Promise<number>;
  readonly keys: {
    status(): Promise<object>;
    rotate(): Promise<object>;
    retire(id: string): Promise<void>;
  };
}
