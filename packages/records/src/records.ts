/**
 * What an application does with records: `node.records`, and this package alone. A record has a fixed
 * number of subkeys, each written by one key; the peers nearest to its id keep signed, encrypted
 * copies, and see its id, its owner, writers, sizes and numbers, and the id and address of whoever asks
 * them.
 *
 * Which value wins
 * 1. The one with the higher sequence number; of two with the same number (a writer on two machines) the
 *    one with the lower hash, on every peer. A value that lost never comes back: the highest number
 *    seen is remembered, also across restarts.
 * 2. Values are of one subkey. Only `transact` ties several together.
 *
 * Calls
 * 3. `create` and `delete` touch this peer alone: a record is in the network from its first `set` on,
 *    and there it lasts as long as peers keep it. `delete` ends that this peer keeps it alive;
 *    `erase` is what takes a value out of the network.
 * 4. `open` finds the descriptor here, or asks the network. It is counted: `close` as often.
 *    Everything but `create`, `open`, `delete` and `recordKey` wants an open record: `RECORD_NOT_OPEN`.
 * 5. `get` answers from here if there is a value, and asks the network if not, or with
 *    `forceRefresh`: then it gives the newest of what enough peers say, and repairs those that lag
 *    behind. `minimumSequence`: an older value is not an answer, but `PEERS_UNAVAILABLE`.
 * 6. `set` says what became of it (`SetResult`), never nothing. `committed`: enough peers hold it.
 *    `pending`: it is durable here and will be sent; `flush` waits for that; with `allowOffline: false`
 *    it is `PEERS_UNAVAILABLE` instead, and not queued. `superseded`: another value won, is
 *    here now, and given back. The same data by the same writer again is no new write.
 * 7. `degraded` says that the network is smaller than the counts: everybody who is there was asked.
 *    It is agreement among fewer, not a failure.
 * 8. `watch` never waits for the network. A record has one watch, and a new call replaces it; it is kept up
 *    across restarts of peers, renewed, and what was missed is found out. A change is told once.
 * 9. `inspect` gives sequence numbers, here and in the network; those of the network are hints.
 * 10. A transaction sees the records as they were when it began, and changes all of them or none, as
 *     far as each peer is concerned (docs/RECORDS.md says what a crash in its middle leaves). It
 *     begins only while nothing is queued, and meanwhile plain sets are `RECORD_LOCKED`.
 *
 * Keys
 * 11. A record is open by its whole key: without the secret it can be inspected and watched (changes come
 *     without data), but `get` and `set` are `RECORD_SECRET_WRONG`.
 *
 * Owner: who opened `Records` closes it; that ends watches and transactions and keeps the queue.
 */
import type { PeerId } from './coordinate.ts';
import type { KeyPair, PublicKey } from './key-pair.ts';
import type { RecordKey } from './record-key.ts';
import type { RecordSchema } from './schema.ts';
import type { Sequence } from './sequence.ts';
import type { SubkeySet } from './subkey-set.ts';

export interface Records extends AsyncDisposable {
  /** Draws a secret, and an owner if none is given. `RECORD_EXISTS`. */
  create(schema: RecordSchema, options?: CreateOptions): Promise<CreatedRecord>;
  open(key: RecordKey, options?: OpenOptions): Promise<OpenedRecord>;
  close(key: RecordKey): Promise<void>;
  delete(key: RecordKey, options?: RecordCallOptions): Promise<void>;

  get(key: RecordKey, subkey: number, options?: GetOptions): Promise<GetResult>;
  set(key: RecordKey, subkey: number, data: Uint8Array, options?: SetOptions): Promise<SetResult>;
  /** As `set`, with nothing: peers drop the bytes and keep the number. */
  erase(key: RecordKey, subkey: number, options?: SetOptions): Promise<SetResult>;
  flush(key: RecordKey, options?: FlushOptions): Promise<FlushResult>;

  /** Ends with the watch: its time, its count, `cancelWatch`, `close`, `break`. */
  watch(key: RecordKey, options?: WatchOptions): AsyncIterable<RecordChange>;
  /** Takes these subkeys from the watch. */
  cancelWatch(key: RecordKey, options?: CancelWatchOptions): Promise<WatchState>;
  inspect(key: RecordKey, options?: InspectOptions): Promise<InspectReport>;
  /** 1 to 32 open records, none twice. */
  transact(keys: readonly RecordKey[], options?: TransactOptions): Promise<RecordTransaction>;

  on(listener: (event: RecordsEvent) => void): { cancel(): void };
  /** All of them, closed or open. */
  local(): AsyncIterable<LocalRecord>;
  dispose(): Promise<void>;
}

export interface RecordCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface CreateOptions extends RecordCallOptions {
  readonly owner?: KeyPair | undefined;
  /** 32 bytes, instead of drawn ones: who shares them finds the record by owner and schema. */
  readonly secret?: Uint8Array | undefined;
}

export interface OpenOptions extends RecordCallOptions {
  /** Writes, where a call names no other. Default: the owner, where this peer has its keys. */
  readonly writer?: KeyPair | undefined;
}

export interface OpenedRecord {
  readonly key: RecordKey;
  readonly owner: PublicKey;
  readonly schema: RecordSchema;
  readonly writer: PublicKey | undefined;
}

export interface CreatedRecord extends OpenedRecord {
  /** Held by this peer only in memory: whoever wants to write later keeps it. */
  readonly ownerKeys: KeyPair;
}

