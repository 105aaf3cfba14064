/**
 * Keeps the table of peers true: asks candidates and those that were not heard of for a while, looks
 * for peers near this one and near anywhere, and begins with those it was given when it knows too few.
 *
 * Invariants
 * 1. One round is under way at a time, with at most `peerProbesAtOnce` questions beside its lookups.
 * 2. The next round comes `peerRefreshMs` after one, sooner while fewer than `minKnownPeers` are known:
 *    then after `recordTickMs`, and twice as long each time nothing was gained.
 * 3. A peer that connects is asked at once: it proves itself, and both know each other.
 *
 * Owner: whoever opened the network. `close` ends its calls and waits for them.
 */
import {
  type Clock,
  isHoldfastError,
  type Logger,
  type Random,
  RECORD_LIMITS,
  type Timer,
} from '@holdfast/core';
import {
  coordinateFromBytes,
  COORDINATE_BYTES,
  type Coordinate,
  type PeerId,
} from '../coordinate.ts';
import { fanoutRules } from '../fanout/fanout-rules.ts';
import { runFanout } from '../fanout/run-fanout.ts';
import type { PeerInfo } from '../messages.ts';
import type { Rpc, RpcSubscription } from '../rpc.ts';
import { sharedAbort } from '../rpc/shared-abort.ts';
import type { AskedPeers } from './asked-peers.ts';

export interface PeerUpkeepComponents {
  readonly rpc: Rpc;
  readonly peers: AskedPeers;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface PeerUpkeepSettings {
  /** Whom to ask when nobody is known. */
  readonly bootstrap?: readonly PeerInfo[] | undefined;
  readonly refreshMs?: number | undefined;
}

export class PeerUpkeep {
  readonly #components: PeerUpkeepComponents;
  readonly #bootstrap: readonly PeerInfo[];
  readonly #refreshMs: number;
  readonly #abort = sharedAbort();
  readonly #probing = new Map<PeerId, Promise<void>>();
  #events: RpcSubscription | undefined;
  #timer: Timer | undefined;
  #round: Promise<void> | undefined;
  #pauseMs: number = RECORD_LIMITS.recordTickMs;

  constructor(components: PeerUpkeepComponents, settings: PeerUpkeepSettings = {}) {
    this.#components = components;
    this.#bootstrap = settings.bootstrap ?? [];
    this.#refreshMs = settings.refreshMs ?? RECORD_LIMITS.peerRefreshMs;
  }

  /** Resolves after the first round. */
  async start(): Promise<void> {
    this.#events = this.#components.rpc.on((event) => {
      if (event.type === 'connected') this.#meet(event.peer); // I3
      if (event.type === 'online') this.#pauseMs = RECORD_LIMITS.recordTickMs;
    });
    for (const peer of this.#components.rpc.connected()) this.#meet(peer);
    await this.refresh();
  }

  /** A round now, or the one that is under way. Never rejects. */
  refresh(): Promise<void> {
    this.#round ??= this.#runRound().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#events?.cancel();
    this.#timer?.cancel();
    await this.#round;
    await Promise.all(this.#probing.values());
  }

  async #runRound(): Promise<void> {
    this.#timer?.cancel();
    const { table } = this.#components.peers;
    const before = table.size;
    try {
      if (before < RECORD_LIMITS.minKnownPeers) {
        table.heardOf(this.#bootstrap);
        await this.#probeAll(this.#bootstrap.map(({ id }) => id));
      }
      await this.#probeAll(this.#dueForProbe());
      await this.#lookUp(table.selfCoordinate);
      await this.#lookUp(coordinateFromBytes(this.#components.random.bytes(COORDINATE_BYTES)));
    } catch (error) {
      if (!this.#abort.signal.aborted) {
        const code = isHoldfastError(error) ? error.code : String(error);
        this.#components.logger.warn('records.upkeep-failed', { code });
      }
    }
    this.#scheduleNext(table.size > before);
  }

  /** I2 */
  #scheduleNext(gained: boolean): void {
    if (this.#abort.signal.aborted) return;
    const isPoor = this.#components.peers.table.size < RECORD_LIMITS.minKnownPeers;
    this.#pauseMs = gained ? RECORD_LIMITS.recordTickMs : 2 * this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs, this.#refreshMs);
    const pauseMs = isPoor ? this.#pauseMs : this.#refreshMs;
    this.#timer = this.#components.clock.after(pauseMs, () => void this.refresh());
  }

  #dueForProbe(): PeerId[] {
    const { clock, peers } = this.#components;
    const { minKnownPeers } = RECORD_LIMITS;
    const since = clock.monotonicMs() - this.#refreshMs;
    const silent = peers.table.silentSince(since, minKnownPeers);
    return [...silent, ...peers.table.candidates(minKnownPeers)];
  }

  async #probeAll(ids: readonly PeerId[]): Promise<void> {
    const waiting = ids.filter((id) => id !== this.#components.peers.table.self);
    const lane = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await this.#probe(next);
      }
    };
    await Promise.all(Array.from({ length: RECORD_LIMITS.peerProbesAtOnce }, lane));
  }

  /** I3 */
  #meet(id: PeerId): void {
    const { peers, rpc } = this.#components;
    if (peers.table.isProved(id)) return;
    peers.table.heardOf([{ id, addresses: rpc.addressesOf(id) }]);
    if (this.#probing.size < RECORD_LIMITS.peerProbesAtOnce) void this.#probe(id);
  }

  /** Never rejects: the table is told what came of it. */
  #probe(id: PeerId): Promise<void> {
    const under = this.#probing.get(id);
    if (under !== undefined) return under;
    const asked = this.#components.peers.ask(id, { type: 'ping' }, { signal: this.#abort.signal });
    const done = asked
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.#probing.delete(id));
    this.#probing.set(id, done);
    return done;
  }

  /** Everybody near a place is asked for those still nearer: all who answer are known afterwards. */
  async #lookUp(target: Coordinate): Promise<void> {
    const { clock, peers } = this.#components;
    const rules = fanoutRules(target, Infinity, { throttled: false });
    await runFanout(
      { clock, peers },
      rules,
      async (peer, signal) => {
        const answer = await peers.ask(peer, { type: 'find', target }, { signal });
        return { disposition: 'accepted', peers: answer.peers };
      },
      { signal: this.#abort.signal },
    );
  }
}
