/**
 * Webhooks over real sockets: the `WebhookSender` of a node that runs.
 *
 * Invariants
 * I1. A connection is made only to an address that `WebhookAddressPolicy` has just passed: the
 *     socket gets the addresses that were judged, not a name to look up again. Of a name with
 *     several addresses every one must pass.
 * I2. One promise, settled once; whatever settles it, socket and timer are gone.
 * I3. Nothing from outside turns a request elsewhere: no redirects, no proxy of the environment,
 *     no connection that another request opened.
 */
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import {
  HoldfastError,
  isHoldfastError,
  LIMITS,
  systemErrorCode,
  type Clock,
} from '@holdfast/core';
import type { WebhookAnswer, WebhookRequest, WebhookSender } from '@holdfast/streams';
import { nameLookup, type NameLookup } from './node-name-lookup.ts';
import { WebhookAddressPolicy, type WebhookAddressSettings } from './webhook-address-policy.ts';

export interface WebhookSenderComponents {
  readonly clock: Clock;
  /** Every address of a name. Absent: what the system's name servers say. */
  readonly lookup?: NameLookup;
}

export interface WebhookSenderSettings extends WebhookAddressSettings {
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string;
}

const USER_AGENT = 'holdfast-webhook';

export class NodeWebhookSender implements WebhookSender {
  readonly #clock: Clock;
  readonly #lookup: NameLookup;
  readonly #policy: WebhookAddressPolicy;
  readonly #ca: string | undefined;

  constructor(components: WebhookSenderComponents, settings: WebhookSenderSettings) {
    this.#clock = components.clock;
    this.#lookup = components.lookup ?? nameLookup();
    this.#policy = new WebhookAddressPolicy(settings);
    this.#ca = settings.ca;
  }

  assertUrl(url: string): void {
    this.#policy.checkUrl(url);
  }

  async send(request: WebhookRequest): Promise<WebhookAnswer> {
    const url = this.#policy.checkUrl(request.url);
    request.signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const sent = this.#open(url, request);
      let settled = false;
      const settle = (answer: WebhookAnswer | undefined, error?: unknown): void => {
        if (settled) return; // I2
        settled = true;
        timer.cancel();
        request.signal.removeEventListener('abort', onAbort);
        sent.destroy();
        if (answer === undefined) reject(asFailure(error));
        else resolve(answer);
      };
      const onAbort = (): void => settle(undefined, request.signal.reason);
      const timer = this.#clock.after(request.timeoutMs, () =>
        settle(undefined, failed(`no answer in time timeoutMs=${request.timeoutMs}`)),
      );
      request.signal.addEventListener('abort', onAbort, { once: true });
      sent.on('error', (error) => settle(undefined, error));
      sent.on('close', () => settle(undefined, failed('the connection was closed')));
      sent.on('upgrade', () => settle(undefined, failed('the receiver changed the protocol')));
      sent.on('response', (response) => collect(response, settle));
      sent.end(request.body);
    });
  }

  #open(url: URL, { headers, body }: WebhookRequest): ClientRequest {
    const options: https.RequestOptions = {
      method: 'POST',
      host: bareHost(url.hostname),
      port: url.port === '' ? undefined : url.port,
      path: url.pathname + url.search,
      headers: {
        ...headers,
        Accept: 'application/json',
        'User-Agent': USER_AGENT,
        'Content-Length': body.length,
      },
      lookup: this.#checkedLookup(url), // I1
      agent: false, // I3
      maxHeaderSize: LIMITS.maxHeaderBytes,
    };
    if (url.protocol === 'http:') return http.request(options);
    return https.request({
      ...options,
      // Said here, so that the environment cannot turn it off.
      rejectUnauthorized: true,
      ...(this.#ca === undefined ? {} : { ca: this.#ca }),
    });
  }

  /** Not called for a host that is an address: `checkUrl` has judged it. */
  #checkedLookup(url: URL): LookupFunction {
    return (hostname, options, callback) => {
      this.#lookup(hostname)
        .then((found) => {
          for (const { address } of found) this.#policy.checkAddress(url, address);
          const [first] = found;
          if (first === undefined) throw failed('the name of the receiver has no address');
          return { all: [...found], first };
        })
        .then(
          ({ all, first }) => {
            if (options.all === true) callback(null, all);
            else callback(null, first.address, first.family);
          },
          (error: Error) => callback(error, ''),
        );
    };
  }
}

function collect(
  response: IncomingMessage,
  settle: (answer: WebhookAnswer | undefined, error?: unknown) => void,
): void {
  const parts: Buffer[] = [];
  let size = 0;
  response.on('data', (part: Buffer) => {
    size += part.length;
    if (size > LIMITS.maxWebhookAnswerBytes) {
      settle(undefined, failed(`the answer is too large limit=${LIMITS.maxWebhookAnswerBytes}`));
    } else {
      parts.push(part);
    }
  });
  response.on('error', (error) => settle(undefined, error));
  response.on('end', () =>
    settle({ status: response.statusCode as number, body: Buffer.concat(parts) }),
  );
}

function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

function asFailure(error: unknown): unknown {
  if (isHoldfastError(error)) return error;
  const reason = systemErrorCode(error);
  return failed(
    `the receiver did not answer${reason === undefined ? '' : ` reason=${reason}`}`,
    error,
  );
}

/** Whether the receiver got the request and acted on it nobody knows. */
function failed(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('WEBHOOK_FAILED', what, { effect: 'unknown', cause });
}
