/**
 * One fanout, without time and network: who is asked next, and when it is over. `run-fanout.ts` drives it.
 *
 * Invariants
 * 1. Peers are kept by distance, each once, at most `maxPeers`; proved ones are never dropped for
 *    others.
 * 2. The window is the nearest `width` peers that there are: those that answered, and proved ones that
 *    did not fail. Only peers in it are asked, and only acceptances in it count. Somebody who names
 *    peers that do not exist pushes nobody out of it, and takes half of the lanes at most.
 * 3. A peer is asked once; again only after a restart, of which there are at most `maxRestarts`.
 * 4. An acceptance of something that a restart has left behind is none: the peer is asked again.
 * 5. Once there is an outcome nothing changes it.
 *
 * Declining peers do not end it before the window does: a few of them could silence a record.
 *
 * Owner: one call of `runFanout`. Spec: veilid-records §4.3.
 */
import { compareDistances, type Coordinate, peerCoordinate, type PeerId } from '../coordinate.ts';
import type {
  FanoutDisposition,
  FanoutKind,
  FanoutOutcome,
  FanoutPeer,
  FanoutRules,
} from './fanout-rules.ts';

type Stage = 'queued' | 'asked' | 'silent' | 'invalid' | 'declined' | 'stale' | 'accepted';

interface Entry {
  readonly id: PeerId;
  readonly coordinate: Coordinate;
  readonly proved: boolean;
  stage: Stage;
  askedAtMs: number;
  /** Of restarts, when it was asked. */
  round: number;
}

export class FanoutState {
  readonly #rules: FanoutRules;
  readonly #entries: Entry[] = []; // I1
  readonly #known = new Map<PeerId, Entry>();
  #round = 0;
  #deadlineMs: number;
  #closesAtMs = Infinity;
  #outcome: FanoutOutcome | undefined;

  constructor(rules: FanoutRules, seeds: readonly FanoutPeer[], nowMs: number) {
    this.#rules = rules;
    this.#deadlineMs = nowMs + rules.timeoutMs;
    for (const seed of seeds) this.#add(seed);
    this.#evaluate();
  }

  get outcome(): FanoutOutcome | undefined {
    return this.#outcome;
  }

