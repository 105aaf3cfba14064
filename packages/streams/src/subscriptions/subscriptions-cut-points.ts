/** Where a crash would hurt subscriptions most; tests arm them through `onCut`. */
export const SUBSCRIPTIONS_CUT_POINTS = [
  /** A subscription is durable, its client has not heard of it. */
  'subscriptions.putCommitted',
  /** A subscription is gone, its client has not heard of it. */
  'subscriptions.removeCommitted',
  /** A wake is durable, nobody has heard of it. */
  'subscriptions.wakeCommitted',
  /** A webhook is signed and about to leave. */
  'subscriptions.beforeSend',
  /** The receiver answered; what it said is not durable. */
  'subscriptions.answered',
  /** The wake event is in the wake stream; nothing says so here. */
  'subscriptions.eventAppended',
  /** The dead letter is in its stream, the subscription is not parked. */
  'subscriptions.deadLetterAppended',
] as const;

export type SubscriptionsCutPoint = (typeof SUBSCRIPTIONS_CUT_POINTS)[number];
