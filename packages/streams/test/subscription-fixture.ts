/**
 * Stream and subscription engine over the real database on a simulated disk and clock, with a
 * receiver that answers what a test wants.
 */
import { HoldfastError, type KeyRing, type Logger, type Random, SILENT } from '@holdfast/core';
import { type Database, openDatabase } from '@holdfast/database';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { splitJson } from '../src/messages.ts';
import { type Position, parsePosition } from '../src/position.ts';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import type { StreamSettings } from '../src/stream-settings.ts';
import {
  createSubscriptionEngine,
  type SubscriptionEngine,
} from '../src/subscriptions/subscription-engine.ts';
import type { SubscriptionConfig } from '../src/subscriptions/subscription-store.ts';
import type { SubscriptionSettings } from '../src/subscriptions/subscription-settings.ts';
import type {
  WebhookAnswer,
  WebhookRequest,
  WebhookSender,
} from '../src/subscriptions/webhook-sender.ts';

export interface WakeBody {
  readonly subscription_id: string;
  readonly wake_id: string;
  readonly generation: number;
  readonly streams: readonly {
    readonly path: string;
    readonly link_type: string;
    readonly acked_offset: string;
    readonly tail_offset: string;
    readonly has_pending: boolean;
  }[];
  readonly callback_url: string;
  readonly callback_token: string;
}

/** Called with each delivery; throws when nothing answers. */
export type Receive = (
  body: WakeBody,
  request: WebhookRequest,
) => WebhookAnswer | Promise<WebhookAnswer>;

export class FakeReceiver implements WebhookSender {
  readonly requests: WebhookRequest[] = [];
  readonly bodies: WakeBody[] = [];
  receive: Receive = () => accepted();

  assertUrl(url: string): void {
    if (url.startsWith('https://')) return;
    throw new HoldfastError('WEBHOOK_URL_REJECTED', 'only https');
  }

  async send(request: WebhookRequest): Promise<WebhookAnswer> {
    const body = JSON.parse(request.body.toString()) as WakeBody;
    this.requests.push(request);
    this.bodies.push(body);
    return this.receive(body, request);
  }
}

export function answer(status: number, body = ''): WebhookAnswer {
  return { status, body: Buffer.from(body) };
}

export function accepted(): WebhookAnswer {
  return answer(202);
}

export function done(): WebhookAnswer {
  return answer(200, '{"done":true}');
}

/** Never answers; ends with the wake or the node. */
export function silence(_body: WakeBody, { signal }: WebhookRequest): Promise<WebhookAnswer> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')));
  });
}

export const WEBHOOK: SubscriptionConfig = {
  type: 'webhook',
  pattern: 'events/*',
  streams: [],
  webhookUrl: 'https://worker.example/hooks',
  leaseTtlMs: 30_000,
};

export const PULL: SubscriptionConfig = {
  type: 'pull-wake',
  pattern: 'events/*',
  streams: [],
  wakeStream: 'wake/pool',
  leaseTtlMs: 30_000,
};

export const DATABASE_SETTINGS = {
  dir: '/data',
  shardCount: 2,
  segmentTargetBytes: 40 * 1024,
  preallocateBytes: 8 * 1024,
  diskReserveBytes: 0,
};

export interface FixtureOptions {
  readonly settings?: Partial<SubscriptionSettings>;
  readonly streamSettings?: Partial<StreamSettings>;
  /** Default: of a node that is reached at once. */
  readonly callbackUrl?: (id: string) => string | undefined;
  readonly seed?: number;
  readonly fs?: SimFs;
  readonly clock?: SimClock;
  readonly receiver?: FakeReceiver;
  readonly logger?: Logger;
  readonly shardCount?: number;
  /** Default: nothing is encrypted. */
  readonly keys?: KeyRing;
  /** Of the lives before: no two of them draw the same. */
  readonly random?: Random;
}

export class SubscriptionFixture {
  readonly clock: SimClock;
  readonly fs: SimFs;
  readonly random: Random;
  readonly receiver: FakeReceiver;
  readonly streams: StreamEngine;
  readonly engine: SubscriptionEngine;
  readonly #options: FixtureOptions;
  #database: Database | undefined;

