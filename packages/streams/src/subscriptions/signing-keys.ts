/**
 * The Ed25519 keys that sign webhooks, and the secret of tokens.
 *
 * Invariants
 * 1. A key is durable before it is published, and published for `signingKeyPrepublishMs` before it
 *    signs, but for the first one: nobody can have cached an older set.
 * 2. A key stays published for `signingKeyRetireMs` after the next one took over, by the wall clock
 *    and by this process's monotonic clock: what it signed stays verifiable.
 * 3. Secrets are in no log, no error and no answer. They rest in plain bytes until there is
 *    encryption at rest.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { assert, type Clock, type Logger, type Random, type Timer } from '@holdfast/core';
import type { EngineHost } from '@holdfast/database';
import type { MutationQueue } from './mutation-queue.ts';
import { type StoredKey, SUBSCRIPTION_RECORDS } from './subscription-operations.ts';
import { KEYS_IDENTITY } from './subscription-rows.ts';
import type { SubscriptionSettings } from './subscription-settings.ts';
import type { WebhookPublicKey } from './subscription-store.ts';

const TOKEN_KEY = 'token';

const SECRET_BYTES = 32;
/** Pause between two looks at the keys' ages. */
const TEND_MS = 60_000;
/** Lane of the mutation queue; no subscription can have an empty id. */
const LANE = '';
/** What stands before the seed in the PKCS #8 form of an Ed25519 key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

interface KeyPair {
  readonly kid: string;
  /** The public key, as a JWK has it. */
  readonly x: string;
  readonly stored: StoredKey;
  readonly privateKey: KeyObject;
}

interface KeyComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly host: () => EngineHost;
  readonly queue: MutationQueue;
  /** As they rest; changed by `apply` alone. */
  readonly stored: ReadonlyMap<string, StoredKey>;
}

