/**
 * The peers that this one knows. Those that answered lately are *proved*: only they are given to
 * others, count when nearness is judged, and begin fanouts. Those that one merely heard of, or that
 * fell silent, are *candidates*: upkeep asks them, and their answer proves them.
 *
 * Invariants
 * 1. A peer is proved, a candidate, or unknown; this peer itself is never either.
 * 2. Proved peers are at most `maxKnownPeers`. Hearing of peers, however many, takes none of their
 *    places: a newcomer gets the place of one only by answering, and only in the part of the network
 *    where most are known, of the one that has been silent there for longest.
 * 3. Candidates are at most `maxCandidatePeers`; the oldest go first.
 * 4. A proved peer that fails `failuresOfPeer` times on end becomes a candidate; a candidate that does
 *    so is forgotten.
 *
 * Owner: one peer. Spec: veilid-records §4.2, §7.2 (eclipse).
 */
import { type Clock, RECORD_LIMITS } from '@holdfast/core';
import {
  compareDistances,
  type Coordinate,
  peerCoordinate,
  type PeerId,
  sharedPrefixBits,
} from '../coordinate.ts';
import type { PeerInfo } from '../messages.ts';
import type { Neighbourhood } from '../neighbourhood.ts';
import type { Rpc } from '../rpc.ts';
import { CoordinateIndex } from './coordinate-index.ts';

export interface PeerTableSettings {
  readonly maxKnownPeers?: number | undefined;
  readonly maxCandidatePeers?: number | undefined;
}

interface ProvedPeer {
  readonly id: PeerId;
  readonly coordinate: Coordinate;
  /** Bits shared with this peer: which part of the network it is in. */
  readonly part: number;
  /** As it was heard: the network may know better by now. */
  readonly addresses: readonly string[];
  answeredAtMs: number;
  roundTripMs: number;
  failures: number;
}

interface Candidate {
  readonly addresses: readonly string[];
  /** On end. */
  failures: number;
}

export class PeerTable implements Neighbourhood {
  readonly self: PeerId;
  readonly selfCoordinate: Coordinate;
  readonly #rpc: Rpc;
  readonly #clock: Clock;
  readonly #maxProved: number;
  readonly #maxCandidates: number;
  readonly #proved = new Map<PeerId, ProvedPeer>();
  readonly #index = new CoordinateIndex<ProvedPeer>();
  /** Oldest first. */
  readonly #candidates = new Map<PeerId, Candidate>();

  constructor(rpc: Rpc, clock: Clock, settings: PeerTableSettings = {}) {
    this.#rpc = rpc;
    this.#clock = clock;
    this.self = rpc.self.id;
    this.selfCoordinate = peerCoordinate(this.self);
    this.#maxProved = settings.maxKnownPeers ?? RECORD_LIMITS.maxKnownPeers;
    this.#maxCandidates = settings.maxCandidatePeers ?? RECORD_LIMITS.maxCandidatePeers;
  }

  get size(): number {
    return this.#proved.size;
  }

