/**
 * Rows of entries in a Redis: FORMAT.md, "Entries in Redis".
 *
 * Invariants
 * 1. A group is read by one script and written by one other, which compares the head: several
 *    processes may write. The orders change with the entries.
 * 2. A command is sent once. One that got no answer may have happened; one that is not sent yet when
 *    the connection breaks is not sent later.
 * 3. How durable it is was asked of the server when it was opened. One that drops entries by itself
 *    is refused.
 */
import { type Clock, type Effect, HoldfastError, LIMITS } from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import { behindKey, compareKeys } from '../../kv-key.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import { CallGate } from '../call-gate.ts';
import { factsOfHead, factsOrDamage, openEntry } from '../stored-entry.ts';
import type {
  DueEntries,
  EntryTable,
  RowsWanted,
  TableChange,
  TableRow,
  TableState,
} from '../table/entry-table.ts';
import { createRedisClient, type RedisClient, type RedisValue } from './redis-driver.ts';
import { redisError } from './redis-errors.ts';
import { COMMIT, LOAD } from './redis-scripts.ts';

const FORMAT = '1';
const NAME = /^[A-Za-z0-9_.-]{1,64}$/;

export interface RedisPlace {
  readonly url: string;
  /** All keys begin with `{name}:`. */
  readonly name: string;
  readonly timeoutMs: number;
}

export class RedisEntryTable implements EntryTable {
  readonly capabilities: KvCapabilities;
  readonly #client: RedisClient;
  readonly #gate: CallGate;
  readonly #name: string;

  private constructor(
    client: RedisClient,
    gate: CallGate,
    name: string,
    durability: KvCapabilities['durability'],
  ) {
    this.#client = client;
    this.#gate = gate;
    this.#name = name;
    this.capabilities = {
      atomicBatch: true,
      compareAndSet: true,
      createdOrder: true,
      ttl: true,
      watch: false,
      stamps: true,
      anyText: true,
      durability,
      evicts: false,
      retries: false,
      maxKeyBytes: LIMITS.maxEntryKeyBytes,
      maxValueBytes: LIMITS.maxEntryValueBytes,
      maxBatchOperations: LIMITS.maxTransactionOperations,
      maxBatchBytes: LIMITS.maxEntryBatchBytes,
    };
  }

  static async open(clock: Clock, place: RedisPlace): Promise<RedisEntryTable> {
    const { url, name, timeoutMs } = place;
    if (!NAME.test(name)) {
      throw new HoldfastError('INVALID_SETTINGS', `not a name of a store name=${name}`);
    }
    const client = await createRedisClient(url, {
      lazyConnect: true,
      connectTimeout: timeoutMs,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false, // I2
      maxRetriesPerRequest: 0,
      retryStrategy: () => LIMITS.backendReconnectMs,
    });
    const gate = new CallGate(clock, LIMITS.maxGroupOperations, timeoutMs);
    try {
      await gate.run(() => client.connect());
      const durability = await durabilityOf(client, gate); // I3
      const table = new RedisEntryTable(client, gate, name, durability);
      const fresh = ['format', FORMAT, 'next', '1', 'epoch', '0'];
      for (let at = 0; at < fresh.length; at += 2) {
        const [field = '', value = ''] = fresh.slice(at, at + 2);
        await table.#call('HSETNX', [table.#key('head'), field, value]);
      }
      return table;
    } catch (error) {
      client.disconnect();
      throw redisError(error, 'none');
    }
  }