export class SigningKeys {
  readonly #components: KeyComponents;
  readonly #settings: SubscriptionSettings;
  /** Newest first. */
  #pairs: readonly KeyPair[] = [];
  /** When this process last signed with, or first saw, a key; monotonic. */
  readonly #usedAtMs = new Map<string, number>();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(components: KeyComponents, settings: SubscriptionSettings) {
    this.#components = components;
    this.#settings = settings;
  }

  get tokenSecret(): Buffer | undefined {
    return this.#components.stored.get(TOKEN_KEY)?.secret;
  }

  /** Newest first. */
  publicKeys(): WebhookPublicKey[] {
    const active = this.#active();
    return this.#pairs.map((pair) => ({ kid: pair.kid, x: pair.x, signs: pair === active }));
  }

  /** Rows or operations changed what is stored. */
  changed(): void {
    const known = new Map(this.#pairs.map((pair) => [pair.kid, pair]));
    const pairs: KeyPair[] = [];
    for (const stored of this.#components.stored.values()) {
      if (stored.name === TOKEN_KEY) continue;
      pairs.push(known.get(stored.name) ?? pairOf(stored));
      if (!this.#usedAtMs.has(stored.name)) this.#used(stored.name);
    }
    this.#pairs = pairs.sort((a, b) => b.stored.signsFromMs - a.stored.signsFromMs);
  }

  start(): void {
    this.changed();
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** There is a secret for tokens and, when asked for, a key to sign with. */
  async ensure(signing: boolean): Promise<void> {
    if (this.tokenSecret === undefined) await this.#create('token');
    if (signing && this.#pairs.length === 0) await this.#create('first');
  }

  /** `Webhook-Signature` of a body (PROTOCOL 7.1). */
  signature(body: Buffer): string {
    const pair = this.#active();
    assert(pair !== undefined, 'a webhook is signed without a key');
    this.#used(pair.kid);
    const seconds = Math.floor(this.#components.clock.now() / 1000);
    const signed = sign(null, Buffer.concat([Buffer.from(`${seconds}.`), body]), pair.privateKey);
    return `t=${seconds},kid=${pair.kid},ed25519=${signed.toString('base64url')}`;
  }

  /** Publishes the next key, if none is waiting already; it signs from its time on. */
  async rotate(): Promise<void> {
    await this.#create('next');
  }

  #active(): KeyPair | undefined {
    const now = this.#components.clock.now();
    // All of them lie ahead only when the clock was set back: the oldest signed before.
    return this.#pairs.find(({ stored }) => stored.signsFromMs <= now) ?? this.#pairs.at(-1);
  }

  #used(kid: string): void {
    this.#usedAtMs.set(kid, this.#components.clock.monotonicMs());
  }

  #create(kind: 'token' | 'first' | 'next'): Promise<void> {
    const { clock, random, queue, stored } = this.#components;
    return queue.runInternal(LANE, () => {
      const now = clock.now();
      const isWaiting = this.#pairs.some((pair) => pair.stored.signsFromMs > now);
      const there =
        kind === 'token'
          ? stored.has(TOKEN_KEY)
          : kind === 'first'
            ? this.#pairs.length > 0
            : isWaiting;
      if (there) return { operations: [], result: () => undefined };
      const secret = random.bytes(SECRET_BYTES);
      const wait = kind === 'next' ? this.#settings.signingKeyPrepublishMs : 0;
      const name = kind === 'token' ? TOKEN_KEY : kidOf(publicBytes(privateKeyOf(secret)));
      const key = { name, secret, createdAtMs: now, signsFromMs: now + wait };
      const { putKey: type } = SUBSCRIPTION_RECORDS;
      return { operations: [{ type, shard: this.#shard(), key }], result: () => undefined };
    });
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#components.clock.after(TEND_MS, () => {
      this.#tend()
        .catch((error: unknown) => {
          this.#components.logger.warn('subscriptions.keys_not_tended', { reason: String(error) });
        })
        .finally(() => this.#schedule());
    });
  }

  /** Follows an old key with a new one; takes away what no receiver has to verify any more. */
  async #tend(): Promise<void> {
    const { clock, queue } = this.#components;
    const now = clock.now();
    const [newest] = this.#pairs;
    if (newest === undefined) return;
    const { signingKeyRotationMs, signingKeyPrepublishMs } = this.#settings;
    if (now - newest.stored.signsFromMs >= signingKeyRotationMs - signingKeyPrepublishMs) {
      await this.#create('next');
    }
    for (const pair of this.#pairs.slice(1).reverse()) {
      if (!this.#isOver(pair)) continue;
      await queue.runInternal(LANE, () => {
        const { removeKey: type } = SUBSCRIPTION_RECORDS;
        const operation = { type, shard: this.#shard(), name: pair.kid };
        return { operations: this.#isOver(pair) ? [operation] : [], result: () => undefined };
      });
    }
  }

  #isOver(pair: KeyPair): boolean {
    const { clock } = this.#components;
    const { signingKeyRetireMs } = this.#settings;
    const successor = this.#pairs[this.#pairs.indexOf(pair) - 1];
    if (successor === undefined || this.#active() === pair) return false;
    const unusedMs = clock.monotonicMs() - (this.#usedAtMs.get(pair.kid) ?? 0);
    return (
      clock.now() - successor.stored.signsFromMs >= signingKeyRetireMs &&
      unusedMs >= signingKeyRetireMs
    );
  }

  #shard(): StoredShard {
    return this.#components.host().shardOf(KEYS_IDENTITY);
  }
}

type StoredShard = ReturnType<EngineHost['shardOf']>;

function pairOf(stored: StoredKey): KeyPair {
  const privateKey = privateKeyOf(stored.secret);
  return { kid: stored.name, x: publicBytes(privateKey), stored, privateKey };
}

function privateKeyOf(seed: Buffer): KeyObject {
  const key = Buffer.concat([PKCS8_PREFIX, seed]);
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' });
}

/** As a JWK has them. */
function publicBytes(privateKey: KeyObject): string {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  assert(x !== undefined, 'an Ed25519 key has no x');
  return x;
}

/** The thumbprint of RFC 7638: members in the order of their names, no white space. */
function kidOf(x: string): string {
  const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${x}"}`;
  return `ds_${createHash('sha256').update(jwk).digest('base64url')}`;
}
