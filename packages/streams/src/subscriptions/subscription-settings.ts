/** Settings of the subscription engine. Defaults come from `LIMITS`; all are plain data. */
import { HoldfastError, LIMITS } from '@holdfast/core';

/** Each one stands in `LIMITS` under the same name, with what happens at it. */
export interface SubscriptionSettings {
  readonly maxSubscriptions: number;
  readonly maxLinksPerSubscription: number;
  readonly maxSubscriptionLinks: number;
  readonly maxWakeStreams: number;
  readonly maxSubscriptionQueue: number;
  readonly webhookRetryMs: number;
  readonly maxWebhookRetryMs: number;
  readonly maxWebhookAttempts: number;
  readonly webhookTimeoutMs: number;
  readonly maxWebhookDeliveries: number;
  readonly maxWebhookDeliveriesPerHost: number;
  readonly signingKeyRotationMs: number;
  readonly signingKeyPrepublishMs: number;
  readonly signingKeyRetireMs: number;
}

const DEFAULTS: SubscriptionSettings = {
  maxSubscriptions: LIMITS.maxSubscriptions,
  maxLinksPerSubscription: LIMITS.maxLinksPerSubscription,
  maxSubscriptionLinks: LIMITS.maxSubscriptionLinks,
  maxWakeStreams: LIMITS.maxWakeStreams,
  maxSubscriptionQueue: LIMITS.maxSubscriptionQueue,
  webhookRetryMs: LIMITS.webhookRetryMs,
  maxWebhookRetryMs: LIMITS.maxWebhookRetryMs,
  maxWebhookAttempts: LIMITS.maxWebhookAttempts,
  webhookTimeoutMs: LIMITS.webhookTimeoutMs,
  maxWebhookDeliveries: LIMITS.maxWebhookDeliveries,
  maxWebhookDeliveriesPerHost: LIMITS.maxWebhookDeliveriesPerHost,
  signingKeyRotationMs: LIMITS.signingKeyRotationMs,
  signingKeyPrepublishMs: LIMITS.signingKeyPrepublishMs,
  signingKeyRetireMs: LIMITS.signingKeyRetireMs,
};

export function subscriptionSettings(
  given: Partial<SubscriptionSettings> = {},
): SubscriptionSettings {
  for (const [name, value] of Object.entries(given)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new HoldfastError(
        'INVALID_SETTINGS',
        `not a whole number from 1 on ${name}=${String(value)}`,
      );
    }
  }
  return Object.freeze({ ...DEFAULTS, ...given });
}
