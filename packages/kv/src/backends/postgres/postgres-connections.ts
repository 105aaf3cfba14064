/**
 * The connections to a Postgres: a bounded pool, each statement with a bound of its own.
 *
 * Invariants
 * 1. A connection whose statement failed without an answer, or was given up, is never used again.
 * 2. At most as many connections as the pool has are asked for at a time; the others wait here.
 */
import { type Clock, type Effect, HoldfastError, LIMITS } from '@holdfast/core';
import { CallGate, within } from '../call-gate.ts';
import { createPgPool, type PgClient, type PgPool, type PgQuery } from './postgres-driver.ts';
import { postgresError } from './postgres-errors.ts';

export interface PostgresPlace {
  /** `postgresql://user@host:port/database`. */
  readonly url: string;
  readonly connections: number;
  readonly timeoutMs: number;
}

export class PostgresConnections {
  readonly #clock: Clock;
  readonly #pool: PgPool;
  readonly #gate: CallGate;
  readonly #timeoutMs: number;

  private constructor(clock: Clock, pool: PgPool, place: PostgresPlace) {
    this.#clock = clock;
    this.#pool = pool;
    this.#timeoutMs = place.timeoutMs;
    // The gate's bound is behind those of connecting and asking together.
    this.#gate = new CallGate(clock, place.connections, 3 * place.timeoutMs);
  }

  static async open(clock: Clock, place: PostgresPlace): Promise<PostgresConnections> {
    const pool = await createPgPool({
      connectionString: place.url,
      max: place.connections,
      connectionTimeoutMillis: place.timeoutMs,
      statement_timeout: place.timeoutMs,
      idleTimeoutMillis: LIMITS.backendTimeoutMs,
      keepAlive: true,
      allowExitOnIdle: true,
    });
    // One that breaks while nobody uses it: the pool makes another.
    pool.on('error', () => undefined);
    // One that breaks while it is used says so to whoever asks it, and beside that to everybody.
    pool.on('connect', (client) => client.on('error', () => undefined));
    return new PostgresConnections(clock, pool, place);
  }

  /** @param effect of the statement, if no answer comes. */
  query<Row>(query: PgQuery, effect: Effect = 'none'): Promise<readonly Row[]> {
    return this.#gate.run(() => this.#query(query, effect), effect);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #query<Row>(query: PgQuery, effect: Effect): Promise<readonly Row[]> {
    const client = await this.#connect();
    let usable = false;
    try {
      const asked = client.query<Row>(query);
      const { rows } = await within(this.#clock, this.#timeoutMs, asked, effect);
      usable = true;
      return rows;
    } catch (cause) {
      const error = postgresError(cause, effect);
      usable = cause !== error && error.effect === 'none' && error.code !== 'STORAGE_UNAVAILABLE';
      throw error;
    } finally {
      client.release(!usable); // I1
    }
  }

  async #connect(): Promise<PgClient> {
    try {
      return await this.#pool.connect();
    } catch (cause) {
      const error = postgresError(cause, 'none');
      if (error.code !== 'STORAGE_UNAVAILABLE') throw error;
      throw new HoldfastError('STORAGE_UNAVAILABLE', 'Postgres cannot be reached', { cause });
    }
  }
}
