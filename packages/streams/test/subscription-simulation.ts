/**
 * Crash histories of subscriptions over the real database and stream engine on a simulated disk:
 * streams that come, grow and go; webhooks to a receiver that answers, fails, stays silent and
 * calls back late; workers that claim, ack, give back and vanish; stale tokens; the power cut
 * between any two calls.
 *
 * The oracle is what the outside saw (`SubscriptionWitness`), kept over all lives: nothing that was
 * acknowledged is taken back, no generation comes twice, no cursor falls, passes its tail, or
 * moves by a fenced call, no retry comes early, no signature or token is worthless after a start.
 * In the end everything answers well, and every subscription has to catch up with every stream.
 */
import { createSecretKey } from 'node:crypto';
import { isHoldfastError, KeyRing, SILENT, systemErrorCode } from '@holdfast/core';
import { type Database, openDatabase } from '@holdfast/database';
import {
  type HistoryRange,
  isSimDead,
  runHistories,
  SeededRandom,
  SimClock,
  SimFs,
} from '@holdfast/testkit';
import { splitJson } from '../src/messages.ts';
import { parsePosition } from '../src/position.ts';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import {
  createSubscriptionEngine,
  type SubscriptionEngine,
} from '../src/subscriptions/subscription-engine.ts';
import type { SubscriptionConfig, Wake } from '../src/subscriptions/subscription-store.ts';
import type { WebhookAnswer, WebhookRequest } from '../src/subscriptions/webhook-sender.ts';
import { answer, DATABASE_SETTINGS, done, type WakeBody } from './subscription-fixture.ts';
import { SubscriptionWitness } from './subscription-witness.ts';

export interface SubscriptionHistoryTotals {
  histories: number;
  crashes: number;
  deliveries: number;
  claims: number;
  acks: number;
  fenced: number;
  retries: number;
  deadLetters: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only subscriptions --histories 1 --seed';
const LIVES = 5;
const STEPS = 40;
const PATHS = ['events/a', 'events/b', 'events/c/d', 'manual', 'wake/other'];
const WAKE_STREAM = 'wake/pool';
const HOOKS = ['hook-0', 'hook-1', 'hook-2'];
const LEASE_MS = 2_000;
const CATCH_UP_MS = 400_000;
const EXPECTED: ReadonlySet<string> = new Set(['STORAGE_UNAVAILABLE', 'NODE_FAILED', 'CLOSED']);
const SETTINGS = {
  maxWebhookAttempts: 3,
  webhookTimeoutMs: 1_500,
  maxWebhookDeliveries: 2,
  signingKeyPrepublishMs: 20_000,
  signingKeyRetireMs: 20_000,
};

interface Node {
  readonly database: Database;
  readonly streams: StreamEngine;
  readonly engine: SubscriptionEngine;
}

export async function runSubscriptionHistories(
  range: HistoryRange,
): Promise<SubscriptionHistoryTotals> {
  const totals: SubscriptionHistoryTotals = {
    histories: 0,
    crashes: 0,
    deliveries: 0,
    claims: 0,
    acks: 0,
    fenced: 0,
    retries: 0,
    deadLetters: 0,
  };
  await runHistories(range, REPLAY, async (seed) => {
    await new History(seed, totals).run();
    totals.histories++;
  });
  return totals;
}

class History {
  readonly #random: SeededRandom;
  readonly #totals: SubscriptionHistoryTotals;
  readonly #witness: SubscriptionWitness;
  #fs: SimFs;
  #clock: SimClock;
  #node: Node | undefined;
  /** Wakes somebody has been given, in all lives: also for those who come too late. */
  readonly #hooked: WakeBody[] = [];
  readonly #claimed: { readonly id: string; readonly wake: Wake }[] = [];
  /** The receiver and the workers do what they should. */
  #well = false;
  #pulls = 0;
  #failure: Error | undefined;
  readonly #encrypted: boolean;

  constructor(seed: number, totals: SubscriptionHistoryTotals) {
    this.#encrypted = seed % 2 === 0;
    this.#random = new SeededRandom(seed);
    this.#clock = new SimClock(this.#random);
    this.#fs = new SimFs(this.#interleaving());
    this.#totals = totals;
    this.#witness = new SubscriptionWitness(totals, SETTINGS.maxWebhookAttempts);
  }

