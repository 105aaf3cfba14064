/** What the engines ask peers with, and how many of them must agree. */
import { type Clock, RECORD_LIMITS } from '@holdfast/core';
import type { AskedPeers } from '../peers/asked-peers.ts';
import type { DescriptorsKnown } from './descriptors-known.ts';

export interface RecordNetwork {
  readonly clock: Clock;
  readonly peers: AskedPeers;
  readonly descriptors: DescriptorsKnown;
  readonly counts: AgreementCounts;
}

export interface AgreementCounts {
  /** Peers that must say the same in a get. Fewer: older values are read more easily. */
  readonly get: number;
  /** Peers that must hold a value. Fewer: it is lost more easily. */
  readonly set: number;
  /** Peers near a record that are asked. */
  readonly width: number;
}

export const DEFAULT_COUNTS: AgreementCounts = {
  get: RECORD_LIMITS.getCount,
  set: RECORD_LIMITS.setCount,
  width: RECORD_LIMITS.consensusWidth,
};
