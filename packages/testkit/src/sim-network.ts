/**
 * A network between clients and one server, in virtual time: requests and answers take a while,
 * get lost, are cut, come twice, pass one another, or wait behind a partition. The server is a
 * handler for `node:http`; nothing is opened.
 *
 * Owner: the test, which also says when the server dies. One `SimNetwork` outlives the
 * incarnations of the server.
 *
 * Invariants
 * 1. Time is the clock's and chance the seed's: the same seed gives the same `traceHash`.
 * 2. What one side sends on one connection arrives in order, or not at all from some point on.
 * 3. `settled` is called once per call: from then on nothing of it can change the server's state.
 * 4. A request that was refused was never seen by the server.
 */
import type { Clock } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';
import { Call, Copy } from './sim-connection.ts';
import type { SimHandler } from './sim-exchange.ts';
import {
  EVENTS,
  NO_NETWORK_FAULTS,
  type SentRequest,
  type SentRequestEvents,
  type SimNetworkFaults,
  type SimRequest,
  type SimRoute,
} from './sim-request.ts';
import { TraceHash } from './trace-hash.ts';

export interface SimNetworkOptions {
  readonly faults?: SimNetworkFaults;
  readonly latencyMs?: number;
  readonly slowMs?: number;
  /** Bytes of an answer on the way or unread, before the server has to wait. */
  readonly windowBytes?: number;
}

export class SimNetwork implements SimRoute {
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly windowBytes: number;
  faults: SimNetworkFaults;
  readonly #latencyMs: number;
  readonly #slowMs: number;
  readonly #trace = new TraceHash();
  readonly #healsAtMs = new Map<string, number>();
  #handler: SimHandler | undefined;
  /** Copies that reached the present incarnation, until their connection ended and they settled. */
  #serving = new Set<{ serverDied(): void }>();
  #calls = 0;

  constructor(clock: Clock, random: SeededRandom, options: SimNetworkOptions = {}) {
    this.clock = clock;
    this.random = random;
    this.faults = options.faults ?? NO_NETWORK_FAULTS;
    this.#latencyMs = options.latencyMs ?? 4;
    this.#slowMs = options.slowMs ?? 400;
    this.windowBytes = options.windowBytes ?? 16 * 1024;
  }

  /** The server listens. */
  listen(handler: SimHandler): void {
    this.#handler = handler;
  }

  /** The server is no more: whatever it was doing ends here, and what comes is refused. */
  crash(): void {
    this.note(EVENTS.crash, 0);
    this.#handler = undefined;
    const serving = this.#serving;
    this.#serving = new Set();
    for (const copy of serving) copy.serverDied();
  }

  /** Nothing passes between this client and the server for a while. */
  partition(client: string, durationMs: number): void {
    this.#healsAtMs.set(client, this.clock.monotonicMs() + durationMs);
  }

  send(client: string, request: SimRequest, events: SentRequestEvents = {}): SentRequest {
    const call = new Call(client, request, events);
    this.note(EVENTS.send, ++this.#calls, `${client} ${request.method} ${request.target}`);
    const { faults, random } = this;
    const twice = request.repeatable === true && random.chance(faults.repeated);
    call.add(new Copy(this, call, this.#calls));
    if (twice) {
      events.repeated?.();
      call.add(new Copy(this, call, this.#calls));
    }
    return call;
  }

  /** Requests sent so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Equal for two runs in which the same was sent, answered and lost at the same times. */
  traceHash(): string {
    return this.#trace.digest();
  }

  // -- used by calls and their copies ------------------------------------------------------

  get handler(): SimHandler | undefined {
    return this.#handler;
  }

  get serving(): Set<{ serverDied(): void }> {
    return this.#serving;
  }

  note(event: number, subject: number, text?: string): void {
    this.#trace.add(event);
    this.#trace.add(subject);
    this.#trace.add(Math.floor(this.clock.monotonicMs() * 1000));
    if (text !== undefined) this.#trace.addText(text);
  }

  /** How long something takes that is sent now. In eighths of a millisecond. */
  delayMs(client: string): number {
    const { random } = this;
    const longest = random.chance(this.faults.slow) ? this.#slowMs : this.#latencyMs;
    const delay = (1 + random.integer(longest * 8)) / 8;
    return delay + Math.max(0, this.#partitionedMs(client));
  }

  isPartitioned(client: string): boolean {
    return this.#partitionedMs(client) > 0;
  }

  #partitionedMs(client: string): number {
    return (this.#healsAtMs.get(client) ?? 0) - this.clock.monotonicMs();
  }
}