  async load(keys: readonly string[]): Promise<TableState> {
    const names = [this.#key('head'), this.#key('c')];
    const found = (await this.#call('EVAL', [
      LOAD,
      names.length,
      ...names,
      this.#key('e:'),
      ...keys,
    ])) as (Buffer | null)[];
    const [format, next, epoch] = found.map(String);
    if (format !== FORMAT || found[1] === null) {
      throw new HoldfastError(
        format === 'null' ? 'FORMAT_INVALID' : 'FORMAT_UNSUPPORTED',
        `the head of the store is not one of this release format=${format}`,
      );
    }
    const entries = new Map<string, EntryFacts | Error>();
    let at = 3;
    for (const key of keys) {
      const bytes = found[at++] as Buffer;
      if (bytes.length === 0) continue;
      const length = Number(found[at++]);
      const seq = Number(found[at++]);
      entries.set(
        key,
        factsOrDamage(() =>
          length === bytes.length ? openEntry(key, bytes) : factsOfHead(bytes, { seq }),
        ),
      );
    }
    return { head: { next: Number(next), epoch: Number(epoch) }, entries };
  }

  async commit({ expected, head, puts, dels }: TableChange): Promise<boolean> {
    const names = ['head', 'k', 'c', 'x'].map((each) => this.#key(each));
    const heads = [expected.next, expected.epoch, head.next, head.epoch];
    const values: RedisValue[] = [COMMIT, names.length, ...names, this.#key('e:'), ...heads];
    values.push(dels.length, ...dels);
    for (const { key, facts, bytes } of puts) {
      values.push(key, facts.seq, facts.expiresAtMs ?? '', bytes);
    }
    return (await this.#call('EVAL', values, 'unknown')) === 1;
  }

  async read(key: string): Promise<Buffer | undefined> {
    const bytes = (await this.#call('GET', [this.#entry(key)])) as Buffer | null;
    return bytes ?? undefined;
  }

  async range({ from, to }: KeyInterval, wanted: RowsWanted): Promise<readonly TableRow[]> {
    const left = { from, to };
    for (;;) {
      const low = Buffer.concat([Buffer.from('['), Buffer.from(left.from)]);
      const high =
        left.to === undefined ? '+' : Buffer.concat([Buffer.from('('), Buffer.from(left.to)]);
      const bounds = wanted.reverse ? [high, low, 'BYLEX', 'REV'] : [low, high, 'BYLEX'];
      const keys = await this.#names('ZRANGE', ['k', ...bounds, 'LIMIT', 0, wanted.entries]);
      const last = keys.at(-1);
      if (last === undefined) return [];
      const rows = await this.#rows(keys, wanted.bytes);
      if (rows.length > 0) return rows;
      // All of them went meanwhile.
      if (wanted.reverse) left.to = last;
      else left.from = behindKey(last);
    }
  }

  async created(
    behind: CreatedPlace | undefined,
    wanted: RowsWanted,
  ): Promise<readonly TableRow[]> {
    let at = behind;
    for (;;) {
      const places = await this.#createdBehind(at, wanted);
      if (places.length === 0) return [];
      at = places.at(-1);
      const seqs = new Map(places.map(({ key, seq }) => [key, seq]));
      const found = await this.#rows([...seqs.keys()], wanted.bytes);
      const rows = found.filter(({ key, bytes }) => openEntry(key, bytes).seq === seqs.get(key));
      if (rows.length > 0) return rows;
    }
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    const past = ['x', '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, limit];
    const keys = await this.#names('ZRANGE', past);
    const first = [`(${nowMs}`, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES'];
    const [, next] = flat(await this.#call('ZRANGE', [this.#key('x'), ...first]));
    return { keys, nextMs: next === undefined ? undefined : Number(next) };
  }

  async close(): Promise<void> {
    this.#client.disconnect();
  }

  /** Those of one number come in the order of keys. */
  async #createdBehind(
    behind: CreatedPlace | undefined,
    { reverse, entries }: RowsWanted,
  ): Promise<CreatedPlace[]> {
    const way = reverse ? ['BYSCORE'] : ['BYSCORE', 'REV'];
    const places: CreatedPlace[] = [];
    if (behind !== undefined) {
      const { seq } = behind;
      const same = await this.#names('ZRANGE', ['c', seq, seq, ...way]);
      for (const key of same) {
        const order = compareKeys(key, behind.key);
        if (reverse ? order > 0 : order < 0) places.push({ seq, key });
      }
      if (places.length > 0) return places.slice(0, entries);
    }
    const end = reverse ? '+inf' : '-inf';
    const start = behind === undefined ? (reverse ? '-inf' : '+inf') : `(${behind.seq}`;
    const bounds = [start, end, ...way, 'LIMIT', 0, entries, 'WITHSCORES'];
    const found = flat(await this.#call('ZRANGE', [this.#key('c'), ...bounds]));
    for (let at = 0; at < found.length; at += 2) {
      places.push({ key: found[at] as string, seq: Number(found[at + 1]) });
    }
    return places;
  }

  /** The first of these keys that are there, with at most so many bytes, but at least one. */
  async #rows(keys: readonly string[], most: number): Promise<TableRow[]> {
    const lengths = await Promise.all(
      keys.map((key) => this.#call('STRLEN', [this.#entry(key)]) as Promise<number>),
    );
    let size = 0;
    const taken = keys.filter((_, at) => {
      const length = lengths[at] as number;
      if (length === 0) return false;
      const first = size === 0;
      size += length;
      return first || size <= most;
    });
    if (taken.length === 0) return [];
    const names = taken.map((key) => this.#entry(key));
    const found = (await this.#call('MGET', names)) as (Buffer | null)[];
    return taken.flatMap((key, at) => {
      const bytes = found[at];
      return bytes === null || bytes === undefined ? [] : [{ key, bytes }];
    });
  }

  async #names(command: string, [order = '', ...values]: RedisValue[]): Promise<string[]> {
    const found = await this.#call(command, [this.#key(String(order)), ...values]);
    return (found as Buffer[]).map((name) => name.toString('utf8'));
  }

  #key(name: string): string {
    return `{${this.#name}}:${name}`;
  }

  #entry(key: string): string {
    return this.#key(`e:${key}`);
  }

  /** @param effect if no answer comes. */
  async #call(
    command: string,
    values: readonly RedisValue[],
    effect: Effect = 'none',
  ): Promise<unknown> {
    try {
      return await this.#gate.run(() => this.#client.callBuffer(command, ...values), effect);
    } catch (error) {
      throw redisError(error, effect);
    }
  }
}

/** Names with their numbers: one after the other, or in pairs, as the protocol has it. */
function flat(found: unknown): string[] {
  return (found as unknown[]).flat().map(String);
}

/** Where the server does not tell, nothing is promised. */
async function durabilityOf(
  client: RedisClient,
  gate: CallGate,
): Promise<KvCapabilities['durability']> {
  let told: Map<string, string>;
  try {
    const found = (await gate.run(() =>
      client.call('CONFIG', 'GET', 'appendonly', 'appendfsync', 'maxmemory', 'maxmemory-policy'),
    )) as string[];
    told = new Map(found.map((name, at) => [name, found[at + 1] ?? '']));
  } catch {
    return 'none';
  }
  const policy = told.get('maxmemory-policy');
  if (told.get('maxmemory') !== '0' && policy !== 'noeviction') {
    throw new HoldfastError('INVALID_SETTINGS', `Redis drops entries when it is full: ${policy}`);
  }
  if (told.get('appendonly') !== 'yes') return 'none';
  return told.get('appendfsync') === 'always' ? 'power' : 'process';
}