  private constructor(options: FixtureOptions) {
    this.#options = options;
    this.random = options.random ?? new SeededRandom(options.seed ?? 1);
    this.clock = options.clock ?? new SimClock(new SeededRandom(options.seed ?? 1));
    this.fs = options.fs ?? new SimFs();
    this.receiver = options.receiver ?? new FakeReceiver();
    const components = { clock: this.clock, random: this.random, logger: options.logger ?? SILENT };
    this.streams = createStreamEngine(components, options.streamSettings);
    const { callbackUrl = (id) => `https://node.example/${id}/callback` } = options;
    this.engine = createSubscriptionEngine(
      {
        ...components,
        streams: this.streams,
        sender: this.receiver,
        endpoints: { callbackUrl },
      },
      options.settings,
    );
  }

  static async open(options: FixtureOptions = {}): Promise<SubscriptionFixture> {
    const fixture = new SubscriptionFixture(options);
    await fixture.clock.run(fixture.#open());
    return fixture;
  }

  get database(): Database {
    return this.#database as Database;
  }

  /** The process dies at this moment and starts again. */
  crash(options: Partial<FixtureOptions> = {}): Promise<SubscriptionFixture> {
    return SubscriptionFixture.open({
      ...this.#options,
      receiver: this.receiver,
      random: this.random,
      fs: this.fs.kill(),
      clock: this.clock.nextIncarnation(),
      ...options,
    });
  }

  async reopen(options: Partial<FixtureOptions> = {}): Promise<SubscriptionFixture> {
    await this.close();
    return SubscriptionFixture.open({
      ...this.#options,
      receiver: this.receiver,
      random: this.random,
      fs: this.fs,
      clock: this.clock.nextIncarnation(),
      ...options,
    });
  }

  async close(): Promise<void> {
    this.engine.drain();
    this.streams.close();
    await this.clock.run(this.database.close());
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise);
  }

  /** Everything that can happen without time passing, and a moment of disk. */
  settle(ms = 1): Promise<void> {
    return this.clock.advance(ms);
  }

  async create(path: string, json = true, closed = false): Promise<void> {
    const contentType = json ? 'application/json' : 'text/plain';
    await this.run(this.streams.create({ path, contentType, closed }));
  }

  async append(path: string, value: unknown = 1): Promise<Position> {
    const messages = () => splitJson(Buffer.from(JSON.stringify(value)));
    const { tail } = await this.run(this.streams.append({ path, messages, close: false }));
    return tail;
  }

  async read(path: string): Promise<unknown[]> {
    const slice = await this.run(
      Promise.resolve(this.streams.read({ path, from: 'start', maxBytes: 1e9 })),
    );
    const parts: Buffer[] = [];
    for await (const piece of slice.pieces())
      for (const part of piece) parts.push(Buffer.from(part));
    return JSON.parse(`[${Buffer.concat(parts).toString().slice(0, -1)}]`) as unknown[];
  }

  put(id: string, config: SubscriptionConfig): Promise<{ readonly created: boolean }> {
    return this.run(this.engine.put(id, config));
  }

  /** How far a subscription is with a stream. */
  acked(id: string, path: string): Position | undefined {
    return this.engine.get(id).links.find((link) => link.path === path)?.acked;
  }

  /** The callback of a webhook, with the tails it was told. */
  callback(
    body: WakeBody,
    finished: boolean,
    paths?: readonly string[],
  ): Promise<{ nextWake: boolean }> {
    const acks = body.streams
      .filter(({ path }) => paths === undefined || paths.includes(path))
      .map(({ path, tail_offset: offset }) => ({ path, offset: parsePosition(offset) }));
    return this.run(
      this.engine.ack({
        id: body.subscription_id,
        type: 'webhook',
        token: body.callback_token,
        wakeId: body.wake_id,
        generation: body.generation,
        acks,
        done: finished,
      }),
    );
  }

  async #open(): Promise<void> {
    const { keys } = this.#options;
    const components = {
      clock: this.clock,
      random: this.random,
      fileSystem: this.fs,
      ...(keys === undefined ? {} : { keys }),
    };
    const { shardCount = DATABASE_SETTINGS.shardCount } = this.#options;
    const settings = { ...DATABASE_SETTINGS, shardCount };
    this.#database = await openDatabase(components, settings, [this.streams, this.engine]);
  }
}
