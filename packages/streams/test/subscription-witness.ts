/**
 * What receivers and workers saw of subscriptions over all lives of a node, and what must follow
 * from it. Throws at the first promise that is broken.
 */
import { createPublicKey, verify } from 'node:crypto';
import { comparePositions, parsePosition, type Position, START } from '../src/position.ts';
import type { StreamEngine } from '../src/stream-engine.ts';
import type { StreamInfo } from '../src/stream-store.ts';
import { DEAD_LETTERS_PATH } from '../src/subscriptions/dead-letters.ts';
import { PathPattern } from '../src/subscriptions/path-pattern.ts';
import type { SubscriptionEngine } from '../src/subscriptions/subscription-engine.ts';
import type { SubscriptionInfo, WakeStream } from '../src/subscriptions/subscription-store.ts';
import type { WebhookRequest } from '../src/subscriptions/webhook-sender.ts';
import { textOf } from './engine-fixture.ts';
import type { WakeBody } from './subscription-fixture.ts';

/** Of one subscription and one stream. */
interface Seen {
  /** Where the cursor was: it never falls below. */
  cursor: Position;
  /** The furthest it may be: what was handed out, or where it was linked. */
  most: Position;
}

interface Known {
  readonly seen: Map<string, Seen>;
  generation: number;
  wakeId: string;
  /** A retry that must not come before this moment. */
  retry: { readonly atMs: number; readonly generation: number } | undefined;
  /** Highest stream id and tails when it was created; absent while that is not known. */
  created: ReadonlyMap<number, Position> | undefined;
  deleting: boolean;
}

interface Counts {
  retries: number;
  deadLetters: number;
}

export class SubscriptionWitness {
  readonly #counts: Counts;
  readonly #maxAttempts: number;
  readonly #known = new Map<string, Known>();
  readonly #deleted = new Set<string>();
  #putting: { readonly id: string; readonly tails: ReadonlyMap<string, StreamInfo> } | undefined;
  #engine: SubscriptionEngine | undefined;
  #streams: StreamEngine | undefined;

  /** @param maxAttempts after which deliveries are given up. */
  constructor(counts: Counts, maxAttempts: number) {
    this.#counts = counts;
    this.#maxAttempts = maxAttempts;
  }

