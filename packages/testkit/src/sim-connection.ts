/**
 * The two ends of one request on a simulated network: `Call` is what the client has in hand, a
 * `Copy` is one connection over which the request travels, is served and answered. A request that
 * the network repeats has two copies. Invariants: `sim-network.ts`.
 */
import { crc32c } from '@holdfast/core';
import { SimExchange, type SimHead, type SimWire } from './sim-exchange.ts';
import {
  EVENTS,
  type SentRequest,
  type SentRequestEvents,
  SimNetworkError,
  type SimNetworkErrorKind,
  type SimRequest,
  type SimRoute,
} from './sim-request.ts';

/** The client's side. */
export class Call implements SentRequest {
  readonly client: string;
  readonly request: SimRequest;
  readonly head: Promise<SimHead>;
  readonly #events: SentRequestEvents;
  /** Those that are not settled. */
  readonly #copies = new Set<Copy>();
  readonly #everyCopy: Copy[] = [];
  /** The copy whose answer it is. */
  #answering: Copy | undefined;
  #resolveHead: (head: SimHead) => void = () => undefined;
  #rejectHead: (error: SimNetworkError) => void = () => undefined;
  readonly #unread: { bytes: Buffer; taken: () => void }[] = [];
  #ending: 'end' | SimNetworkError | undefined;
  #waiting: ((ready: void) => void) | undefined;

  constructor(client: string, request: SimRequest, events: SentRequestEvents) {
    this.client = client;
    this.request = request;
    this.#events = events;
    this.head = new Promise((resolve, reject) => {
      this.#resolveHead = resolve;
      this.#rejectHead = reject;
    });
    this.head.catch(() => undefined);
  }

