/**
 * A receiver of webhooks on a free loopback port. Every request is checked as a careful receiver
 * would check it, against the key set of the server; what the test says decides the answer.
 */
import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface WakeBody {
  readonly subscription_id: string;
  readonly wake_id: string;
  readonly generation: number;
  readonly streams: readonly {
    readonly path: string;
    readonly link_type: string;
    readonly acked_offset: string;
    readonly tail_offset: string;
    readonly has_pending: boolean;
  }[];
  readonly callback_url: string;
  readonly callback_token: string;
}

export interface Delivery {
  readonly body: WakeBody;
  readonly rawBody: Buffer;
  readonly signature: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Which key signed it. */
  readonly kid: string;
}

export interface ReceiverAnswer {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `undefined`: the connection is cut without an answer. */
export type OnDelivery = (
  delivery: Delivery,
) => Promise<ReceiverAnswer | undefined> | ReceiverAnswer | undefined;

/** Age of a signature that is still taken (PROTOCOL 7.1). */
const REPLAY_WINDOW_SECONDS = 300;

export class WebhookReceiver {
  readonly deliveries: Delivery[] = [];
  /** Requests whose signature was not right: there must be none. */
  readonly refused: string[] = [];
  readonly #server: http.Server;
  readonly #jwksUrl: () => string;
  readonly #keys = new Map<string, JsonWebKey>();
  #onDelivery: OnDelivery;
  #waiting: { readonly wanted: (delivery: Delivery) => boolean; readonly done: () => void }[] = [];

  private constructor(jwksUrl: () => string, onDelivery: OnDelivery) {
    this.#jwksUrl = jwksUrl;
    this.#onDelivery = onDelivery;
    this.#server = http.createServer((request, response) => this.#take(request, response));
  }

  /** @param jwksUrl where the server publishes its keys; asked for when a key is not known yet */
  static async open(
    jwksUrl: () => string,
    onDelivery: OnDelivery = () => ({ body: {} }),
  ): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(jwksUrl, onDelivery);
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}/hook`;
  }

  answers(onDelivery: OnDelivery): void {
    this.#onDelivery = onDelivery;
  }

  /** The first delivery, past or to come, that is `wanted`. */
  async delivery(wanted: (delivery: Delivery) => boolean = () => true): Promise<Delivery> {
    for (;;) {
      const found = this.deliveries.find(wanted);
      if (found !== undefined) return found;
      await new Promise<void>((done) => this.#waiting.push({ wanted, done }));
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(request: http.IncomingMessage, response: http.ServerResponse): void {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('end', () => {
      this.#answer(request, response, Buffer.concat(parts)).catch((error: unknown) => {
        // A server that was killed right after it sent a webhook cannot be asked for its keys.
        if (!(error instanceof TypeError)) this.refused.push(String(error));
        response.destroy();
      });
    });
  }

  async #answer(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    rawBody: Buffer,
  ): Promise<void> {
    const signature = String(request.headers['webhook-signature']);
    const kid = await this.#check(signature, rawBody);
    const body = JSON.parse(rawBody.toString()) as WakeBody;
    const delivery = { body, rawBody, signature, headers: request.headers, kid };
    this.deliveries.push(delivery);
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.wanted(delivery)) waiting.done();
      else this.#waiting.push(waiting);
    }
    const answer = await this.#onDelivery(delivery);
    if (answer === undefined) {
      response.destroy();
      return;
    }
    response.writeHead(answer.status ?? 200, {
      'content-type': 'application/json',
      ...answer.headers,
    });
    response.end(JSON.stringify(answer.body ?? {}));
  }

  /** The key's id. Throws when a careful receiver would not believe it. */
  async #check(signature: string, rawBody: Buffer): Promise<string> {
    const [, time, kid = '', signed = ''] =
      /^t=(\d+),kid=([\w-]+),ed25519=([\w-]+)$/.exec(signature) ?? [];
    if (time === undefined) throw new Error(`no signature: ${signature}`);
    const age = Math.abs(Date.now() / 1000 - Number(time));
    if (age > REPLAY_WINDOW_SECONDS) throw new Error(`a signature of another time: ${time}`);
    if (!this.#keys.has(kid)) await this.#fetchKeys();
    const jwk = this.#keys.get(kid);
    if (jwk === undefined) throw new Error(`a key that is not published: ${kid}`);
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    const text = Buffer.concat([Buffer.from(`${time}.`), rawBody]);
    if (!verify(null, text, key, Buffer.from(signed, 'base64url'))) {
      throw new Error('the signature does not fit the body');
    }
    return kid;
  }

  async #fetchKeys(): Promise<void> {
    const answer = await fetch(this.#jwksUrl());
    const { keys } = (await answer.json()) as { keys: (JsonWebKey & { kid: string })[] };
    for (const key of keys) this.#keys.set(key.kid, key);
  }
}
