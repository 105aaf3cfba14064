/**
 * Drives a `FanoutState`: asks whom it says, tells it what came of that, and ends what is under way once it
 * is over.
 *
 * A call that rejects decides nothing about the record: `PEER_UNREACHABLE` is silence, what was not as
 * the contract says makes the peer one that lied. Everything else (this peer is closed, the caller's
 * signal ended, a bug) ends the fanout with that error.
 */
import {
  type Clock,
  HoldfastError,
  isHoldfastError,
  RECORD_LIMITS,
  type Timer,
} from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import type { PeerInfo } from '../messages.ts';
import type { AskedPeers } from '../peers/asked-peers.ts';
import { sharedAbort } from '../rpc/shared-abort.ts';
import type { FanoutDisposition, FanoutOutcome, FanoutRules } from './fanout-rules.ts';
import { FanoutState } from './fanout-state.ts';

export interface FanoutAnswer {
  readonly disposition: Exclude<FanoutDisposition, 'silent' | 'invalid'>;
  readonly peers: readonly PeerInfo[];
}

export type FanoutCall = (peer: PeerId, signal: AbortSignal) => Promise<FanoutAnswer>;

/**
 * Asked after each answer: `done` ends the fanout as a consensus, whatever the rules say, and
 * `closesAtMs` ends it so at that time of the monotonic clock at the latest.
 */
export type FanoutCheck = () => 'open' | 'done' | { readonly closesAtMs: number };

export interface FanoutOptions {
  /** Beside those of the table: peers that had the record before. */
  readonly seeds?: readonly PeerId[] | undefined;
  readonly check?: FanoutCheck | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FanoutComponents {
  readonly clock: Clock;
  readonly peers: AskedPeers;
}

export function runFanout(
  components: FanoutComponents,
  rules: FanoutRules,
  call: FanoutCall,
  options: FanoutOptions = {},
): Promise<FanoutOutcome> {
  return new Drive(components, rules, call, options).outcome;
}

class Drive {
  readonly outcome: Promise<FanoutOutcome>;
  readonly #clock: Clock;
  readonly #peers: AskedPeers;
  readonly #call: FanoutCall;
  readonly #options: FanoutOptions;
  readonly #state: FanoutState;
  readonly #abort = sharedAbort();
  #settle!: { resolve(outcome: FanoutOutcome): void; reject(error: unknown): void };
  #timer: Timer | undefined;
  #over = false;

  constructor(
    { clock, peers }: FanoutComponents,
    rules: FanoutRules,
    call: FanoutCall,
    options: FanoutOptions,
  ) {
    this.#clock = clock;
    this.#peers = peers;
    this.#call = call;
    this.#options = options;
    this.#state = new FanoutState(rules, this.#seeds(rules), clock.monotonicMs());
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal?.aborted === true) this.#onAbort();
    else this.#move();
  }

  #seeds({ target }: FanoutRules): { id: PeerId; proved: boolean }[] {
    const { table } = this.#peers;
    const near = table.nearest(target, RECORD_LIMITS.fanoutSeeds).map(({ id }) => id);
    const more = (this.#options.seeds ?? []).filter((id) => id !== table.self);
    return [...near, ...more].map((id) => ({ id, proved: table.isProved(id) }));
  }

  /** Asks whoever may be asked now, or ends. */
  #move(): void {
    if (this.#over) return;
    const now = this.#clock.monotonicMs();
    this.#state.tick(now);
    for (let peer = this.#state.take(now); peer !== undefined; peer = this.#state.take(now)) {
      void this.#ask(peer);
    }
    const { outcome } = this.#state;
    if (outcome === undefined) this.#wakeLater(now);
    else this.#end(() => this.#settle.resolve(outcome));
  }

  #wakeLater(now: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(this.#state.nextChangeMs(now) - now, () => this.#move());
  }

  /** Never rejects. */
  async #ask(peer: PeerId): Promise<void> {
    try {
      const { disposition, peers } = await this.#call(peer, this.#abort.signal);
      this.#report(peer, disposition, peers);
      this.#check();
    } catch (error) {
      if (this.#over) return;
      const disposition = dispositionOf(error);
      if (disposition === undefined) {
        this.#end(() => this.#settle.reject(error));
        return;
      }
      if (disposition === 'invalid') this.#peers.distrust(peer);
      this.#report(peer, disposition, []);
    }
    this.#move();
  }

  #report(peer: PeerId, disposition: FanoutDisposition, named: readonly PeerInfo[]): void {
    const { table } = this.#peers;
    const others = named
      .filter(({ id }) => id !== table.self)
      .map(({ id }) => ({ id, proved: table.isProved(id) }));
    this.#state.report(peer, disposition, others, this.#clock.monotonicMs());
  }

  #check(): void {
    const verdict = this.#options.check?.() ?? 'open';
    if (verdict === 'done') this.#state.conclude();
    else if (verdict !== 'open') this.#state.closeAt(verdict.closesAtMs);
  }

  readonly #onAbort = (): void => {
    const error = new HoldfastError('ABORTED', 'the call was aborted', { effect: 'unknown' });
    this.#end(() => this.#settle.reject(error));
  };

  #end(settle: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    settle();
    this.#abort.abort();
  }
}

/** `undefined`: it is not about the peer. */
function dispositionOf(error: unknown): 'silent' | 'invalid' | undefined {
  if (!isHoldfastError(error)) return undefined;
  if (error.code === 'PEER_UNREACHABLE') return 'silent';
  const { kind } = error;
  return kind === 'invalid' || kind === 'denied' || kind === 'limit' ? 'invalid' : undefined;
}
