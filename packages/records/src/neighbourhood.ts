/**
 * What this peer knows of who is near to what: the side of the peer table that others need.
 *
 * 1. Only peers that answered lately count; those that one merely heard of do not.
 * 2. This peer itself is never among them.
 */
import type { Coordinate, PeerId } from './coordinate.ts';
import type { PeerInfo } from './messages.ts';

export interface Neighbourhood {
  readonly self: PeerId;
  readonly selfCoordinate: Coordinate;
  /** Peers nearer to `target` than this one, nearest first: is it my business, and whom to name. */
  nearerThanSelf(target: Coordinate, limit: number): readonly PeerInfo[];
  /** Nearest first: where a fanout begins. */
  nearest(target: Coordinate, limit: number): readonly PeerInfo[];
  /** Heard of: whether it is one to count is found out by asking it. */
  heardOf(peers: readonly PeerInfo[]): void;
  /** A question to it was answered, or was not. */
  answered(peer: PeerId, roundTripMs: number): void;
  failed(peer: PeerId): void;
}
