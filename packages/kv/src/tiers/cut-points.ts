/** Where a crash would hurt the tiers most; tests arm each of them through `onCut`. */
export const TIER_CUT_POINTS = [
  /** Intents are on their way to the local store. */
  'tiers.intent',
  /** They are durable; no tier has heard of them. */
  'tiers.intended',
  /** A tier is about to get a write. */
  'tiers.bring',
  /** It has it; the local store does not know. */
  'tiers.brought',
  /** All tiers have what they owe; nobody was told. */
  'tiers.written',
  /** What is owed is about to be brought. */
  'tiers.drain',
  /** It is there; the local store does not know. */
  'tiers.drained',
  /** The backup is about to be claimed; it may lack what is owed to it. */
  'tiers.promote',
  /** It is claimed and has everything; the local store still names the old primary. */
  'tiers.promoted',
  /** The target of a migration is equal, and about to be claimed. */
  'tiers.migrate',
  /** It is claimed; the local store still names the old primary. */
  'tiers.migrated',
] as const;

export type TierCutPoint = (typeof TIER_CUT_POINTS)[number];
