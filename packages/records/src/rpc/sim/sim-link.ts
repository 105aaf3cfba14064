/**
 * The link between two peers of a `SimRpcNetwork`. Made open, it ends once: cut, or closed by either
 * side; the other side hears of that in time, and of nothing that was under way.
 */
import { RECORD_LIMITS } from '@holdfast/core';
import { CallSlots } from '../call-slots.ts';
import type { SimRpc } from './sim-rpc.ts';
import type { SimRpcNetwork } from './sim-rpc-network.ts';

export class SimLink {
  readonly ends: readonly [SimRpc, SimRpc];
  readonly #network: SimRpcNetwork;
  /** When the last message to this end arrives: nothing overtakes it. */
  readonly #arrival = new Map<SimRpc, number>();
  readonly #asking = new Map<SimRpc, CallSlots>();
  readonly #served = new Map<SimRpc, CallSlots>();
  #open = true;

  constructor(network: SimRpcNetwork, dialler: SimRpc, dialled: SimRpc) {
    this.#network = network;
    this.ends = [dialler, dialled];
    for (const end of this.ends) {
      this.#arrival.set(end, 0);
      this.#asking.set(end, new CallSlots(RECORD_LIMITS.maxQuestionsToPeer));
      this.#served.set(end, new CallSlots(RECORD_LIMITS.maxQuestionsOfPeer));
    }
    network.note(`link ${dialler.self.id} ${dialled.self.id}`);
    for (const end of this.ends) end.linked(this, this.otherThan(end));
  }

  get isOpen(): boolean {
    return this.#open;
  }

  otherThan(end: SimRpc): SimRpc {
    return end === this.ends[0] ? this.ends[1] : this.ends[0];
  }

  /** Questions of `end` over this link. */
  asking(end: SimRpc): CallSlots {
    return this.#asking.get(end) as CallSlots;
  }

  /** Questions that `end` answers over this link. */
  served(end: SimRpc): CallSlots {
    return this.#served.get(end) as CallSlots;
  }

  send(from: SimRpc, bytes: Buffer, what: string): void {
    const to = this.otherThan(from);
    const lost = this.#network.loses();
    this.#network.note(
      `${lost ? 'lost' : 'send'} ${from.self.id} ${to.self.id} ${what} ${bytes.length}`,
    );
    if (lost || !this.#open) return;
    const { clock } = this.#network;
    const now = clock.monotonicMs();
    const arrival = Math.max(now + this.#network.delayMs(), this.#arrival.get(to) ?? 0);
    this.#arrival.set(to, arrival);
    clock.after(arrival - now, () => {
      if (this.#open) to.received(this, bytes);
    });
  }

  /** Both sides know at once. */
  cut(): void {
    this.#end(() => {
      for (const end of this.ends) end.unlinked(this, this.otherThan(end).self.id);
    });
  }

  /** This side is gone, or wants no more: the other one hears of it a moment later. */
  closedBy(end: SimRpc): void {
    this.#end(() => {
      const other = this.otherThan(end);
      end.unlinked(this, other.self.id);
      this.#network.clock.after(this.#network.delayMs(), () => {
        other.unlinked(this, end.self.id);
      });
    });
  }

  #end(tell: () => void): void {
    if (!this.#open) return;
    this.#open = false;
    this.#network.note(`unlink ${this.ends[0].self.id} ${this.ends[1].self.id}`);
    tell();
  }
}
