/**
 * The engines in the database of a node: the one place that lists them. Whoever opens a database (a
 * node, a drill, a tool) opens it with all of them, or rows would belong to nobody.
 *
 * Invariants
 * 1. `all` is what the database is opened with; an engine is given to one database, once.
 * 2. `close` ends every engine, whatever one of them fails with. The database closes after it.
 *
 * Owner: who opened the database.
 */
import { type Clock, type Logger, type Random } from '@holdfast/core';
import type { Engine } from '@holdfast/database';
import { KvEngine, type KvEngineSettings } from '@holdfast/kv';
import {
  controlEndpoints,
  type ControlEndpoints,
  createStreamEngine,
  createSubscriptionEngine,
  type StreamEngine,
  type StreamSettings,
  type SubscriptionEngine,
  type SubscriptionSettings,
  type WebhookSender,
} from '@holdfast/streams';
import { NodeWebhookSender } from './node-webhook-sender.ts';

/** Sizes and times of engines; what is absent is as in `LIMITS`. */
export interface EngineSettings {
  readonly streams?: Partial<StreamSettings>;
  readonly subscriptions?: Partial<SubscriptionSettings>;
  readonly kv?: Partial<KvEngineSettings>;
}

export interface EngineComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly sender: WebhookSender;
  /** Where receivers of webhooks call back. */
  readonly endpoints: ControlEndpoints;
}

export class NodeEngines {
  readonly streams: StreamEngine;
  readonly subscriptions: SubscriptionEngine;
  readonly kv: KvEngine;
  /** I1. */
  readonly all: readonly Engine[];

  constructor(
    { clock, random, logger, sender, endpoints }: EngineComponents,
    settings: EngineSettings = {},
  ) {
    const seams = { clock, random, logger };
    this.streams = createStreamEngine(seams, settings.streams);
    this.subscriptions = createSubscriptionEngine(
      { ...seams, streams: this.streams, sender, endpoints },
      settings.subscriptions,
    );
    this.kv = new KvEngine(seams, settings.kv);
    this.all = [this.streams, this.subscriptions, this.kv];
  }

  /** Engines of a database that is looked at or moved: nobody is woken by what
   * it holds, and no entry is removed from it. */
  static idle({
    clock,
    random,
    logger,
  }: Omit<EngineComponents, 'sender' | 'endpoints'>): NodeEngines {
    const sender = new NodeWebhookSender({ clock }, { allowLoopback: false });
    const endpoints = controlEndpoints('/', () => undefined);
    const engines = new NodeEngines(
      { clock, random, logger, sender, endpoints },
      { kv: { purgeStartGraceMs: Infinity } },
    );
    engines.subscriptions.drain();
    return engines;
  }

  /** Readers, watches and walks end, nothing expires any more. Idempotent. */
  async close(): Promise<void> {
    this.subscriptions.drain();
    try {
      this.streams.close();
    } finally {
      await this.kv.close();
    }
  }
}
