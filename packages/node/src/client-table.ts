/**
 * What each client has open and has used: connections, requests under way, live readers, and its
 * rates. One table for all listeners of a node.
 *
 * Invariants
 * I1. A client with anything open is in `#active`: there are at most as many as connections, so
 *     nobody is ever refused for want of a place in the table.
 * I2. A client without is remembered for its rates alone, in `#idle`, at most
 *     `maxRememberedClients` of them, longest unseen first out; what such a one owed is forgiven.
 * I3. Everything that was counted in is counted out once, with the client it was counted for.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { HoldfastError, LIMITS, type Clock } from '@holdfast/core';
import type { ReaderAdmission } from '@holdfast/streams';
import { addressIdentity, identityOf, type IdentityOf } from './client-identity.ts';
import { TokenBucket } from './token-bucket.ts';

export interface ClientLimits {
  readonly maxConnectionsPerClient: number;
  readonly maxRequestsPerClient: number;
  readonly maxLiveReadersPerClient: number;
  /** 0: no rate. */
  readonly requestsPerSecondPerClient: number;
  /** Bytes received, heads included; 0: no rate. */
  readonly receivedBytesPerSecondPerClient: number;
}

/** One client. Only the table changes it. */
export class Client {
  readonly key: string;
  connections = 0;
  requests = 0;
  readers = 0;
  readonly requestRate: TokenBucket | undefined;
  readonly byteRate: TokenBucket | undefined;

  constructor(key: string, limits: ClientLimits, nowMs: number) {
    this.key = key;
    this.requestRate = bucket(limits.requestsPerSecondPerClient, nowMs);
    this.byteRate = bucket(limits.receivedBytesPerSecondPerClient, nowMs);
  }

  get isIdle(): boolean {
    return this.connections === 0 && this.requests === 0 && this.readers === 0;
  }

  /** There is nothing to remember of it. */
  isRested(nowMs: number): boolean {
    return this.requestRate?.isFull(nowMs) !== false && this.byteRate?.isFull(nowMs) !== false;
  }
}

function bucket(perSecond: number, nowMs: number): TokenBucket | undefined {
  if (perSecond === 0) return undefined;
  return new TokenBucket(perSecond, perSecond * LIMITS.rateBurstSeconds, nowMs);
}

export class ClientTable implements ReaderAdmission {
  readonly #clock: Clock;
  readonly #limits: ClientLimits;
  readonly #identityOf: IdentityOf;
  readonly #active = new Map<string, Client>();
  readonly #idle = new Map<string, Client>();
  readonly #readers = new WeakMap<IncomingMessage, Client>();

  /** @param identity for tests, which all come from loopback. */
  constructor(clock: Clock, limits: ClientLimits, identity: IdentityOf = identityOf) {
    this.#clock = clock;
    this.#limits = limits;
    this.#identityOf = identity;
  }

  /** Clients known: with something open, and remembered. */
  get sizes(): { active: number; idle: number } {
    return { active: this.#active.size, idle: this.#idle.size };
  }

  /** Counts a connection in; `undefined` when nobody counts it. Throws `CLIENT_QUOTA_EXCEEDED`. */
  connect(socket: Socket): Client | undefined {
    const key =
      this.#identityOf === identityOf
        ? addressIdentity(socket)
        : this.#identityOf({ socket } as IncomingMessage);
    if (key === undefined) return undefined;
    const client = this.#find(key);
    if (client.connections >= this.#limits.maxConnectionsPerClient) {
      throw quotaExceeded('connections', this.#limits.maxConnectionsPerClient);
    }
    client.connections++;
    this.#active.set(key, client);
    return client;
  }

  disconnect(client: Client): void {
    client.connections--;
    this.#rest(client);
  }

  /** Counts a request in. Throws `RATE_LIMITED` and `CLIENT_QUOTA_EXCEEDED`, and counts nothing. */
  begin(request: IncomingMessage): Client | undefined {
    const key = this.#identityOf(request);
    if (key === undefined) return undefined;
    const client = this.#find(key);
    const { maxRequestsPerClient } = this.#limits;
    if (client.requests >= maxRequestsPerClient) {
      throw quotaExceeded('requests', maxRequestsPerClient);
    }
    const now = this.#clock.monotonicMs();
    const wait = client.byteRate?.take(0, now) ?? client.requestRate?.take(1, now);
    if (wait !== undefined) {
      this.#rest(client);
      throw new HoldfastError('RATE_LIMITED', `more than one client may send wait=${wait}s`, {
        details: { retryAfterSeconds: wait },
      });
    }
    client.requests++;
    this.#active.set(key, client);
    return client;
  }

  /** @param bytes received with it. */
  end(client: Client, bytes: number): void {
    client.byteRate?.charge(bytes, this.#clock.monotonicMs());
    client.requests--;
    this.#rest(client);
  }

  enter(request: IncomingMessage): void {
    const key = this.#identityOf(request);
    if (key === undefined) return;
    const client = this.#find(key);
    const { maxLiveReadersPerClient } = this.#limits;
    if (client.readers >= maxLiveReadersPerClient) {
      throw quotaExceeded('live readers', maxLiveReadersPerClient);
    }
    client.readers++;
    this.#active.set(key, client);
    this.#readers.set(request, client); // I3: its address is unknown once its socket is closed
  }

  leave(request: IncomingMessage): void {
    const client = this.#readers.get(request);
    if (client === undefined) return;
    this.#readers.delete(request);
    client.readers--;
    this.#rest(client);
  }

  #find(key: string): Client {
    const known = this.#active.get(key) ?? this.#idle.get(key);
    if (known !== undefined) {
      this.#idle.delete(key);
      return known;
    }
    return new Client(key, this.#limits, this.#clock.monotonicMs());
  }

  #rest(client: Client): void {
    if (!client.isIdle) return;
    this.#active.delete(client.key);
    this.#idle.delete(client.key);
    const now = this.#clock.monotonicMs();
    if (!client.isRested(now)) this.#idle.set(client.key, client); // newest last
    const first = this.#idle.values().next();
    if (first.done === true) return;
    const crowded = this.#idle.size > LIMITS.maxRememberedClients;
    if (crowded || first.value.isRested(now)) this.#idle.delete(first.value.key); // I2
  }
}

function quotaExceeded(what: string, limit: number): HoldfastError {
  return new HoldfastError(
    'CLIENT_QUOTA_EXCEEDED',
    `one client has too many ${what} limit=${limit}`,
  );
}
