/**
 * A running node: streams in this process, their HTTP face, and an orderly end. Made by
 * `openNode`. It never ends the process, listens to no signals and touches no globals.
 *
 * Invariants
 * I1. Closing goes one way and once: ready turns 503, no wake begins, live readers are told to come back,
 *     snapshots and drills under way end, requests in flight are answered within `drainTimeoutMs`, the port is given back,
 *     key-value stores end, and only then is the database checkpointed and closed.
 * I2. When storage fails, the node stays open and says so (`onFailed`, `/readyz`, `NODE_FAILED`
 *     on every write) until its owner closes it: opening it anew is the only way back.
 *
 * Owns: the database, the protocol, and every listener it opened.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError, type Clock, type Logger } from '@holdfast/core';
import type { Damage, DatabaseStats, ScrubReport, StateProblem } from '@holdfast/database';
import type { KvEngineStats } from '@holdfast/kv';
import type { SubscriptionStats, SubscriptionStore } from '@holdfast/streams';
import type { Administration, EmbeddedArchive } from './administration.ts';
import type { BackupStatus } from './backup/backup-status.ts';
import type { EmbeddedKeys } from './backup/embedded-keys.ts';
import type { EmbeddedSnapshots } from './backup/embedded-snapshots.ts';
import type { ClientTable } from './client-table.ts';
import { closeInOrder } from './close-in-order.ts';
import { EmbeddedStreams } from './embedded-streams.ts';
import { bridgeFetch } from './fetch-bridge.ts';
import type { Health, HealthState } from './health.ts';
import { HttpListener, type ListenAddress } from './http-listener.ts';
import { holding, type HoldProcess } from './node-keep-alive.ts';
import type { EmbeddedKv } from './kv/embedded-kv.ts';
import type { NodeEngines } from './node-engines.ts';
import type { PublicUrl } from './public-url.ts';
import type { RequestRouter } from './request-router.ts';
import type { NodeSettings } from './settings.ts';

/** The part of the database a node needs once it is open. */
export interface NodeDatabase {
  onFailed(listener: (error: HoldfastError) => void): void;
  verify(): Promise<StateProblem[]>;
  scrub(): Promise<ScrubReport>;
  damages(): Damage[];
  checkpoint(): Promise<void>;
  stats(): DatabaseStats;
  close(): Promise<void>;
}

/** The part of the stream protocol a node needs besides routing. */
export interface NodeProtocol {
  /** Long-polls answer 204, SSE connections end with a control event. */
  drain(): void | Promise<void>;
  readonly liveReaders: number;
}

export interface NodeParts {
  readonly database: NodeDatabase;
  readonly engines: NodeEngines;
  readonly kv: EmbeddedKv;
  readonly publicUrl: PublicUrl;
  readonly protocol: NodeProtocol;
  readonly router: RequestRouter;
  readonly administration: Administration;
  readonly clients: ClientTable;
  readonly health: Health;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly holdProcess: HoldProcess;
  /** Gives back, last of all, what the node opened besides the database. */
  readonly release: () => Promise<void>;
}

export interface NodeStats {
  readonly state: HealthState;
  readonly liveReaders: number;
  readonly requestsInFlight: number;
  readonly subscriptions: SubscriptionStats;
  readonly kv: KvEngineStats;
  readonly database: DatabaseStats;
  /** Absent without a backup. */
  readonly backup?: BackupStatus;
}

export class HoldfastNode implements AsyncDisposable {
  readonly settings: NodeSettings;
  /** Streams without HTTP. */
  readonly streams: EmbeddedStreams;
  /** Subscriptions without HTTP: offsets here are positions. */
  readonly subscriptions: SubscriptionStore;
  /** Key-value stores without HTTP. */
  readonly kv: EmbeddedKv;
  /** Snapshots of the backup; without one every call is `BACKUP_NOT_CONFIGURED`. */
  readonly snapshots: EmbeddedSnapshots;
  /** The log on its way into the backup; the same. */
  readonly archive: EmbeddedArchive;
  /** What everything at rest is encrypted with. */
  readonly keys: EmbeddedKeys;
  /** For `http.createServer(node.handler)`; the limits of that server are its owner's. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** For frameworks that speak the Fetch API. */
  readonly fetch: (request: Request) => Promise<Response>;
  readonly #parts: NodeParts;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<HttpListener>();
  #failure: HoldfastError | undefined;
  #onFailed: ((error: HoldfastError) => void)[] = [];
  #closed: Promise<void> | undefined;

