/** What receivers and workers send to the control routes of a server. */
import { request, type HttpResponse } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';

export interface WakeLike {
  readonly wake_id: string;
  readonly generation: number;
}

export interface ClaimedWake extends WakeLike {
  readonly token: string;
  readonly lease_ttl_ms: number;
  readonly streams: readonly {
    readonly path: string;
    readonly acked_offset: string;
    readonly tail_offset: string;
    readonly has_pending: boolean;
  }[];
}

export interface ShownSubscription {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly generation: number;
  readonly created_at: string;
  readonly next_attempt_at?: string;
  readonly failed_attempts?: number;
  readonly parked?: boolean;
  readonly webhook: {
    readonly url: string;
    readonly signing: { readonly kid: string; readonly jwks_url: string };
  } | null;
  readonly streams: readonly {
    readonly path: string;
    readonly link_type: string;
    readonly acked_offset: string;
  }[];
}

/** The `code` of the protocol's `error` member, and of the problem around it. */
export function errorCode(response: HttpResponse): string | undefined {
  if (response.text === '') return undefined;
  const { code, error } = JSON.parse(response.text) as { code: string; error?: { code: string } };
  return error?.code === code ? code : undefined;
}

export class SubscriptionClient {
  readonly #server: ServerProcess;

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  url(path: string): string {
    return this.#server.stream(`__ds/${path}`);
  }

  send(method: string, path: string, body?: unknown, token?: string): Promise<HttpResponse> {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    return request(method, this.url(path), {
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  put(id: string, config: unknown): Promise<HttpResponse> {
    return this.send('PUT', `subscriptions/${id}`, config);
  }

  async show(id: string): Promise<ShownSubscription> {
    const shown = await this.send('GET', `subscriptions/${id}`);
    if (shown.status !== 200) throw new Error(`no subscription ${id}: ${shown.text}`);
    return JSON.parse(shown.text) as ShownSubscription;
  }

  claim(id: string, worker: string, token?: string): Promise<HttpResponse> {
    return this.send('POST', `subscriptions/${id}/claim`, { worker }, token);
  }

  act(
    id: string,
    action: 'ack' | 'callback' | 'release',
    wake: WakeLike,
    token: string,
    more: { acks?: { stream: string; offset: string }[]; done?: boolean } = {},
  ): Promise<HttpResponse> {
    const { wake_id, generation } = wake;
    return this.send(
      'POST',
      `subscriptions/${id}/${action}`,
      { wake_id, generation, ...more },
      token,
    );
  }
}

/** Until `probe` gives something other than `undefined`; throws when it never does. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  withinMs = 15_000,
): Promise<T> {
  const until = Date.now() + withinMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
