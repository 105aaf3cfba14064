/** The statements of a store whose tables have this name: FORMAT.md, "Entries in Postgres". */
import { HoldfastError } from '@holdfast/core';
import { MAX_ENVELOPE_BYTES } from '../stored-entry.ts';

const NAME = /^[a-z_][a-z0-9_]{0,39}$/;
export const POSTGRES_FORMAT = 1;

export interface PostgresStatements {
  readonly schema: readonly string[];
  readonly load: string;
  readonly commit: string;
  readonly read: string;
  readonly due: string;
  readonly nextDue: string;
  range(reverse: boolean, bounded: boolean): string;
  created(reverse: boolean, behind: boolean): string;
}

export function postgresStatements(name: string): PostgresStatements {
  if (!NAME.test(name)) {
    throw new HoldfastError('INVALID_SETTINGS', `not a name of a table table=${name}`);
  }
  const head = `${name}_head`;
  return {
    schema: [
      `CREATE TABLE IF NOT EXISTS ${name} (key bytea PRIMARY KEY, seq bigint NOT NULL,
       version bigint NOT NULL, expires bigint, bytes bytea NOT NULL)`,
      `CREATE INDEX IF NOT EXISTS ${name}_created ON ${name} (seq, key)`,
      `CREATE INDEX IF NOT EXISTS ${name}_due ON ${name} (expires) WHERE expires IS NOT NULL`,
      `CREATE TABLE IF NOT EXISTS ${head} (id int PRIMARY KEY CHECK (id = 1),
       format int NOT NULL, next bigint NOT NULL, epoch bigint NOT NULL)`,
      `INSERT INTO ${head} VALUES (1, ${POSTGRES_FORMAT}, 1, 0) ON CONFLICT DO NOTHING`,
    ],
    // One statement sees one moment.
    load: `SELECT h.format, h.next, h.epoch, e.key, e.seq, e.version,
      substring(e.bytes FROM 1 FOR ${MAX_ENVELOPE_BYTES}) AS head
      FROM ${head} h LEFT JOIN ${name} e ON e.key = ANY ($1::bytea[])`,
    // The row of the head is locked first, and looked at again behind whoever had the lock: if it is
    // still the expected one, nothing was written since it was read.
    commit: `WITH mine AS (
        UPDATE ${head} SET next = $1, epoch = $2 WHERE next = $3 AND epoch = $4 RETURNING 1),
      gone AS (
        DELETE FROM ${name} WHERE key = ANY ($5::bytea[]) AND EXISTS (SELECT 1 FROM mine)),
      put AS (
        INSERT INTO ${name} (key, seq, version, expires, bytes)
        SELECT * FROM unnest($6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])
        WHERE EXISTS (SELECT 1 FROM mine)
        ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, version = excluded.version,
          expires = excluded.expires, bytes = excluded.bytes)
      SELECT count(*)::int AS done FROM mine`,
    read: `SELECT bytes FROM ${name} WHERE key = $1`,
    due: `SELECT key FROM ${name} WHERE expires <= $1 LIMIT $2`,
    nextDue: `SELECT min(expires) AS at FROM ${name} WHERE expires > $1`,
    range: (reverse, bounded) => {
      const order = reverse ? 'DESC' : 'ASC';
      const where = bounded ? 'key >= $3 AND key < $4' : 'key >= $3';
      return someOf(name, where, `key ${order}`);
    },
    created: (reverse, behind) => {
      const order = reverse ? 'ASC' : 'DESC';
      const where = behind ? `(seq, key) ${reverse ? '>' : '<'} ($3::bigint, $4::bytea)` : 'true';
      return someOf(name, where, `seq ${order}, key ${order}`);
    },
  };
}

/** The first $1 rows, but none that begins behind the first $2 bytes: a long value stays where it is. */
function someOf(name: string, where: string, order: string): string {
  return `SELECT key, bytes FROM (
      SELECT key, bytes, seq, sum(octet_length(bytes)) OVER (ORDER BY ${order}) AS total FROM (
        SELECT key, bytes, seq FROM ${name} WHERE ${where} ORDER BY ${order} LIMIT $1) first
    ) summed WHERE total - octet_length(bytes) < $2 ORDER BY ${order}`;
}
