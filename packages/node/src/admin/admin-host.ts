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

export interface TierScope {
  readonly prefix: string | undefined;
  readonly rate: number | undefined;
}

export interface RepairChoice {
  readonly direction: 'by-version' | 'primary-wins' | 'backup-wins' | undefined;
  readonly dryRun: boolean;
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
  readonly tiers: {
    list(): readonly object[];
    status(store: string): object;
    drain(store: string, options: Quick): Promise<object>;
    verify(store: string, options: Long & TierScope): Promise<object>;
    repair(store: string, options: Long & TierScope & RepairChoice): Promise<object>;
    restore(store: string, options: Long & { readonly overwrite: boolean }): Promise<object>;
    promote(store: string, options: Long & { readonly force: boolean }): Promise<object>;
    migrate(store: string, to: string, options: Long): Promise<object>;
    takeOver(store: string, options: Long): Promise<object>;
    rewrap(store: string, options: Long): Promise<object>;
    export(
      store: string,
      options: Quick & { readonly since: number | undefined },
    ): AsyncIterable<string>;
    import(
      store: string,
      bytes: AsyncIterable<Uint8Array>,
      options: Long & { readonly overwrite: boolean },
    ): Promise<object>;
  };
  mark(name: string): Promise<number>;
  readonly keys: {
    status(): Promise<object>;
    rotate(): Promise<object>;
    retire(id: string): Promise<void>;
  };
}