export interface GetOptions extends RecordCallOptions {
  readonly forceRefresh?: boolean | undefined;
  readonly minimumSequence?: Sequence | undefined;
}

/** How sure a result is. */
export interface Agreement {
  /** Peers that hold what the result says. */
  readonly peers: readonly PeerId[];
  readonly degraded: boolean;
}

export interface RecordValue {
  readonly data: Uint8Array;
  readonly sequence: Sequence;
  readonly writer: PublicKey;
}

export type GetResult =
  | (Agreement & RecordValue & { readonly status: 'value'; readonly source: ValueSource })
  | (Agreement & {
      readonly status: 'erased';
      readonly sequence: Sequence;
      readonly writer: PublicKey;
      readonly source: ValueSource;
    })
  /** Never written, as far as anybody who was asked knows. */
  | (Agreement & { readonly status: 'absent' });

export type ValueSource = 'local' | 'network';

export interface SetOptions extends RecordCallOptions {
  readonly writer?: KeyPair | undefined;
  /** Default true. */
  readonly allowOffline?: boolean | undefined;
}

export type SetResult =
  | (Agreement & { readonly status: 'committed'; readonly sequence: Sequence })
  | (Agreement & { readonly status: 'pending'; readonly sequence: Sequence })
  | (Agreement & {
      readonly status: 'superseded';
      /** Of the value that won. */
      readonly sequence: Sequence;
      /** `undefined`: it was erased. */
      readonly value: RecordValue | undefined;
    });

export interface FlushOptions extends RecordCallOptions {
  /** Default: as long as it takes. */
  readonly timeoutMs?: number | undefined;
}

export type FlushResult =
  { readonly status: 'flushed' } | { readonly status: 'pending'; readonly subkeys: SubkeySet };

export interface WatchOptions extends RecordCallOptions {
  /** Default: all. */
  readonly subkeys?: SubkeySet | undefined;
  /** Changes until it ends; default: no bound. */
  readonly count?: number | undefined;
  /** Wall clock, ms since the Unix epoch; default: never. */
  readonly expiresAtMs?: number | undefined;
}

export interface CancelWatchOptions {
  /** Default: all. */
  readonly subkeys?: SubkeySet | undefined;
}

export type WatchState =
  { readonly status: 'active'; readonly subkeys: SubkeySet } | { readonly status: 'none' };

export interface RecordChange {
  readonly key: RecordKey;
  /** What changed; one at least. */
  readonly subkeys: SubkeySet;
  /** Of the first of them, if it came along and could be decrypted. */
  readonly value: RecordValue | undefined;
  /** Changes that are left; `undefined`: no bound. */
  readonly count: number | undefined;
}

/**
 * `local`: no network. `get` and `set`: what the network holds, asked as a get or a set would ask.
 * `update-get` and `update-set`: the same, beginning with what is here.
 */
export type InspectScope = 'local' | 'get' | 'set' | 'update-get' | 'update-set';

export interface InspectOptions extends RecordCallOptions {
  readonly subkeys?: SubkeySet | undefined;
  /** Default `local`. */
  readonly scope?: InspectScope | undefined;
}

export interface InspectReport {
  /** Those of the schema that were asked for. */
  readonly subkeys: SubkeySet;
  /** Written here, not yet held by enough peers. */
  readonly pending: SubkeySet;
  /** Rising by subkey. */
  readonly states: readonly SubkeyState[];
  /** All subkeys had enough peers. */
  readonly agreed: boolean;
  readonly degraded: boolean;
}

export interface SubkeyState {
  readonly subkey: number;
  readonly local: Sequence | undefined;
  /** `undefined`: never written, or not asked. */
  readonly network: Sequence | undefined;
  /** Peers that said so. */
  readonly peers: number;
}

export interface TransactOptions extends RecordCallOptions {
  /** Signs where a record is open without a writer. */
  readonly writer?: KeyPair | undefined;
}

export interface RecordTransaction extends AsyncDisposable {
  get(key: RecordKey, subkey: number, options?: RecordCallOptions): Promise<GetResult>;
  /** `pending` until the commit. `superseded`: it is withdrawn, and the value that won goes on. */
  set(
    key: RecordKey,
    subkey: number,
    data: Uint8Array,
    options?: RecordCallOptions,
  ): Promise<SetResult>;
  erase(key: RecordKey, subkey: number, options?: RecordCallOptions): Promise<SetResult>;
  inspect(key: RecordKey, options?: RecordCallOptions): Promise<InspectReport>;
  /** Ends it. `TRANSACTION_GONE` where another won, with effect `none`, or `unknown`. */
  commit(options?: RecordCallOptions): Promise<void>;
  /** Ends it, as disposing does if it has not ended. */
  rollback(options?: RecordCallOptions): Promise<void>;
}

export interface LocalRecord {
  readonly key: RecordKey;
  readonly owner: PublicKey;
  readonly schema: RecordSchema;
  readonly open: boolean;
  readonly pending: SubkeySet;
}

export type RecordsEvent =
  | { readonly type: 'change'; readonly change: RecordChange }
  | { readonly type: 'watch-ended'; readonly key: RecordKey }
  /** A queued write found its peers. */
  | { readonly type: 'committed'; readonly key: RecordKey; readonly subkey: number }
  /** One writer signed two values of one number: the other one lost (1). */
  | {
      readonly type: 'conflict';
      readonly key: RecordKey;
      readonly subkey: number;
      readonly sequence: Sequence;
    }
  | { readonly type: 'online' | 'offline' };