  async run(): Promise<void> {
    for (let life = 0; life < LIVES; life++) {
      const last = life === LIVES - 1;
      const nth = 1 + this.#random.integer(500);
      const performed = this.#random.integer(2) === 0;
      const fault = last
        ? undefined
        : this.#fs.disk.faults.plan({ effect: 'halt', nth, performed });
      await this.#clock.run(this.#live(last));
      fault?.remove();
      if (this.#failure !== undefined) throw this.#failure;
      if (!last) this.#crash();
    }
  }

  #crash(): void {
    this.#totals.crashes++;
    this.#node = undefined;
    this.#clock = this.#clock.nextIncarnation();
    const next = this.#interleaving();
    this.#fs =
      this.#random.integer(4) === 0 ? this.#fs.kill(next) : this.#fs.powerCut(this.#random, next);
    if (this.#random.integer(4) === 0) this.#clock.jumpWallClock(1_000);
  }

  /** In half of the lives calls of the disk take turns with everything else. */
  #interleaving(): { readonly yieldPoint?: () => Promise<void> } {
    const clock = this.#clock;
    return this.#random.integer(2) === 0 ? {} : { yieldPoint: () => clock.yieldPoint() };
  }

  async #live(last: boolean): Promise<void> {
    try {
      const node = await this.#open();
      this.#witness.opened(node.engine, node.streams, this.#clock.now());
      if (node.engine.list({ limit: 1 }).length === 0) await this.#begin(node);
      for (let i = 0; i < STEPS; i++) {
        await this.#step(node);
        if (this.#failure !== undefined) return;
        this.#witness.look(node.engine, node.streams, this.#clock.now());
      }
      if (last) await this.#catchUp(node);
      if (last || this.#random.integer(3) === 0) await this.#close(node);
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  async #open(): Promise<Node> {
    const components = { clock: this.#clock, random: this.#random, logger: SILENT };
    const streams = createStreamEngine(components);
    const engine = createSubscriptionEngine(
      {
        ...components,
        streams,
        sender: { assertUrl: () => undefined, send: (request) => this.#receive(request) },
        endpoints: { callbackUrl: (id) => `https://node.example/${id}` },
      },
      SETTINGS,
    );
    const engines = this.#random.integer(2) === 0 ? [streams, engine] : [engine, streams];
    const database = await openDatabase(
      { ...components, fileSystem: this.#fs, ...this.#keys() },
      { ...DATABASE_SETTINGS, checkpointLogBytes: 32 * 1024 },
      engines,
    );
    const node = { database, streams, engine };
    this.#node = node;
    return node;
  }

  /** Every second history is encrypted. */
  #keys(): { keys?: KeyRing } {
    if (!this.#encrypted) return {};
    return { keys: new KeyRing([createSecretKey(Buffer.alloc(32, 1))], this.#random) };
  }

  async #close(node: Node): Promise<void> {
    node.engine.drain();
    node.streams.close();
    await node.database.close();
  }

  async #step(node: Node): Promise<void> {
    const dice = this.#random.integer(24);
    if (dice < 8) await this.#append(node);
    else if (dice < 9) await this.#createStream(node);
    else if (dice < 10) await this.#deleteStream(node);
    else if (dice < 12) await this.#put(node);
    else if (dice < 13) await this.#change(node);
    else if (dice < 17) await this.#work(node);
    else if (dice < 19) await this.#tooLate(node);
    else if (dice < 20) await node.database.checkpoint();
    else if (dice === 20 && this.#random.integer(4) === 0) await node.engine.rotateSigningKey();
    else await this.#pause(this.#pick([1, 50, 600, 2_500, 9_000]));
  }

  async #begin(node: Node): Promise<void> {
    for (let i = 0; i < 4; i++) await this.#createStream(node);
    for (let i = 0; i < 3; i++) await this.#put(node);
  }

  async #append({ streams }: Node): Promise<void> {
    const path = this.#pick(PATHS);
    const messages = () =>
      splitJson(Buffer.from(JSON.stringify('x'.repeat(this.#random.integer(400)))));
    await allowed(streams.append({ path, messages, close: false }), 'STREAM_NOT_FOUND');
  }

  async #createStream({ streams }: Node): Promise<void> {
    const path = this.#random.integer(3) === 0 ? WAKE_STREAM : this.#pick(PATHS);
    await streams.create({ path, contentType: 'application/json', closed: false });
  }

  async #deleteStream({ streams }: Node): Promise<void> {
    const path = this.#random.integer(6) === 0 ? WAKE_STREAM : this.#pick(PATHS);
    await allowed(streams.delete(path), 'STREAM_NOT_FOUND');
  }

  async #put(node: Node): Promise<void> {
    const isHook = this.#random.integer(2) === 0;
    if (!isHook && this.#random.integer(2) === 0 && this.#pulls < 4) this.#pulls++;
    if (!isHook && this.#pulls === 0) return;
    const id = isHook ? this.#pick(HOOKS) : `pull-${this.#random.integer(this.#pulls)}`;
    const config = configOf(id, isHook);
    const creating =
      this.#random.integer(3) === 0 ? this.#createStream(node) : Promise.resolve(undefined);
    creating.catch(() => undefined); // heard of below, unless the subscription fails first
    this.#witness.putting(id, node.engine, node.streams);
    const put = await allowed(node.engine.put(id, config), 'WAKE_STREAM_NOT_FOUND');
    if (put?.created === true) this.#witness.put(id);
    await creating;
  }

  async #change(node: Node): Promise<void> {
    const { engine } = node;
    const [id] = this.#random.shuffle(engine.list({ limit: 100 }).map((info) => info.id));
    if (id === undefined) return;
    const path = this.#pick(PATHS);
    const dice = this.#random.integer(5);
    if (dice < 2) await this.#link(node, id, path);
    else if (dice < 4) await allowed(engine.unlink(id, path), 'SUBSCRIPTION_NOT_FOUND');
    else if (id.startsWith('hook')) {
      this.#witness.deleting(id);
      await allowed(engine.delete(id), 'SUBSCRIPTION_NOT_FOUND');
      this.#witness.deleted(id);
    }
  }

  async #link({ engine, streams }: Node, id: string, path: string): Promise<void> {
    const isLinked = engine.get(id).links.some((link) => link.path === path);
    if (isLinked) {
      await engine.link(id, [path]);
      return;
    }
    this.#witness.linked(id, path, streams);
    await engine.link(id, [path]);
    this.#witness.linked(id, path, streams);
  }

  /** A worker claims, and does something with it, or nothing more. */
  async #work(node: Node): Promise<void> {
    const { engine, streams } = node;
    const pulls = engine.list({ limit: 100 }).filter(({ config }) => config.type === 'pull-wake');
    if (pulls.length === 0) return;
    const { id } = this.#pick(pulls);
    const wake = await allowed(engine.claim(id, 'worker'), 'ALREADY_CLAIMED', 'NO_PENDING_WORK');
    if (wake === undefined) return;
    this.#totals.claims++;
    this.#witness.handed(id, wake.generation, wake.wakeId, wake.streams, streams);
    this.#claimed.push({ id, wake });
    if (!this.#well && this.#random.integer(3) === 0) return;
    if (this.#random.integer(3) === 0) await this.#pause(this.#random.integer(LEASE_MS * 1.2));
    await this.#ackClaim(node, id, wake, this.#well || this.#random.integer(3) > 0);
  }

  async #ackClaim({ engine }: Node, id: string, wake: Wake, finished: boolean): Promise<void> {
    const { token, wakeId, generation } = wake;
    if (!this.#well && this.#random.integer(6) === 0) {
      await this.#called(id, engine.release({ id, token, wakeId, generation }));
      return;
    }
    const streams = this.#well
      ? wake.streams
      : wake.streams.filter(() => this.#random.integer(3) > 0);
    const acks = streams.map(({ path, tail }) => ({ path, offset: tail }));
    this.#witness.answered(id);
    const request = { id, type: 'pull-wake' as const, token, wakeId, generation, acks };
    await this.#called(id, engine.ack({ ...request, done: finished }));
  }

  /** Somebody who was given a wake long ago: refused, unless it is still the one. */
  async #tooLate({ engine, streams }: Node): Promise<void> {
    const offsetOf = (path: string) => {
      try {
        return [{ path, offset: streams.stat(path).tail }];
      } catch {
        return [];
      }
    };
    if (this.#random.integer(2) === 0 && this.#hooked.length > 0) {
      const body = this.#pick(this.#hooked);
      const id = body.subscription_id;
      if (this.#witness.isCurrent(id, body.wake_id)) return;
      const acks = body.streams.flatMap(({ path }) => offsetOf(path));
      const request = { id, type: 'webhook' as const, wakeId: body.wake_id, acks, done: true };
      const { callback_token: token, generation } = body;
      await this.#refused(engine.ack({ ...request, token, generation }));
    } else if (this.#claimed.length > 0) {
      const { id, wake } = this.#pick(this.#claimed);
      if (this.#witness.isCurrent(id, wake.wakeId)) return;
      const acks = wake.streams.flatMap(({ path }) => offsetOf(path));
      await this.#refused(engine.ack({ id, type: 'pull-wake', ...wake, acks, done: true }));
    }
  }

  async #refused(call: Promise<unknown>): Promise<void> {
    const codes = ['FENCED', 'TOKEN_INVALID', 'SUBSCRIPTION_NOT_FOUND'];
    if ((await allowed(call, ...codes)) !== undefined) throw new Error('a stale wake was accepted');
    this.#totals.fenced++;
  }

  /** A call of somebody who may be right, or too late. */
  async #called(id: string, call: Promise<unknown>): Promise<void> {
    const codes = this.#witness.wasDeleted(id) ? ['TOKEN_INVALID', 'SUBSCRIPTION_NOT_FOUND'] : [];
    try {
      await call;
      this.#totals.acks++;
    } catch (error) {
      const code = isHoldfastError(error) ? error.code : '';
      // An explicit link was taken away, or a stream grew shorter by being another one.
      const isRace = ['FENCED', 'INVALID_SUBSCRIPTION', 'INVALID_OFFSET', ...codes].includes(code);
      if (!isRace) throw error;
    } finally {
      this.#witness.answered(id);
    }
  }

  /** The receiver: not of this world, so no crash ends it. */
  async #receive(request: WebhookRequest): Promise<WebhookAnswer> {
    const clock = this.#clock;
    const node = this.#node;
    const body = JSON.parse(request.body.toString()) as WakeBody;
    if (node === undefined) throw new Error('the node is not there');
    try {
      this.#totals.deliveries++;
      this.#witness.delivered(body, request, node.engine, node.streams, clock.now());
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#hooked.push(body);
    if (this.#well) return this.#answerDone(body);
    const dice = this.#random.integer(10);
    if (dice < 3) return this.#answerDone(body);
    if (dice < 5) return answer(this.#pick([500, 302, 404, 429]));
    if (dice < 6) return this.#silence(request);
    const callsBack = dice < 9;
    if (callsBack) this.#callBackLater(body);
    if (this.#random.integer(3) === 0) await this.#pause(this.#random.integer(1_000));
    return answer(202);
  }

  #answerDone(body: WakeBody): WebhookAnswer {
    this.#witness.answered(body.subscription_id);
    return done();
  }

  #silence({ signal, timeoutMs }: WebhookRequest): Promise<WebhookAnswer> {
    return new Promise((_resolve, reject) => {
      const fail = (): void => reject(new Error('no answer'));
      this.#clock.after(timeoutMs, fail);
      signal.addEventListener('abort', fail);
    });
  }

  #callBackLater(body: WakeBody): void {
    const delayMs = this.#random.integer(LEASE_MS * 2);
    const finished = this.#random.integer(3) > 0;
    const acks = acksOf(body).filter(() => this.#random.integer(4) > 0);
    this.#clock.after(delayMs, () => {
      const node = this.#node;
      if (node === undefined) return;
      const { subscription_id: id, wake_id: wakeId, generation, callback_token: token } = body;
      this.#witness.answered(id);
      const request = { id, type: 'webhook' as const, token, wakeId, generation, acks };
      this.#called(id, node.engine.ack({ ...request, done: finished })).catch((error: unknown) => {
        if (!isExpected(error)) this.#failure ??= error as Error;
      });
    });
  }

  /** Everything answers well from here on: every subscription reaches every tail. */
  async #catchUp(node: Node): Promise<void> {
    this.#well = true;
    await node.streams.create({
      path: WAKE_STREAM,
      contentType: 'application/json',
      closed: false,
    });
    // What is given up by now has its dead letter: new work has to wake it again.
    await this.#pause(10_000);
    for (const path of PATHS) {
      await node.streams.create({ path, contentType: 'application/json', closed: false });
      const messages = () => splitJson(Buffer.from('"last"'));
      await node.streams.append({ path, messages, close: false });
    }
    for (let waited = 0; waited < CATCH_UP_MS; waited += 10_000) {
      await this.#pause(10_000);
      for (const { config } of node.engine.list({ limit: 100 })) {
        if (config.type === 'pull-wake') await this.#work(node);
      }
      if (this.#failure !== undefined) return;
      this.#witness.look(node.engine, node.streams, this.#clock.now());
      if (this.#witness.isCaughtUp(node.engine, node.streams)) break;
    }
    await this.#witness.ended(node.engine, node.streams);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.integer(from.length)] as T;
  }
}

function configOf(id: string, isHook: boolean): SubscriptionConfig {
  const leaseTtlMs = LEASE_MS;
  if (!isHook) {
    const pattern = id === 'pull-0' ? '**' : 'events/**';
    return { type: 'pull-wake', pattern, streams: [], wakeStream: WAKE_STREAM, leaseTtlMs };
  }
  const webhookUrl = `https://${id}.example/`;
  const base = { type: 'webhook' as const, webhookUrl, leaseTtlMs };
  if (id === 'hook-2') return { ...base, streams: ['events/a', 'manual'] };
  return { ...base, pattern: id === 'hook-0' ? 'events/*' : '**', streams: [] };
}

function acksOf({
  streams,
}: WakeBody): { path: string; offset: ReturnType<typeof parsePosition> }[] {
  return streams.map(({ path, tail_offset: tail }) => ({ path, offset: parsePosition(tail) }));
}

/** `undefined` when it was refused with one of the codes. */
async function allowed<T>(call: Promise<T>, ...codes: readonly string[]): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isHoldfastError(error) && codes.includes(error.code)) return undefined;
    throw error;
  }
}

function isExpected(error: unknown): boolean {
  if (isSimDead(error)) return true;
  if (isHoldfastError(error)) return EXPECTED.has(error.code);
  return systemErrorCode(error) !== undefined;
}
