/**
 * Cells as keys of a JetStream bucket: FORMAT.md, "Entries in NATS".
 *
 * ```
 * head                 see writer-head.ts
 * e.<key, base64url>   envelope and value; deleted: the bucket's marker
 * ```
 *
 * Invariants
 * 1. Every write names the revision that it replaces: 0 where there is nothing yet.
 * 2. Reads are answered by the leader of the stream: what was acknowledged is in them. A bucket with
 *    copies that answers from any of them is refused at the open.
 * 3. A walk waits until the index is as new as the stream was when it began.
 * 4. A marker of a deletion goes by a purge up to its own revision: what came later stays.
 */
import {
  type Clock,
  type Effect,
  HoldfastError,
  isHoldfastError,
  LIMITS,
  sleep,
} from '@holdfast/core';
import type { EntryFacts } from '../../decide-write.ts';
import type { CreatedPlace, KeyInterval } from '../../kv-backend.ts';
import { behindKey } from '../../kv-key.ts';
import type { KvCapabilities } from '../../kv-store.ts';
import { CallGate } from '../call-gate.ts';
import type { Cell, CellStore, CellThere, InTurn } from '../cell/cell-store.ts';
import { factsOrDamage, openEntry } from '../stored-entry.ts';
import type { DueEntries, RowsWanted, TableRow } from '../table/entry-table.ts';
import {
  loadNats,
  type NatsBucket,
  type NatsConnection,
  type NatsEntry,
  type NatsWatch,
} from './nats-driver.ts';
import { isWrongSequence, natsError } from './nats-errors.ts';
import { NatsIndex } from './nats-index.ts';

const HEAD = 'head';
const ENTRY = 'e.';
/** With the subject around it below the line that the server takes. */
const MAX_KEY_BYTES = 1_024;
/** Of a message, beside the value: subject, headers, envelope. */
const OVERHEAD_BYTES = 4_096;
/** Entries read beside each other. */
const READ_AHEAD = 32;

export interface NatsPlace {
  /** `nats://host:port`, or several. */
  readonly servers: string | readonly string[];
  readonly bucket: string;
  /** Copies of a bucket that is made. */
  readonly replicas: number;
  readonly connections: number;
  readonly timeoutMs: number;
}

export class NatsCellStore implements CellStore {
  readonly capabilities: KvCapabilities;
  readonly #clock: Clock;
  readonly #connection: NatsConnection;
  readonly #bucket: NatsBucket;
  readonly #stream: string;
  readonly #gate: CallGate;
  readonly #timeoutMs: number;
  readonly #index = new NatsIndex();
  #watch: NatsWatch | undefined;
  #watching: Promise<void> | undefined;
  #failed: HoldfastError | undefined;
  #closed = false;

  private constructor(
    clock: Clock,
    connection: NatsConnection,
    bucket: NatsBucket,
    place: NatsPlace & { readonly stream: string; readonly maxBytes: number },
  ) {
    this.#clock = clock;
    this.#connection = connection;
    this.#bucket = bucket;
    this.#stream = place.stream;
    this.#timeoutMs = place.timeoutMs;
    this.#gate = new CallGate(clock, place.connections, place.timeoutMs);
    this.capabilities = {
      atomicBatch: false,
      compareAndSet: true,
      createdOrder: true,
      ttl: true,
      watch: false,
      stamps: true,
      anyText: true,
      durability: 'process', // acknowledged before it is synced
      evicts: false,
      retries: false,
      maxKeyBytes: MAX_KEY_BYTES,
      maxValueBytes: Math.min(LIMITS.maxEntryValueBytes, place.maxBytes - OVERHEAD_BYTES),
      maxBatchOperations: 1,
      maxBatchBytes: LIMITS.maxEntryBatchBytes,
    };
  }

