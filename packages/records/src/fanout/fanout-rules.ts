/** What a fanout goes by, what calls tell it, and what it comes to. */
import { RECORD_LIMITS } from '@holdfast/core';
import type { Coordinate, PeerId } from '../coordinate.ts';

export interface FanoutRules {
  readonly target: Coordinate;
  /** Peers that must accept. */
  readonly count: number;
  /** Only the nearest so many are asked, and count. */
  readonly width: number;
  /** Calls under way, those to slow peers not counted. */
  readonly lanes: number;
  /** Peers that one fanout takes note of. */
  readonly maxPeers: number;
  readonly maxRestarts: number;
  /** Ask no more at once than are needed, and one more for each that is slow. */
  readonly throttled: boolean;
  readonly slowMs: number;
  /** Since the beginning, or the last acceptance. */
  readonly timeoutMs: number;
}

/**
 * What became of one call. `declined`: it is too far, or will not; `stale`: it has nothing, or something older;
 * `accepted-newer`: those that accepted before have something older, and need not be asked again;
 * `accepted-newer-restart`: the same, and they must be.
 */
export type FanoutDisposition =
  | 'silent'
  | 'invalid'
  | 'declined'
  | 'stale'
  | 'accepted'
  | 'accepted-newer'
  | 'accepted-newer-restart';

/**
 * `consensus`: enough accepted. `exhausted`: everybody near was asked, too few did. `timeout`: there
 * was no progress for too long.
 */
export type FanoutKind = 'consensus' | 'exhausted' | 'timeout';

/** Lists are nearest first. */
export interface FanoutOutcome {
  readonly kind: FanoutKind;
  /** There are fewer peers than had to accept: all of them did. */
  readonly degraded: boolean;
  /** Within the width. */
  readonly accepted: readonly PeerId[];
  /** Within the width: those that lag behind. */
  readonly stale: readonly PeerId[];
  /** Accepted or stale, anywhere. */
  readonly holders: readonly PeerId[];
  /** Peers that gave any answer that was one. */
  readonly answered: number;
  /** Peers that are known to be, whether they answered now or not; those that lied are none. */
  readonly there: number;
  readonly restarts: number;
}

export function fanoutRules(
  target: Coordinate,
  count: number,
  changes: Partial<FanoutRules> = {},
): FanoutRules {
  return {
    target,
    count,
    width: RECORD_LIMITS.consensusWidth,
    lanes: RECORD_LIMITS.fanoutLanes,
    maxPeers: RECORD_LIMITS.maxFanoutPeers,
    maxRestarts: RECORD_LIMITS.maxFanoutRestarts,
    throttled: true,
    slowMs: RECORD_LIMITS.slowPeerMs,
    timeoutMs: RECORD_LIMITS.fanoutTimeoutMs,
    ...changes,
  };
}

/** A plain description of a peer that is put to the machine. */
export interface FanoutPeer {
  readonly id: PeerId;
  /** It answered lately: there is such a peer. Of others one merely heard. */
  readonly proved: boolean;
}
