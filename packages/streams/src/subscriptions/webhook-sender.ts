/**
 * The seam to receivers of webhooks. The real one opens connections to addresses it has checked
 * (`NodeWebhookSender` of the node package); in simulation it is a virtual network.
 *
 * Contract
 * 1. `assertUrl` refuses what may never be called, without any lookup.
 * 2. `send` checks the address when the connection is made, so that a name cannot point somewhere
 *    else a moment later, and follows no redirect: a 3xx is an answer like any other.
 * 3. `send` ends within the given time, reads at most `LIMITS.maxWebhookAnswerBytes`, and rejects
 *    with `WEBHOOK_FAILED` when there was no answer, or with `WEBHOOK_URL_REJECTED`.
 */
export interface WebhookRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** From the lookup to the last byte of the answer. */
  readonly timeoutMs: number;
  /** The wake is over, or the node closes. */
  readonly signal: AbortSignal;
}

export interface WebhookAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface WebhookSender {
  /** Throws `WEBHOOK_URL_REJECTED`, saying why and which setting would allow it. */
  assertUrl(url: string): void;
  send(request: WebhookRequest): Promise<WebhookAnswer>;
}