  static async open(clock: Clock, place: NatsPlace): Promise<NatsCellStore> {
    const nats = await loadNats();
    const connection = await asked(
      nats.connect({
        servers: place.servers,
        timeout: place.timeoutMs,
        maxReconnectAttempts: -1,
        reconnectTimeWait: LIMITS.backendReconnectMs,
      }),
      'none',
    );
    try {
      const settings = { history: 1, replicas: place.replicas, allow_direct: false };
      const bucket = await asked(nats.bucket(connection, place.bucket, settings), 'none');
      const { config } = (await asked(bucket.status(), 'none')).streamInfo;
      assertUsable(config);
      const { max_msg_size: most = -1 } = config;
      const payload = connection.info?.max_payload ?? OVERHEAD_BYTES;
      const maxBytes = most > 0 ? Math.min(most, payload) : payload;
      const around = { ...place, stream: config.name, maxBytes };
      const store = new NatsCellStore(clock, connection, bucket, around);
      store.#watching = store.#follow();
      await store.#upToDate();
      return store;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  readHead(): Promise<Cell | undefined> {
    return this.#get(HEAD);
  }

  async writeHead(bytes: Buffer, tag: string | undefined): Promise<boolean> {
    return (await this.#put(HEAD, bytes, tag)) !== undefined;
  }

  read(key: string): Promise<Cell | undefined> {
    return this.#get(nameOf(key));
  }

  async put(
    key: string,
    bytes: Buffer,
    facts: EntryFacts,
    there: CellThere | undefined,
  ): Promise<boolean> {
    const revision = await this.#put(nameOf(key), bytes, there?.tag);
    if (revision === undefined) return false;
    this.#index.set(key, { revision, facts, deletedAtMs: undefined });
    return true;
  }

  async remove(key: string, there: CellThere): Promise<boolean> {
    const previousSeq = Number(there.tag);
    try {
      await this.#call(() => this.#bucket.delete(nameOf(key), { previousSeq }), 'unknown');
      return true;
    } catch (error) {
      if (isWrongSequence(causeOf(error))) return false;
      throw error;
    }
  }

  async *range(
    { from, to }: KeyInterval,
    { reverse, entries }: RowsWanted,
  ): AsyncGenerator<readonly TableRow[], void, undefined> {
    const left = { from, to };
    await this.#upToDate();
    for (;;) {
      const keys = this.#index.keys(left, reverse, Math.min(entries, READ_AHEAD));
      const last = keys.at(-1);
      if (last === undefined) return;
      if (reverse) left.to = last;
      else left.from = behindKey(last);
      yield await this.#rows(keys);
    }
  }

  async *created(
    behind: CreatedPlace | undefined,
    { reverse, entries }: RowsWanted,
  ): AsyncGenerator<readonly TableRow[], void, undefined> {
    let at = behind;
    await this.#upToDate();
    // They have a place in this order that nobody knows: the walk must not go on without them.
    for (const { key, bytes } of await this.#rows([...this.#index.damaged])) openEntry(key, bytes);
    for (;;) {
      const places = this.#index.created(at, reverse, Math.min(entries, READ_AHEAD));
      if (places.length === 0) return;
      at = places.at(-1);
      const seqs = new Map(places.map(({ key, seq }) => [key, seq]));
      const rows = await this.#rows(places.map(({ key }) => key));
      yield rows.filter(({ key, bytes }) => openEntry(key, bytes).seq === seqs.get(key));
    }
  }

  async due(nowMs: number, limit: number): Promise<DueEntries> {
    return this.#index.due(nowMs, limit);
  }

  /** I4. */
  async sweep(nowMs: number, inTurn: InTurn): Promise<void> {
    const old = this.#index.deletedBefore(nowMs - LIMITS.tombstoneMs, LIMITS.scannedEntries);
    for (const { key, revision } of old) {
      await inTurn(key, async () => {
        const filter = `$KV.${this.#stream.slice('KV_'.length)}.${nameOf(key)}`;
        await this.#call(
          () =>
            this.#connection.request(
              `$JS.API.STREAM.PURGE.${this.#stream}`,
              JSON.stringify({ filter, seq: revision + 1 }),
              { timeout: this.#timeoutMs },
            ),
          'none',
        );
        this.#index.forget(key, revision);
      });
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.stop();
    await this.#connection.close();
    await this.#watching;
  }

  /** I3. */
  async #upToDate(): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    const { streamInfo } = await this.#call(() => this.#bucket.status(), 'none');
    await this.#call(() => this.#index.reached(streamInfo.state.last_seq), 'none');
  }

  /** Tells the index what the bucket tells, until the store is closed. Never rejects. */
  async #follow(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#watch = await this.#bucket.watch({});
        for await (const entry of this.#watch) this.#learn(entry);
      } catch (error) {
        if (isHoldfastError(error)) {
          this.#failed = error;
          return;
        }
      }
      if (!this.#closed) await sleep(this.#clock, LIMITS.backendReconnectMs);
    }
  }

  #learn(entry: NatsEntry): void {
    const key = entry.key.startsWith(ENTRY) ? keyOf(entry.key) : undefined;
    if (key !== undefined) {
      const { revision } = entry;
      if (entry.operation === 'PUT') {
        const facts = factsOrDamage(() => openEntry(key, Buffer.from(entry.value)));
        const known = facts instanceof Error ? undefined : facts;
        this.#index.set(key, { revision, facts: known, deletedAtMs: undefined });
      } else {
        const deletedAtMs = entry.created.getTime();
        this.#index.set(key, { revision, facts: undefined, deletedAtMs });
      }
    }
    this.#index.reach(entry.revision);
  }

  async #rows(keys: readonly string[]): Promise<TableRow[]> {
    const cells = await Promise.all(keys.map((key) => this.read(key)));
    return keys.flatMap((key, at) => {
      const bytes = cells[at]?.bytes;
      return bytes === undefined ? [] : [{ key, bytes }];
    });
  }