  nearerThanSelf(target: Coordinate, limit: number): readonly PeerInfo[] {
    const found: PeerInfo[] = [];
    for (const peer of this.#index.nearest(target)) {
      const isNearer = compareDistances(target, peer.coordinate, this.selfCoordinate) < 0;
      if (!isNearer || found.length === limit) break;
      found.push(this.#infoOf(peer.id));
    }
    return found;
  }

  nearest(target: Coordinate, limit: number): readonly PeerInfo[] {
    const found: PeerInfo[] = [];
    for (const peer of this.#index.nearest(target)) {
      if (found.length === limit) break;
      found.push(this.#infoOf(peer.id));
    }
    return found;
  }

  isProved(peer: PeerId): boolean {
    return this.#proved.has(peer);
  }

  heardOf(peers: readonly PeerInfo[]): void {
    for (const { id, addresses } of peers) {
      const isKnown = id === this.self || this.#proved.has(id) || this.#candidates.has(id); // I1
      if (!isKnown) this.#addCandidate(id, addresses);
    }
  }

  /** What a network has to be told before it can ask the peer. */
  addressesOf(peer: PeerId): readonly string[] {
    return (this.#proved.get(peer) ?? this.#candidates.get(peer))?.addresses ?? [];
  }

  answered(peer: PeerId, roundTripMs: number): void {
    if (peer === this.self) return;
    const known = this.#proved.get(peer);
    if (known !== undefined) {
      known.answeredAtMs = this.#clock.monotonicMs();
      known.roundTripMs = roundTripMs;
      known.failures = 0;
    } else if (this.#hasRoomFor(peer)) {
      const addresses = this.#addressesNow(peer);
      this.#candidates.delete(peer);
      this.#prove(peer, addresses, roundTripMs);
    }
  }

  failed(peer: PeerId): void {
    const known = this.#proved.get(peer);
    if (known !== undefined) {
      known.failures++;
      if (known.failures < RECORD_LIMITS.failuresOfPeer) return;
      this.#remove(known);
      this.#addCandidate(peer, known.addresses); // I4
      return;
    }
    const candidate = this.#candidates.get(peer);
    if (candidate === undefined) return;
    candidate.failures++;
    if (candidate.failures >= RECORD_LIMITS.failuresOfPeer) this.#candidates.delete(peer);
  }

  /** A lie, not silence: it is not proved any more, and asked again only if somebody names it. */
  distrust(peer: PeerId): void {
    const known = this.#proved.get(peer);
    if (known !== undefined) this.#remove(known);
    this.#candidates.delete(peer);
  }

  /** Oldest first. */
  candidates(limit: number): readonly PeerId[] {
    return [...this.#candidates.keys()].slice(0, limit);
  }

  /** Proved ones that did not answer since then, longest silent first. */
  silentSince(monotonicMs: number, limit: number): readonly PeerId[] {
    return [...this.#proved.values()]
      .filter(({ answeredAtMs }) => answeredAtMs < monotonicMs)
      .sort((a, b) => a.answeredAtMs - b.answeredAtMs)
      .slice(0, limit)
      .map(({ id }) => id);
  }

  #infoOf(id: PeerId): PeerInfo {
    return { id, addresses: this.#addressesNow(id) };
  }

  #addressesNow(id: PeerId): readonly string[] {
    const addresses = this.#rpc.addressesOf(id);
    return addresses.length > 0 ? addresses : this.addressesOf(id);
  }

  #prove(id: PeerId, addresses: readonly string[], roundTripMs: number): void {
    const coordinate = peerCoordinate(id);
    const part = sharedPrefixBits(this.selfCoordinate, coordinate);
    const answeredAtMs = this.#clock.monotonicMs();
    const peer = { id, coordinate, part, addresses, answeredAtMs, roundTripMs, failures: 0 };
    this.#proved.set(id, peer);
    this.#index.add(peer);
  }

  #remove(peer: ProvedPeer): void {
    this.#proved.delete(peer.id);
    this.#index.remove(peer);
  }

  #addCandidate(id: PeerId, addresses: readonly string[]): void {
    if (this.#candidates.size >= this.#maxCandidates) {
      for (const oldest of this.#candidates.keys()) {
        this.#candidates.delete(oldest);
        break;
      }
    }
    this.#candidates.set(id, { addresses, failures: 0 });
  }

  /** I2: makes room if that takes nothing from a part of the network that is known less well. */
  #hasRoomFor(newcomer: PeerId): boolean {
    if (this.#proved.size < this.#maxProved) return true;
    const parts = new Map<number, ProvedPeer[]>();
    for (const peer of this.#proved.values()) {
      const peers = parts.get(peer.part);
      if (peers === undefined) parts.set(peer.part, [peer]);
      else peers.push(peer);
    }
    const crowded = [...parts.values()].reduce((a, b) => (b.length > a.length ? b : a));
    const silent = crowded.reduce((a, b) => (b.answeredAtMs < a.answeredAtMs ? b : a));
    const part = sharedPrefixBits(this.selfCoordinate, peerCoordinate(newcomer));
    if (part === silent.part) {
      // An old acquaintance stays while it answers: new ids cost an attacker nothing.
      const silentMs = this.#clock.monotonicMs() - silent.answeredAtMs;
      if (silentMs < RECORD_LIMITS.peerRefreshMs) return false;
    } else if ((parts.get(part)?.length ?? 0) + 1 >= crowded.length) {
      return false;
    }
    this.#remove(silent);
    return true;
  }
}
