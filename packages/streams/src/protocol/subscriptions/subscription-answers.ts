/** Answers of the control routes (PROTOCOL 6.3, 6.5, 7.2) from domain values. */
import { formatPosition } from '../../position.ts';
import type {
  SubscriptionInfo,
  SubscriptionLink,
  SubscriptionSummary,
  Wake,
  WakeStream,
  WebhookPublicKey,
} from '../../subscriptions/subscription-store.ts';

/** What a receiver needs to check a signature. */
export interface SigningMetadata {
  readonly alg: 'ed25519';
  readonly kid: string;
  readonly jwks_url: string;
}

export function summaryAnswer(
  info: SubscriptionSummary,
  signing: SigningMetadata | undefined,
): Record<string, unknown> {
  const { config } = info;
  const { webhookUrl } = config;
  return {
    id: info.id,
    subscription_id: info.id,
    type: config.type,
    pattern: config.pattern ?? null,
    webhook: webhookUrl === undefined ? null : { url: webhookUrl, ...(signing && { signing }) },
    wake_stream: config.wakeStream ?? null,
    lease_ttl_ms: config.leaseTtlMs,
    created_at: new Date(info.createdAtMs).toISOString(),
    status: info.status,
    description: config.description ?? null,
    // Beyond the protocol: where it stands.
    generation: info.generation,
    stream_count: info.linkCount,
    ...(info.holder === undefined ? {} : { current_holder: info.holder }),
    ...(info.failedAttempts === 0 ? {} : { failed_attempts: info.failedAttempts }),
    ...(info.nextAttemptAtMs === undefined
      ? {}
      : { next_attempt_at: new Date(info.nextAttemptAtMs).toISOString() }),
    ...(info.parked ? { parked: true } : {}),
    ...(info.unlinkedStreams === undefined ? {} : { unlinked_streams: info.unlinkedStreams }),
  };
}

export function subscriptionAnswer(
  info: SubscriptionInfo,
  signing: SigningMetadata | undefined,
): Record<string, unknown> {
  return { ...summaryAnswer(info, signing), streams: info.links.map(linkAnswer) };
}

export function wakeAnswer(wake: Wake): Record<string, unknown> {
  return {
    wake_id: wake.wakeId,
    generation: wake.generation,
    token: wake.token,
    streams: wake.streams.map(wakeStreamAnswer),
    lease_ttl_ms: wake.leaseTtlMs,
  };
}

export function keySetAnswer(keys: readonly WebhookPublicKey[]): Record<string, unknown> {
  return {
    keys: keys.map(({ kid, x }) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      kid,
      use: 'sig',
      alg: 'EdDSA',
      x,
    })),
  };
}

function linkAnswer(link: SubscriptionLink): Record<string, unknown> {
  return {
    path: link.path,
    link_type: link.linkType,
    acked_offset: formatPosition(link.acked),
  };
}

function wakeStreamAnswer(stream: WakeStream): Record<string, unknown> {
  return {
    ...linkAnswer(stream),
    tail_offset: formatPosition(stream.tail),
    has_pending: stream.pending,
  };
}