  /** @param settings parsed. Use `openNode`. */
  constructor(parts: NodeParts, settings: NodeSettings) {
    this.#parts = parts;
    this.settings = settings;
    this.streams = new EmbeddedStreams(parts.engines.streams, {
      closing: this.#closing.signal,
      hold: parts.holdProcess,
    });
    this.subscriptions = parts.engines.subscriptions;
    this.kv = parts.kv;
    this.snapshots = parts.administration.snapshots;
    this.archive = parts.administration.archive;
    this.keys = parts.administration.keys;
    this.handler = (request, response) => parts.router.route(request, response);
    this.fetch = (request) => bridgeFetch(this.handler, request);
    parts.database.onFailed((error) => this.#failed(error));
  }

  get state(): HealthState {
    return this.#parts.health.state;
  }

  /** Why storage failed, if it did. */
  get failure(): HoldfastError | undefined {
    return this.#failure;
  }

  /** Heard once, when storage fails; at once if it already did. */
  onFailed(listener: (error: HoldfastError) => void): void {
    if (this.#failure !== undefined) listener(this.#failure);
    else this.#onFailed.push(listener);
  }

  /** Serves HTTP; host and port default to the node's settings. */
  async listen(at: { host?: string; port?: number } = {}): Promise<ListenAddress> {
    this.#assertOpen();
    const { settings } = this;
    const listener = await HttpListener.open(this.#parts, {
      host: at.host ?? settings.host,
      port: at.port ?? settings.port,
      insecure: settings.insecure,
      allowedHosts: settings.allowedHosts,
      minBodyBytesPerSecond: settings.minBodyBytesPerSecond,
      minReadBytesPerSecond: settings.minReadBytesPerSecond,
    });
    if (this.#closed !== undefined) {
      await listener.close(); // closed while the port was being opened
      this.#assertOpen();
    }
    this.#listeners.add(listener);
    const { publicUrl, engines } = this.#parts;
    if (publicUrl.listening(listener.address)) engines.subscriptions.reachable();
    return listener.address;
  }

  /** Re-reads every byte of log and state. Empty when everything is whole. */
  verify(): Promise<StateProblem[]> {
    return this.#parts.database.verify();
  }

  /** The same, and mends what can be mended: a pass of the scrub that runs by itself, now. */
  scrub(): Promise<ScrubReport> {
    return this.#parts.database.scrub();
  }

  /** What was found damaged since the start, and what became of it; the newest last. */
  damages(): Damage[] {
    return this.#parts.database.damages();
  }

  checkpoint(): Promise<void> {
    return this.#parts.database.checkpoint();
  }

  /** Gives this moment a name that a backup can be restored to; resolves with its LSN. */
  mark(name: string): Promise<number> {
    return this.#parts.administration.mark(name);
  }

  /** Publishes a new key for webhooks now; it signs once receivers have had time to see it. */
  rotateSigningKey(): Promise<void> {
    return this.#parts.engines.subscriptions.rotateSigningKey();
  }

  stats(): NodeStats {
    const { administration, engines } = this.#parts;
    return {
      state: this.state,
      liveReaders: this.#parts.protocol.liveReaders,
      requestsInFlight: this.#parts.router.inFlight,
      subscriptions: engines.subscriptions.stats,
      kv: engines.kv.stats,
      database: this.#parts.database.stats(),
      ...(administration.hasBackup ? { backup: administration.backup() } : {}),
    };
  }

  /** Drains and closes (I1). Idempotent. */
  close(): Promise<void> {
    this.#closed ??= holding(() => this.#close(), this.#parts.holdProcess);
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** I1, whatever one of the steps fails with. */
  async #close(): Promise<void> {
    const { health, protocol, database, engines, administration, kv } = this.#parts;
    health.drain();
    engines.subscriptions.drain();
    await closeInOrder([
      () => protocol.drain(),
      () => administration.close(),
      () => this.#quiet(),
      () => closeInOrder([...this.#listeners].map((listener) => () => listener.close())),
      () => this.#closing.abort(new HoldfastError('CLOSED', 'the node was closed')),
      () => health.close(),
      () => kv.close(),
      () => this.#failure ?? engines.streams.saveTouches(),
      () => engines.close(),
      () => database.close(),
      () => this.#parts.release(),
    ]);
  }

  /** Until requests in flight are answered, or have had their time. */
  async #quiet(): Promise<void> {
    const { clock, logger, router } = this.#parts;
    const timedOut = await inTime(clock, router.idle(), this.settings.drainTimeoutMs);
    if (timedOut) logger.warn('drain-cut', { requests: router.inFlight });
  }

  #failed(error: HoldfastError): void {
    this.#failure = error;
    this.#parts.health.fail();
    const listeners = this.#onFailed;
    this.#onFailed = [];
    for (const listener of listeners) listener(error);
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new HoldfastError('CLOSED', 'the node is closed');
  }
}

/** True when `delayMs` passed before `work` was done. */
function inTime(clock: Clock, work: Promise<void>, delayMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(delayMs, () => resolve(true));
    void work.then(() => {
      timer.cancel();
      resolve(false);
    });
  });
}
