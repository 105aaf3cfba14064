/** What goes over a simulated network, and what its connections need of it. */
import type { Clock } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';
import type { SimHandler, SimHead } from './sim-exchange.ts';

export interface SimRequest {
  readonly method: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** A proxy may send it twice. */
  readonly repeatable?: boolean;
}

/** Probabilities, each for one request. */
export interface SimNetworkFaults {
  readonly requestLost: number;
  readonly requestCut: number;
  readonly responseLost: number;
  readonly responseCut: number;
  readonly repeated: number;
  /** Takes up to `slowMs` instead of `latencyMs`. */
  readonly slow: number;
}

export const NO_NETWORK_FAULTS: SimNetworkFaults = {
  requestLost: 0,
  requestCut: 0,
  responseLost: 0,
  responseCut: 0,
  repeated: 0,
  slow: 0,
};

export type SimNetworkErrorKind =
  /** Nobody listened: the request had no effect. */
  | 'refused'
  /** The connection broke: nobody knows. */
  | 'reset'
  /** The client itself gave up. */
  | 'aborted';

export class SimNetworkError extends Error {
  override readonly name = 'SimNetworkError';
  readonly kind: SimNetworkErrorKind;

  constructor(kind: SimNetworkErrorKind) {
    super(`the connection was ${kind}`);
    this.kind = kind;
  }
}

/** What a client has in hand of a request it sent. */
export interface SentRequest {
  /** Rejects with `SimNetworkError`; may stay open for ever: clients have time-outs. */
  readonly head: Promise<SimHead>;
  /** The next bytes of the body; `undefined` at its end. Not reading makes the server wait. */
  read(): Promise<Buffer | undefined>;
  /** Gives up; the server hears of it later. */
  abort(): void;
}

export interface SentRequestEvents {
  /** See invariant 3. */
  settled?(): void;
  /** The network sent the request a second time. */
  repeated?(): void;
}

/** The network, as one connection sees it. */
export interface SimRoute {
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly faults: SimNetworkFaults;
  readonly windowBytes: number;
  /** Absent: nobody listens. */
  readonly handler: SimHandler | undefined;
  /** Connections that hear of the server's death. */
  readonly serving: Set<{ serverDied(): void }>;
  /** Into the trace. */
  note(event: number, subject: number, text?: string): void;
  /** How long something takes that this client sends or gets now. */
  delayMs(client: string): number;
  isPartitioned(client: string): boolean;
}

/** What a trace is made of. */
export const EVENTS = {
  send: 1,
  deliver: 2,
  refuse: 3,
  head: 4,
  chunk: 5,
  end: 6,
  cut: 7,
  crash: 8,
};
