/**
 * One watch over a connection: the changes of a store as server-sent events.
 *
 * The first event is `ready`, with the number the watch begins behind; then a `change` for each;
 * the last one, if the client is still there, is `trimmed` (it was too slow, or is to look again) or
 * `end` (come back). Every event has the number to resume behind as its id, in the same write.
 *
 * Invariants
 * 1. Changes are sent in their order, each once, and none is left out between two that are sent.
 * 2. The next change is asked for only when the client has taken the last: what a slow one costs is
 *    one event, and its place in the store's list. One that takes nothing is cut by `untilDrained`.
 * 3. It counts as a live reader from before its first look until its connection has closed.
 */
import { asHoldfastError, type HeldResponse, untilDrained } from '@holdfast/streams';
import { HoldfastError, LIMITS, type Clock } from '@holdfast/core';
import type { KvChange, KvStore } from '@holdfast/kv';
import { eventFrame, heartbeatFrame, type FrameScope } from './change-frames.ts';
import type { KvExchange } from './kv-exchange.ts';
import type { KvWatches } from './kv-watches.ts';

export interface WatchRequest extends FrameScope {
  /** Behind this change; `undefined`: from now on. */
  readonly since: number | undefined;
  readonly prefix: string;
}

type NextChange = Promise<IteratorResult<KvChange, unknown>>;

export class KvWatch {
  readonly #exchange: KvExchange;
  readonly #watches: KvWatches;
  readonly #asked: WatchRequest;
  readonly #gone = new AbortController();
  #held: HeldResponse | undefined;
  /** Up to here the client knows everything, or did not ask for it. */
  #position = 0;
  #live = false;

  constructor(exchange: KvExchange, watches: KvWatches, asked: WatchRequest) {
    this.#exchange = exchange;
    this.#watches = watches;
    this.#asked = asked;
  }

  /** Throws what `LiveReaders` throws. */
  start(): void {
    const { context, request, response, store } = this.#exchange;
    context.live.enter(request); // I3
    this.#watches.add(this);
    response.once('close', () => {
      this.#gone.abort();
      this.#watches.remove(this);
      context.live.leave(request);
    });
    this.#run(store).catch((error: unknown) => this.#end(error));
  }

  /** Says where it stands and ends the connection. */
  drain(): void {
    this.#end(new HoldfastError('DRAINING', 'the node is shutting down'));
  }

  beat(): void {
    const { response } = this.#exchange;
    if (!this.#live || response.writableLength > 0) return;
    this.#send(heartbeatFrame(this.#position));
  }

  async #run(store: KvStore): Promise<void> {
    const { signal } = this.#gone;
    const last = await store.lastChange({ signal });
    const since = this.#asked.since ?? last;
    if (since > last) throw notYet(since, last);
    // Of the whole store: so it is known how far it is also where nothing matches.
    const changes = store.watch({ since, signal })[Symbol.asyncIterator]();
    try {
      let next: NextChange = changes.next();
      await settledSoon(next, this.#exchange.context.clock); // what is wrong has a status
      if (!this.#begin(since)) return;
      for (let sent = 1; ; sent++) {
        const { done, value } = await next;
        if (done === true || signal.aborted) break;
        next = changes.next();
        next.catch(() => undefined); // heard where it is waited for
        if (!(await this.#take(value))) return;
        if (sent % LIMITS.changesPerTurn === 0) await turn(this.#exchange.context.clock);
      }
    } finally {
      void changes.return?.().catch(() => undefined);
    }
  }

  #begin(since: number): boolean {
    const { response } = this.#exchange;
    if (response.destroyed || response.writableEnded) return false;
    response.writeHead(
      200,
      this.#exchange.complete(['Content-Type', 'text/event-stream', 'X-Accel-Buffering', 'no']),
    );
    this.#position = since;
    this.#live = true;
    this.#send(eventFrame('ready', since, { since }));
    return true;
  }

  /** False when the connection is over. */
  async #take(change: KvChange): Promise<boolean> {
    const { context, response } = this.#exchange;
    if (response.writableEnded) return false;
    this.#position = change.seq;
    if (change.key.startsWith(this.#asked.prefix)) {
      this.#send(this.#watches.frames.frameOf(change, this.#asked));
    }
    if (!response.writableNeedDrain) return !response.destroyed;
    if (!(await untilDrained(response, context.clock, context.settings))) return false; // I2
    this.#held?.settle();
    return !response.writableEnded;
  }

  #send(frame: Buffer): void {
    const { context, response } = this.#exchange;
    response.write(frame);
    if (response.writableLength === 0) return;
    this.#held ??= context.memory.open(response);
    this.#held.add([frame]);
  }

  #end(thrown: unknown): void {
    const { response } = this.#exchange;
    this.#gone.abort();
    if (response.destroyed || response.writableEnded) return;
    if (!this.#live) {
      this.#exchange.fail(thrown);
      return;
    }
    const { code, kind } = asHoldfastError(thrown);
    const trimmed = code === 'CHANGES_TRIMMED';
    if (kind === 'internal' || kind === 'corrupt') {
      this.#exchange.fail(thrown); // cuts it: an answer has begun
      return;
    }
    this.#live = false;
    response.end(eventFrame(trimmed ? 'trimmed' : 'end', this.#position, { code }));
  }
}

/** A reader of a database that was set back to before it. */
function notYet(since: number, last: number): HoldfastError {
  return new HoldfastError(
    'CHANGES_TRIMMED',
    `this change has not happened here: look at what is there, then watch since=${since} last=${last}`,
  );
}

/** Rejects with what `next` rejects with at once; a change that has not come is waited for later. */
async function settledSoon(next: NextChange, clock: Clock): Promise<void> {
  await Promise.race([next, turn(clock)]);
}

function turn(clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.after(0, () => resolve()));
}