  async #get(name: string): Promise<Cell | undefined> {
    const entry = await this.#call(() => this.#bucket.get(name), 'none');
    if (entry === null) return undefined;
    const bytes = entry.operation === 'PUT' ? Buffer.from(entry.value) : undefined;
    return { tag: String(entry.revision), bytes };
  }

  /** The new revision; `undefined`: another one is there. I1. */
  async #put(name: string, bytes: Buffer, tag: string | undefined): Promise<number | undefined> {
    const previousSeq = tag === undefined ? 0 : Number(tag);
    try {
      return await this.#call(() => this.#bucket.put(name, bytes, { previousSeq }), 'unknown');
    } catch (error) {
      if (isWrongSequence(causeOf(error))) return undefined;
      throw error;
    }
  }

  #call<T>(call: () => Promise<T>, effect: Effect): Promise<T> {
    return this.#gate.run(() => asked(call(), effect), effect);
  }
}

async function asked<T>(call: Promise<T>, effect: Effect): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw natsError(error, effect);
  }
}

type StreamConfig = Awaited<ReturnType<NatsBucket['status']>>['streamInfo']['config'];

/** I2; and nothing may go by itself. */
function assertUsable(config: StreamConfig): void {
  const { allow_direct: direct, num_replicas: copies, max_age: age = 0, discard } = config;
  const problems = [
    direct === true && copies > 1 ? 'it answers from any copy: allow_direct' : undefined,
    age > 0 ? 'its entries go after a time: max_age' : undefined,
    discard === 'old' && (config.max_bytes ?? -1) > 0
      ? 'it drops entries when it is full'
      : undefined,
    config.storage === 'memory' ? 'it is kept in memory only' : undefined,
  ].filter((problem) => problem !== undefined);
  if (problems.length === 0) return;
  throw new HoldfastError('INVALID_SETTINGS', `the bucket cannot be used: ${problems.join('; ')}`);
}

function causeOf(error: unknown): unknown {
  return isHoldfastError(error) ? error.cause : error;
}

function nameOf(key: string): string {
  return ENTRY + Buffer.from(key).toString('base64url');
}

function keyOf(name: string): string | undefined {
  const key = Buffer.from(name.slice(ENTRY.length), 'base64url').toString('utf8');
  return nameOf(key) === name ? key : undefined;
}