  /** The next peer to ask now, from now on under way; `undefined`: nobody, for the time being. */
  take(nowMs: number): PeerId | undefined {
    if (this.#outcome !== undefined) return undefined;
    const { lanes, throttled, count } = this.#rules;
    const window = this.#window();
    const young = this.#entries.filter((entry) => this.#isYoung(entry, nowMs));
    if (young.length >= lanes) return undefined;
    const hopeful = window.filter(
      (entry) => entry.stage === 'accepted' || this.#isYoung(entry, nowMs),
    );
    if (throttled && hopeful.length >= count) return undefined;
    const next = this.#nextOf(window, young);
    if (next === undefined) return undefined;
    next.stage = 'asked';
    next.askedAtMs = nowMs;
    next.round = this.#round;
    return next.id;
  }

  /** @param peer one that is under way. */
  report(
    peer: PeerId,
    disposition: FanoutDisposition,
    named: readonly FanoutPeer[],
    nowMs: number,
  ): void {
    const entry = this.#known.get(peer);
    if (this.#outcome !== undefined || entry?.stage !== 'asked') return; // I5
    for (const other of named) this.#add(other);
    this.#dispose(entry, disposition, nowMs);
    this.#evaluate();
  }

  /** Somebody else knows that it is enough. */
  conclude(): void {
    this.#outcome ??= this.#outcomeOf('consensus', false);
  }

  /** What there is by then is enough, if it is enough; else it goes on to its own end. */
  closeAt(monotonicMs: number): void {
    this.#closesAtMs = Math.min(this.#closesAtMs, monotonicMs);
  }

  /** Call it at `nextChangeMs`. */
  tick(nowMs: number): void {
    if (this.#outcome !== undefined) return;
    if (nowMs >= this.#closesAtMs) this.conclude();
    else if (nowMs >= this.#deadlineMs) this.#outcome = this.#outcomeOf('timeout', false);
  }

  /** When time alone changes something: a peer has become slow, or the fanout is over. */
  nextChangeMs(nowMs: number): number {
    const slow = this.#entries
      .filter((entry) => this.#isYoung(entry, nowMs))
      .map(({ askedAtMs }) => askedAtMs + this.#rules.slowMs);
    return Math.min(this.#deadlineMs, this.#closesAtMs, ...slow);
  }

  #add({ id, proved }: FanoutPeer): void {
    if (this.#known.has(id)) return;
    const coordinate = peerCoordinate(id);
    const entry: Entry = { id, coordinate, proved, stage: 'queued', askedAtMs: 0, round: 0 };
    this.#entries.splice(this.#position(coordinate), 0, entry);
    this.#known.set(id, entry);
    if (this.#entries.length > this.#rules.maxPeers) this.#dropFarthest();
  }

  /** I1 */
  #dropFarthest(): void {
    const isSpare = ({ stage, proved }: Entry): boolean => stage === 'queued' && !proved;
    let at = this.#entries.findLastIndex(isSpare);
    if (at < 0) at = this.#entries.findLastIndex(({ stage }) => stage === 'queued');
    const [dropped] = at < 0 ? [] : this.#entries.splice(at, 1);
    if (dropped !== undefined) this.#known.delete(dropped.id);
  }

  #position(coordinate: Coordinate): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = (this.#entries[middle] as Entry).coordinate;
      if (compareDistances(this.#rules.target, at, coordinate) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** I2: with it the peers before its end of which it is not known yet whether there are such. */
  #window(): Entry[] {
    const window: Entry[] = [];
    let there = 0;
    for (const entry of this.#entries) {
      if (there === this.#rules.width) break;
      window.push(entry);
      if (isThere(entry) && entry.stage !== 'silent') there++;
    }
    return window;
  }

  #isYoung({ stage, askedAtMs }: Entry, nowMs: number): boolean {
    return stage === 'asked' && nowMs - askedAtMs < this.#rules.slowMs;
  }

  /** I2: the nearest, but no more than half of the lanes for those that may not exist. */
  #nextOf(window: readonly Entry[], young: readonly Entry[]): Entry | undefined {
    const queued = window.filter(({ stage }) => stage === 'queued');
    const unproved = young.filter(({ proved }) => !proved).length;
    if (unproved < Math.floor(this.#rules.lanes / 2)) return queued[0];
    return queued.find(({ proved }) => proved) ?? queued[0];
  }

  #dispose(entry: Entry, disposition: FanoutDisposition, nowMs: number): void {
    switch (disposition) {
      case 'silent':
      case 'invalid':
      case 'declined':
        entry.stage = disposition;
        return;
      case 'stale':
        entry.stage = entry.round === this.#round ? 'stale' : 'queued'; // I4
        return;
      case 'accepted':
        entry.stage = entry.round === this.#round ? 'accepted' : 'queued'; // I4
        break;
      case 'accepted-newer':
        this.#leaveBehind('stale');
        entry.stage = 'accepted';
        break;
      case 'accepted-newer-restart':
        this.#restart();
        entry.stage = 'accepted';
        break;
    }
    this.#deadlineMs = nowMs + this.#rules.timeoutMs;
  }

  /** I3 */
  #restart(): void {
    const isSpent = this.#round >= this.#rules.maxRestarts;
    this.#leaveBehind(isSpent ? 'stale' : 'queued');
    if (!isSpent) this.#round++;
  }

  #leaveBehind(stage: 'stale' | 'queued'): void {
    for (const entry of this.#entries) {
      const isBehind = entry.stage === 'accepted' || entry.stage === 'stale';
      if (isBehind) entry.stage = entry.stage === 'stale' && stage === 'stale' ? 'stale' : stage;
    }
  }

  #evaluate(): void {
    const window = this.#window();
    const accepted = window.filter(({ stage }) => stage === 'accepted').length;
    if (accepted >= this.#rules.count) {
      this.#outcome = this.#outcomeOf('consensus', false);
      return;
    }
    if (window.some(({ stage }) => stage === 'queued' || stage === 'asked')) return;
    const there = this.#entries.filter(isThere).length;
    const degraded = there < this.#rules.count && accepted > 0 && accepted >= there;
    this.#outcome = this.#outcomeOf(degraded ? 'consensus' : 'exhausted', degraded);
  }

  #outcomeOf(kind: FanoutKind, degraded: boolean): FanoutOutcome {
    const window = this.#window();
    const inStage = (entries: readonly Entry[], ...stages: readonly Stage[]): PeerId[] =>
      entries.filter(({ stage }) => stages.includes(stage)).map(({ id }) => id);
    return {
      kind,
      degraded,
      accepted: inStage(window, 'accepted'),
      stale: inStage(window, 'stale'),
      holders: inStage(this.#entries, 'accepted', 'stale'),
      answered: inStage(this.#entries, 'accepted', 'stale', 'declined').length,
      there: this.#entries.filter(isThere).length,
      restarts: this.#round,
    };
  }
}

/** There is such a peer, as far as one can know; those that lied count for nothing. */
function isThere({ stage, proved }: Entry): boolean {
  if (stage === 'invalid') return false;
  return proved || stage === 'declined' || stage === 'stale' || stage === 'accepted';
}
