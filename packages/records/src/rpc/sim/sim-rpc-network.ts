/**
 * A network of peers in this process, in virtual time: messages take a while and get lost, peers are
 * slow, silent, garbled or gone, and partitions part them. Messages travel as their bytes, so that
 * nothing passes here that would not pass between machines.
 *
 * Invariants
 * 1. Time is the clock's and chance the given random's: the same seed tells `observe` the same.
 * 2. What one side sends over one link arrives in the order it was sent, or not at all.
 * 3. There is one link between two peers, however many of them dial.
 * 4. A partition cuts the links across it at once, and lets nobody through until `heal`: who dials
 *    across it hears nothing, not even a refusal.
 * 5. A peer that crashed does nothing any more, and hears of nothing; its id can be opened anew.
 *
 * Owner: who made it. Closing it closes no peers.
 */
import { type Clock, type Logger, type Random, SILENT } from '@holdfast/core';
import type { PeerId } from '../../coordinate.ts';
import type { PeerInfo } from '../../messages.ts';
import { SimLink } from './sim-link.ts';
import { SimRpc } from './sim-rpc.ts';

export interface SimRpcSettings {
  /** One way, at most; at least an eighth of a millisecond. */
  readonly latencyMs?: number | undefined;
  /** Of messages that are lost: 0 to 1. */
  readonly loss?: number | undefined;
}

export interface SimRpcComponents {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger | undefined;
  /** Told of every message and link, one line each. */
  readonly observe?: ((line: string) => void) | undefined;
}

/** How a peer behaves towards the others; all may change at any time. */
export interface SimPeerConditions {
  /** Before each answer. */
  slowMs: number;
  /** Takes everything and says nothing. */
  silent: boolean;
  /** Bytes of its answers are damaged. */
  garbled: boolean;
}

const DEFAULT_LATENCY_MS = 20;
const ADDRESS = 'sim:';
const CHANCES = 1_000_000;

export class SimRpcNetwork {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** May change at any time. */
  loss: number;
  readonly #latencyMs: number;
  readonly #observe: ((line: string) => void) | undefined;
  readonly #peers = new Map<PeerId, SimRpc>();
  readonly #conditions = new Map<PeerId, SimPeerConditions>();
  /** Which side of the partition a peer is on; those that are not named are on side 0. */
  readonly #sides = new Map<PeerId, number>();

  constructor(components: SimRpcComponents, settings: SimRpcSettings = {}) {
    this.clock = components.clock;
    this.random = components.random;
    this.logger = components.logger ?? SILENT;
    this.#observe = components.observe;
    this.#latencyMs = settings.latencyMs ?? DEFAULT_LATENCY_MS;
    this.loss = settings.loss ?? 0;
  }

  /** @param id of no peer that is open. */
  open(id: PeerId): SimRpc {
    if (this.#peers.has(id)) throw new TypeError(`the peer is open already: ${id}`);
    const peer = new SimRpc(this, simPeer(id));
    this.#peers.set(id, peer);
    this.note(`open ${id}`);
    return peer;
  }

  /** I5 */
  crash(id: PeerId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    this.note(`crash ${id}`);
    peer.crashed();
  }

  conditionsOf(id: PeerId): SimPeerConditions {
    let conditions = this.#conditions.get(id);
    if (conditions === undefined) {
      conditions = { slowMs: 0, silent: false, garbled: false };
      this.#conditions.set(id, conditions);
    }
    return conditions;
  }

  /** I4; peers of one side reach each other. */
  partition(...sides: readonly (readonly PeerId[])[]): void {
    this.#sides.clear();
    sides.forEach((peers, side) => peers.forEach((id) => this.#sides.set(id, side)));
    this.note(`partition ${sides.map((peers) => peers.length).join(' ')}`);
    for (const peer of this.#peers.values()) {
      for (const link of peer.links()) {
        if (!this.canReach(link.ends[0].self.id, link.ends[1].self.id)) link.cut();
      }
    }
  }

  heal(): void {
    this.#sides.clear();
    this.note('heal');
  }

  canReach(a: PeerId, b: PeerId): boolean {
    return (this.#sides.get(a) ?? 0) === (this.#sides.get(b) ?? 0);
  }

  // -- used by peers and their links ---------------------------------------------------------

  peer(id: PeerId): SimRpc | undefined {
    return this.#peers.get(id);
  }

  /** The peer closed itself. */
  left(peer: SimRpc): void {
    if (this.#peers.get(peer.self.id) === peer) this.#peers.delete(peer.self.id);
    this.note(`close ${peer.self.id}`);
  }

  /** I3: the link that there is by then, or a new one; `undefined`: refused. Never, if parted. */
  dial(from: SimRpc, to: PeerId, connected: (link: SimLink | undefined) => void): void {
    if (!this.canReach(from.self.id, to)) return; // I4
    this.clock.after(this.delayMs(), () => {
      if (from.isClosed || !this.canReach(from.self.id, to)) return;
      const other = this.#peers.get(to);
      if (other === undefined || other === from) {
        connected(undefined);
        return;
      }
      const link = from.linkTo(to) ?? new SimLink(this, from, other);
      connected(link);
    });
  }

  /** In eighths of a millisecond. */
  delayMs(): number {
    return (1 + this.random.integer(Math.max(1, this.#latencyMs * 8))) / 8;
  }

  loses(): boolean {
    return this.loss > 0 && this.random.integer(CHANCES) < this.loss * CHANCES;
  }

  note(line: string): void {
    this.#observe?.(`${this.clock.monotonicMs()} ${line}`);
  }
}

/** What others are told of a peer of such a network. */
export function simPeer(id: PeerId): PeerInfo {
  return { id, addresses: [ADDRESS + id] };
}