  /** A new life: what was on its way at the end of the last may have happened. */
  opened(engine: SubscriptionEngine, streams: StreamEngine, nowMs: number): void {
    this.#engine = engine;
    this.#streams = streams;
    for (const [id, known] of this.#known) {
      if (!known.deleting) continue;
      // Not deleted after all: it is the one it was, and the wake it gave still counts.
      if (allOf(engine).some((info) => info.id === id)) known.deleting = false;
      else this.deleted(id);
    }
    if (this.#putting !== undefined) this.put(this.#putting.id, false);
    this.look(engine, streams, nowMs);
  }

  putting(id: string, engine: SubscriptionEngine, streams: StreamEngine): void {
    const known = this.#known.get(id);
    if (known !== undefined) known.retry = undefined; // a parked one is woken by it
    if (engine.list({ limit: 100 }).some((info) => info.id === id)) return;
    this.#known.delete(id);
    const all = streams.list({ limit: 100 });
    this.#putting = { id, tails: new Map(all.map((info) => [info.path, info])) };
  }

  /** @param certain it was acknowledged: then no history is replayed. */
  put(id: string, certain = true): void {
    const putting = this.#putting;
    if (putting?.id === id) this.#putting = undefined;
    const streams = this.#streams as StreamEngine;
    const info = allOf(this.#engine).find((one) => one.id === id);
    if (info === undefined) return;
    const tails = streams.list({ limit: 100 }).map((stream) => [stream.id, stream.tail] as const);
    this.#of(id).created = new Map(tails);
    if (!certain) return;
    for (const { path, acked } of info.links) {
      const before = putting?.tails.get(path);
      const isSame = before !== undefined && before.id === idAt(streams, path);
      if (isSame && comparePositions(acked, before.tail) < 0) fail('history is replayed', id, path);
    }
  }

  deleting(id: string): void {
    this.#of(id).deleting = true;
    this.#deleted.add(id);
  }

  deleted(id: string): void {
    this.#known.delete(id);
  }

  wasDeleted(id: string): boolean {
    return this.#deleted.has(id);
  }

  isCurrent(id: string, wakeId: string): boolean {
    return this.#known.get(id)?.wakeId === wakeId;
  }

  /** Whoever had the wake was answered: a next one may come at once. */
  answered(id: string): void {
    this.#of(id).retry = undefined;
  }

  /** A wake was given to somebody. */
  handed(
    id: string,
    generation: number,
    wakeId: string,
    wake: readonly Pick<WakeStream, 'path' | 'acked' | 'tail'>[],
    streams: StreamEngine,
  ): void {
    const known = this.#of(id);
    if (!known.deleting && generation <= known.generation) {
      fail(`a generation came twice generation=${generation}`, id);
    }
    known.generation = generation;
    known.wakeId = wakeId;
    for (const { path, acked, tail } of wake) {
      if (comparePositions(acked, tail) > 0) fail('a cursor is past its tail', id, path);
      const streamId = idAt(streams, path);
      if (streamId === undefined) continue;
      this.#cursor(id, known, path, streamId, undefined, tail);
    }
  }

  delivered(
    body: WakeBody,
    request: WebhookRequest,
    engine: SubscriptionEngine,
    streams: StreamEngine,
    nowMs: number,
  ): void {
    checkSignature(request, engine);
    const { subscription_id: id, generation, wake_id: wakeId } = body;
    const { retry } = this.#of(id);
    if (retry !== undefined && generation > retry.generation) {
      if (nowMs < retry.atMs) fail(`a retry came early ms=${retry.atMs - nowMs}`, id);
      this.#counts.retries++;
      this.#of(id).retry = undefined;
    }
    const wake = body.streams.map((stream) => ({
      path: stream.path,
      acked: parsePosition(stream.acked_offset),
      tail: parsePosition(stream.tail_offset),
    }));
    if (!body.streams.some(({ has_pending: pending }) => pending)) fail('nothing to wake for', id);
    this.handed(id, generation, wakeId, wake, streams);
  }

  /** Compares what is durable now with what was before. */
  look(engine: SubscriptionEngine, streams: StreamEngine, nowMs: number): void {
    const present = new Set<string>();
    for (const info of allOf(engine)) {
      present.add(info.id);
      const known = this.#of(info.id);
      if (known.deleting || this.#putting?.id === info.id) continue;
      if (info.generation < known.generation) fail('a generation is taken back', info.id);
      const { nextAttemptAtMs: atMs, generation } = info;
      if (info.failedAttempts >= this.#maxAttempts)
        known.retry = undefined; // it is given up
      else if (atMs !== undefined && info.config.type === 'webhook') {
        if (atMs - nowMs > 60_000) fail('a retry is too far away', info.id);
        known.retry = { atMs, generation };
      }
      for (const { path, acked } of info.links) {
        const stream = statAt(streams, path);
        if (stream === undefined) continue;
        if (comparePositions(acked, stream.tail) > 0)
          fail('a cursor is past its tail', info.id, path);
        this.#cursor(info.id, known, path, stream.id, acked, undefined);
      }
    }
    for (const [id, known] of this.#known) {
      if (known.created !== undefined && !known.deleting && !present.has(id)) {
        fail('a subscription is gone', id);
      }
    }
  }

  /** An explicit link is made: a stream that was not linked begins at its tail. */
  linked(id: string, path: string, streams: StreamEngine): void {
    const stream = statAt(streams, path);
    if (stream === undefined) return;
    this.#cursor(id, this.#of(id), path, stream.id, undefined, stream.tail);
  }

  isCaughtUp(engine: SubscriptionEngine, streams: StreamEngine): boolean {
    return this.#behind(engine, streams) === undefined;
  }

  async ended(engine: SubscriptionEngine, streams: StreamEngine): Promise<void> {
    const behind = this.#behind(engine, streams);
    if (behind !== undefined) fail('work is missed', ...behind);
    const wakes = await readJson(streams, 'wake/pool');
    const events = wakes.map(
      (wake) => `${String(wake['subscription_id'])} ${String(wake['generation'])}`,
    );
    if (new Set(events).size !== events.length) fail('a wake event is there twice', events.join());
    const letters = await readJson(streams, DEAD_LETTERS_PATH);
    this.#counts.deadLetters += letters.length;
    const given = letters.map((letter) => String(letter['wake_id']));
    if (new Set(given).size !== given.length) fail('a dead letter is there twice', given.join());
  }

  /** A subscription and a stream it has not processed. */
  #behind(engine: SubscriptionEngine, streams: StreamEngine): string[] | undefined {
    for (const { id, config, links } of allOf(engine)) {
      const pattern = PathPattern.parse(config.pattern ?? 'none');
      for (const { path, tail } of streams.list({ limit: 100 })) {
        const link = links.find((one) => one.path === path);
        const isWanted = path !== config.wakeStream && pattern.matches(path);
        if (link === undefined ? isWanted : comparePositions(link.acked, tail) !== 0) {
          return [id, path];
        }
      }
    }
    return undefined;
  }

  /** @param acked where the cursor is. @param handed how far it may go now. */
  #cursor(
    id: string,
    known: Known,
    path: string,
    streamId: number,
    acked: Position | undefined,
    handed: Position | undefined,
  ): void {
    const key = `${path} ${streamId}`;
    let seen = known.seen.get(key);
    if (seen === undefined) {
      seen = { cursor: START, most: known.created?.get(streamId) ?? START };
      known.seen.set(key, seen);
    }
    if (handed !== undefined && comparePositions(handed, seen.most) > 0) seen.most = handed;
    if (acked === undefined) return;
    if (comparePositions(acked, seen.cursor) < 0) fail('a cursor fell', id, path);
    if (comparePositions(acked, seen.most) > 0)
      fail('a cursor passed what was handed out', id, path);
    seen.cursor = acked;
  }

  #of(id: string): Known {
    let known = this.#known.get(id);
    if (known === undefined) {
      known = {
        seen: new Map(),
        generation: 0,
        wakeId: '',
        retry: undefined,
        created: undefined,
        deleting: false,
      };
      this.#known.set(id, known);
    }
    return known;
  }
}

function checkSignature({ headers, body }: WebhookRequest, engine: SubscriptionEngine): void {
  const [, seconds, kid, signature] =
    /^t=(\d+),kid=([^,]+),ed25519=(.+)$/.exec(headers['Webhook-Signature'] ?? '') ?? [];
  const x = engine.publicKeys().find((key) => key.kid === kid)?.x;
  if (x === undefined || signature === undefined) return fail('a key is not published');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const signed = Buffer.concat([Buffer.from(`${seconds}.`), body]);
  if (!verify(null, signed, key, Buffer.from(signature, 'base64url'))) fail('a bad signature');
}

async function readJson(streams: StreamEngine, path: string): Promise<Record<string, unknown>[]> {
  if (statAt(streams, path) === undefined) return [];
  const text = await textOf(await streams.read({ path, from: 'start', maxBytes: 1e9 }));
  return JSON.parse(`[${text.slice(0, -1)}]`) as Record<string, unknown>[];
}

function statAt(streams: StreamEngine, path: string): StreamInfo | undefined {
  try {
    return streams.stat(path);
  } catch {
    return undefined;
  }
}

function idAt(streams: StreamEngine, path: string): number | undefined {
  return statAt(streams, path)?.id;
}

function fail(what: string, ...where: readonly string[]): never {
  throw new Error(`${what} ${where.join(' ')}`);
}

/** With their links, which the list leaves out. */
function allOf(engine: SubscriptionEngine | undefined): SubscriptionInfo[] {
  return engine?.list({ limit: 100 }).map(({ id }) => engine.get(id)) ?? [];
}
