/**
 * The domain API of subscriptions (PROTOCOL 6 and 7): durable cursors over streams that wake
 * workers. What the HTTP routes and the embedded API speak to; `SubscriptionEngine` implements it.
 * No HTTP here: values are parsed, errors are typed.
 *
 * Contract
 * 1. A promise resolves after the change is durable: a kill right after it takes nothing back.
 * 2. A cursor only rises. It never passes the tail of its stream, and belongs to one stream: when
 *    another one takes its path, the cursor is at that stream's start.
 * 3. `generation` rises by one for every wake and never repeats, also over restarts. Whoever holds
 *    an older one is refused with `FENCED` and changes nothing.
 * 4. Pending work without a wake in flight, a lease, or a retry in waiting wakes at once.
 * 5. At least once: a worker may see work twice (a lost answer, a lease that ran out), never miss it.
 * 6. A lease gives liveness, the generation gives safety: time decides who may try, never who won.
 * 7. Errors carry what the protocol answers as `details`: `ALREADY_CLAIMED` the `currentHolder`
 *    and `generation`.
 */
import type { Position } from '../position.ts';

export type SubscriptionType = 'webhook' | 'pull-wake';

/** As created; `streams` added or removed later are links, not configuration. */
export interface SubscriptionConfig {
  readonly type: SubscriptionType;
  /** `*` is one segment of a path, `**` any number of them. */
  readonly pattern?: string;
  /** Explicit streams; they need not exist. Sorted, each once. */
  readonly streams: readonly string[];
  /** With `webhook`: passed `WebhookSender.assertUrl`. */
  readonly webhookUrl?: string;
  /** With `pull-wake`: an open stream of JSON. */
  readonly wakeStream?: string;
  readonly leaseTtlMs: number;
  readonly description?: string;
}

export type LinkType = 'glob' | 'explicit';

/** One stream of a subscription and how far it was processed. */
export interface SubscriptionLink {
  readonly path: string;
  /** `explicit` where it is both. */
  readonly linkType: LinkType;
  /** Everything before it is processed. */
  readonly acked: Position;
}

export interface WakeStream extends SubscriptionLink {
  /** At the moment of the wake; the start while there is no stream. */
  readonly tail: Position;
  readonly pending: boolean;
}

/** Without the links: of these there may be very many. */
export interface SubscriptionSummary {
  readonly id: string;
  readonly config: SubscriptionConfig;
  readonly createdAtMs: number;
  readonly linkCount: number;
  /** `failed` from a failed delivery to the next one that works. */
  readonly status: 'active' | 'failed';
  readonly generation: number;
  /** Failed deliveries in a row. */
  readonly failedAttempts: number;
  /** Wall clock, ms; while a retry is waiting. */
  readonly nextAttemptAtMs?: number;
  /** Deliveries were given up and went to the dead letters; new work or a re-confirmation wakes again. */
  readonly parked: boolean;
  /** The worker that holds the lease. */
  readonly holder?: string;
  /** Streams that match and found no place: see `LIMITS.maxLinksPerSubscription`. */
  readonly unlinkedStreams?: number;
}

export interface SubscriptionInfo extends SubscriptionSummary {
  /** By path, in the order of UTF-16 code units. */
  readonly links: readonly SubscriptionLink[];
}

/** What a worker is given with a wake. */
export interface Wake {
  readonly wakeId: string;
  readonly generation: number;
  /** Opens `ack` and `release` for this wake alone. */
  readonly token: string;
  /** Every link, or those with pending work first when there are more than `LIMITS.maxWakeStreams`. */
  readonly streams: readonly WakeStream[];
  readonly leaseTtlMs: number;
}

/** Says which wake a request is about. */
export interface WakeReference {
  readonly id: string;
  readonly token: string;
  readonly wakeId: string;
  readonly generation: number;
}

export interface AckRequest extends WakeReference {
  /** Of the two endpoints, the one it came through: it must fit the subscription's type. */
  readonly type: SubscriptionType;
  readonly acks: readonly { readonly path: string; readonly offset: Position }[];
  /** Ends the wake; otherwise the lease is renewed. */
  readonly done: boolean;
}

export interface ListSubscriptionsRequest {
  /** Ids greater than this one. */
  readonly after?: string;
  readonly limit: number;
}

export interface SubscriptionStore {
  /**
   * Creates, or confirms one with the same configuration (which also wakes a parked one).
   * Throws `SUBSCRIPTION_EXISTS`, `WAKE_STREAM_NOT_FOUND`, `INVALID_SUBSCRIPTION`,
   * `WEBHOOK_URL_REJECTED`, `QUOTA_EXCEEDED`.
   */
  put(
    id: string,
    config: SubscriptionConfig,
  ): Promise<{ readonly created: boolean; readonly info: SubscriptionInfo }>;
  /** Throws `SUBSCRIPTION_NOT_FOUND`, as everything below does. */
  get(id: string): SubscriptionInfo;
  list(request: ListSubscriptionsRequest): SubscriptionSummary[];
  delete(id: string): Promise<void>;
  /** Explicit links at the streams' tails; links that exist stay as they are. */
  link(id: string, paths: readonly string[]): Promise<void>;
  /** Takes the explicit link away; one by pattern stays. */
  unlink(id: string, path: string): Promise<void>;
  /** Takes the lease of a pull-wake subscription. Throws `ALREADY_CLAIMED`, `NO_PENDING_WORK`. */
  claim(id: string, worker: string): Promise<Wake>;
  /**
   * Moves cursors and renews or ends the lease: the callback of a webhook, the ack of a worker.
   * All or nothing. Throws `TOKEN_INVALID`, `FENCED`, `INVALID_OFFSET`, `INVALID_SUBSCRIPTION`.
   */
  ack(request: AckRequest): Promise<{ readonly nextWake: boolean }>;
  /** Gives a claim back without acks. Throws as `ack` does. */
  release(reference: WakeReference): Promise<void>;
  /** Public signing keys, newest first: the JWK Set of PROTOCOL 6.5. */
  publicKeys(): readonly WebhookPublicKey[];
}

export interface WebhookPublicKey {
  readonly kid: string;
  /** The raw 32 bytes of the Ed25519 key, base64url. */
  readonly x: string;
  /** The one that signs now; the others are to come, or were. */
  readonly signs: boolean;
}