  add(copy: Copy): void {
    this.#copies.add(copy);
    this.#everyCopy.push(copy);
  }

  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const next = this.#unread.shift();
      if (next !== undefined) {
        next.taken();
        return next.bytes;
      }
      if (this.#ending === 'end') return undefined;
      if (this.#ending !== undefined) throw this.#ending;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }

  abort(): void {
    this.fail(undefined, 'aborted');
    for (const copy of this.#everyCopy) copy.clientGone();
  }

  // -- what arrives ------------------------------------------------------------------------

  /** False when it is the answer to the other copy. */
  answer(copy: Copy, head: SimHead): boolean {
    if (this.#ending !== undefined) return false;
    this.#answering ??= copy;
    if (this.#answering !== copy) return false;
    this.#resolveHead(head);
    return true;
  }

  chunk(copy: Copy, bytes: Buffer, taken: () => void): void {
    if (this.#answering !== copy || this.#ending !== undefined) {
      taken();
      return;
    }
    this.#unread.push({ bytes, taken });
    this.#wake();
  }

  end(copy: Copy): void {
    if (this.#answering !== copy || this.#ending !== undefined) return;
    this.#ending = 'end';
    this.#wake();
  }

  /** @param copy the one whose connection broke; a client does not know of two. */
  fail(copy: Copy | undefined, kind: SimNetworkErrorKind): void {
    if (this.#ending !== undefined) return;
    if (copy !== undefined && this.#answering !== undefined && this.#answering !== copy) return;
    this.#answering ??= copy;
    // Invariant 4: the other copy may have got through.
    const unsure = kind === 'refused' && this.#everyCopy.length > 1;
    this.#ending = new SimNetworkError(unsure ? 'reset' : kind);
    this.#rejectHead(this.#ending);
    this.#wake();
  }

  /** Invariant 3 of the network. */
  settled(copy: Copy): void {
    if (this.#copies.delete(copy) && this.#copies.size === 0) this.#events.settled?.();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }
}

/** One direction of a connection: nothing overtakes what was sent before it. */
class Lane {
  readonly #network: SimRoute;
  readonly #client: string;
  #arrivesAtMs = 0;

  constructor(network: SimRoute, client: string) {
    this.#network = network;
    this.#client = client;
  }

  send(arrive: () => void): void {
    const { clock } = this.#network;
    const now = clock.monotonicMs();
    this.#arrivesAtMs = Math.max(this.#arrivesAtMs, now + this.#network.delayMs(this.#client));
    clock.after(this.#arrivesAtMs - now, arrive);
  }
}

/**
 * One copy of a request, and the connection it takes. Two things end, in either order: the
 * connection, and the chance that the request changes anything ("settled").
 */
export class Copy implements SimWire {
  readonly #network: SimRoute;
  readonly #call: Call;
  readonly #exchange: SimExchange;
  readonly #number: number;
  readonly #there: Lane;
  readonly #back: Lane;
  readonly #loseResponse: boolean;
  /** Bytes of the body after which the answer is cut. */
  #cutAfterBytes: number;
  #unackedBytes = 0;
  #parked: (() => void) | undefined;
  #settled = false;
  /** The server will neither send nor hear anything any more. */
  #closed = false;

  /** @param number of the call, for the trace */
  constructor(network: SimRoute, call: Call, number: number) {
    this.#network = network;
    this.#call = call;
    this.#number = number;
    this.#there = new Lane(network, call.client);
    this.#back = new Lane(network, call.client);
    const { faults, random } = network;
    const { method, target, headers = {}, body } = call.request;
    const all: Record<string, string> = { host: 'sim', ...headers };
    if (body !== undefined) all['content-length'] = String(body.length);
    const remoteAddress = call.client;
    this.#exchange = new SimExchange({ method, target, headers: all, remoteAddress }, this);
    const lost = random.chance(network.isPartitioned(call.client) ? 0.5 : faults.requestLost);
    this.#loseResponse = random.chance(faults.responseLost);
    this.#cutAfterBytes = random.chance(faults.responseCut) ? random.integer(64) : Infinity;
    const cutRequest = body !== undefined && random.chance(faults.requestCut);
    this.#there.send(() => {
      if (lost) this.#settle();
      else this.#arrive(cutRequest);
    });
  }

  // -- the way there -----------------------------------------------------------------------

  #arrive(cutRequest: boolean): void {
    const { handler } = this.#network;
    if (handler === undefined) {
      this.#note(EVENTS.refuse);
      this.#closed = true;
      this.#settle();
      this.#back.send(() => this.#call.fail(this, 'refused')); // invariant 4
      return;
    }
    this.#note(EVENTS.deliver);
    this.#network.serving.add(this);
    this.#exchange.handle(handler);
    const { body = Buffer.alloc(0) } = this.#call.request;
    const split = body.length > 1 ? this.#network.random.integer(body.length) : 0;
    if (cutRequest) {
      if (split > 0) this.#exchange.bodyChunk(body.subarray(0, split));
      this.#breakBoth();
    } else if (split > 0 && this.#network.random.chance(0.2)) {
      this.#exchange.bodyChunk(body.subarray(0, split));
      this.#there.send(() => this.#finishBody(body.subarray(split)));
    } else {
      this.#finishBody(body);
    }
  }

  #finishBody(rest: Buffer): void {
    if (this.#closed) return;
    if (rest.length > 0) this.#exchange.bodyChunk(rest);
    this.#exchange.bodyEnd();
  }

  // -- the way back (SimWire) --------------------------------------------------------------

  answered(status: number): void {
    // A 5xx leaves open what happens: it may still come to light with the next start.
    if (status < 500) this.#settle();
  }

  head(head: SimHead): void {
    if (this.#loseResponse || this.#closed) return;
    const text = Object.entries(head.headers).flat().join();
    this.#note(EVENTS.head, `${head.status} ${text}`);
    this.#back.send(() => this.#call.answer(this, head));
  }

  chunk(bytes: Buffer, taken: () => void): void {
    if (this.#loseResponse || this.#closed) {
      taken();
      return;
    }
    const { random, windowBytes } = this.#network;
    const kept = bytes.subarray(0, Math.min(bytes.length, this.#cutAfterBytes));
    this.#cutAfterBytes -= kept.length;
    const split = kept.length > 1 && random.chance(0.3) ? random.integer(kept.length) : 0;
    for (const piece of [kept.subarray(0, split), kept.subarray(split)]) {
      if (piece.length > 0) this.#sendPiece(piece);
    }
    if (kept.length < bytes.length) this.#breakBoth();
    if (this.#unackedBytes < windowBytes) taken();
    else this.#parked = taken;
  }

  end(): void {
    if (this.#cutAfterBytes < Infinity) {
      this.cut();
      return;
    }
    if (!this.#loseResponse && !this.#closed) {
      this.#note(EVENTS.end);
      this.#back.send(() => this.#call.end(this));
    }
    this.#close();
  }

  cut(): void {
    if (!this.#closed) {
      this.#note(EVENTS.cut);
      this.#back.send(() => this.#call.fail(this, 'reset'));
    }
    this.#close();
  }

  #sendPiece(bytes: Buffer): void {
    this.#note(EVENTS.chunk, String(crc32c(bytes)));
    this.#unackedBytes += bytes.length;
    this.#back.send(() =>
      this.#call.chunk(this, bytes, () => {
        this.#unackedBytes -= bytes.length;
        this.#there.send(() => this.#unpark());
      }),
    );
  }

  #unpark(): void {
    const parked = this.#parked;
    if (this.#unackedBytes >= this.#network.windowBytes) return;
    this.#parked = undefined;
    if (!this.#closed) parked?.();
  }

  // -- ends --------------------------------------------------------------------------------

  serverDied(): void {
    const wasClosed = this.#closed;
    this.#closed = true;
    this.#exchange.die();
    this.#settle();
    // Without power nobody is there to say so, and the client has to find out by itself.
    if (wasClosed || this.#network.random.chance(0.3)) return;
    this.#back.send(() => this.#call.fail(this, 'reset'));
  }

  clientGone(): void {
    this.#there.send(() => this.#disconnect());
  }

  /** The connection breaks in the middle. */
  #breakBoth(): void {
    this.#back.send(() => this.#call.fail(this, 'reset'));
    this.#there.send(() => this.#disconnect());
  }

  #disconnect(): void {
    if (!this.#closed) this.#exchange.disconnect(); // and that cuts
  }

  #close(): void {
    this.#closed = true;
    this.#forget();
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#call.settled(this);
    this.#forget();
  }

  #forget(): void {
    if (this.#closed && this.#settled) this.#network.serving.delete(this);
  }

  #note(event: number, text?: string): void {
    this.#network.note(event, this.#number, text);
  }
}
