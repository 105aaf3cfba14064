/** What is used of the package `pg`. */
import { loadDriver } from '../load-driver.ts';

export interface PgQuery {
  readonly name?: string;
  readonly text: string;
  readonly values?: readonly unknown[];
}

export interface PgResult<Row> {
  readonly rows: Row[];
}

export interface PgClient {
  query<Row>(query: PgQuery): Promise<PgResult<Row>>;
  /** `true`: the connection is not to be used again. */
  release(destroy?: boolean): void;
}

export interface PgPool {
  connect(): Promise<PgClient>;
  end(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'connect', listener: (client: PgEmitter) => void): unknown;
}

interface PgEmitter {
  on(event: 'error', listener: (error: Error) => void): unknown;
}

interface PgModule {
  readonly default: { readonly Pool: new (settings: object) => PgPool };
}

export async function createPgPool(settings: object): Promise<PgPool> {
  const module = await loadDriver<PgModule>('Postgres', ['pg']);
  const { Pool } = module.default;
  return new Pool(settings);
}
