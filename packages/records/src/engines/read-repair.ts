/**
 * Gives peers that were found to lag behind the value they lack, after a get, beside everything else.
 *
 * Invariants
 * 1. At most `maxReadRepairs` are under way; what is above is left to the next get.
 * 2. A peer is given the same subkey no sooner than `readRepairPauseMs` after the last time: one that
 *    does not keep it is not given it for ever.
 *
 * Owner: the engine. `close` ends what is under way and waits for it.
 */
import { type Clock, RECORD_LIMITS } from '@holdfast/core';
import type { PeerId } from '../coordinate.ts';
import { sharedAbort } from '../rpc/shared-abort.ts';
import type { RecordNetwork } from './record-network.ts';
import { sendValue, type ValueToSend } from './send-value.ts';

export class ReadRepair {
  readonly #network: RecordNetwork;
  readonly #clock: Clock;
  readonly #abort = sharedAbort();
  readonly #under = new Set<Promise<void>>();
  /** When it began, by record, subkey and peer; oldest first. */
  readonly #lately = new Map<string, number>();

  constructor(network: RecordNetwork) {
    this.#network = network;
    this.#clock = network.clock;
  }

  repair(given: ValueToSend, peers: readonly PeerId[]): void {
    this.#forget();
    for (const peer of peers) {
      const place = `${given.descriptor.id} ${given.value.subkey} ${peer}`;
      const isFull = this.#under.size >= RECORD_LIMITS.maxReadRepairs;
      if (isFull || this.#abort.signal.aborted || this.#lately.has(place)) continue;
      this.#lately.set(place, this.#clock.monotonicMs());
      const done = this.#send(given, peer).finally(() => this.#under.delete(done));
      this.#under.add(done);
    }
  }

  /** Resolves once nothing is under way. */
  async idle(): Promise<void> {
    while (this.#under.size > 0) await Promise.all(this.#under);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.idle();
  }

  /** Never rejects: whoever lags behind still is found again. */
  async #send(given: ValueToSend, peer: PeerId): Promise<void> {
    try {
      await sendValue(this.#network, peer, given, this.#abort.signal);
    } catch {
      // the table of peers was told
    }
  }

  /** I2 */
  #forget(): void {
    const since = this.#clock.monotonicMs() - RECORD_LIMITS.readRepairPauseMs;
    for (const [place, startedMs] of this.#lately) {
      if (startedMs > since) break;
      this.#lately.delete(place);
    }
  }
}
