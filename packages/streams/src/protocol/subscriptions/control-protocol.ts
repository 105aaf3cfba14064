/**
 * The control routes of the protocol, everything under `__ds` (PROTOCOL 6, 7), over
 * `SubscriptionStore`. Requests become domain values here, once; rules live behind the store.
 *
 * The list of subscriptions (`GET __ds/subscriptions`) and the dead letters are extensions of
 * Holdfast: docs/SUBSCRIPTIONS.md.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { isJsonContentType } from '../../content-type.ts';
import { DEAD_LETTERS_PATH } from '../../subscriptions/dead-letters.ts';
import type {
  SubscriptionInfo,
  SubscriptionStore,
} from '../../subscriptions/subscription-store.ts';
import { collectBody } from '../../http/body.ts';
import { NO_STORE } from '../../http/security-headers.ts';
import { Exchange, type ProtocolContext } from '../exchange.ts';
import { answerOptions } from '../options.ts';
import { refuseCodings } from '../../http/codings.ts';
import { readFields } from '../request-headers.ts';
import { queryStart } from '../stream-path.ts';
import { ClaimGate, requireBearer, type ClaimSettings } from './bearer-token.ts';
import type { ControlEndpoints } from './control-endpoints.ts';
import { sendControlProblem } from './control-problem.ts';
import { parseControlRoute, type ControlRoute } from './control-path.ts';
import { parseListQuery } from './list-query.ts';
import {
  keySetAnswer,
  subscriptionAnswer,
  summaryAnswer,
  wakeAnswer,
  type SigningMetadata,
} from './subscription-answers.ts';
import {
  parseAck,
  parseClaim,
  parseConfig,
  parseLinks,
  parseRelease,
} from './subscription-requests.ts';

export interface SubscriptionAccess {
  readonly store: SubscriptionStore;
  readonly claims: ClaimSettings;
  readonly endpoints: ControlEndpoints;
}

/** What the control routes share with the ones of streams. */
export interface StreamRoutes {
  /** Throws `ORIGIN_NOT_ALLOWED`. */
  admitWrite(exchange: Exchange): void;
  /** Answers GET or HEAD of the stream of the exchange. */
  read(exchange: Exchange): void;
}

const JSON_TYPE: readonly string[] = ['Content-Type', 'application/json'];
const KEY_SET_TYPE: readonly string[] = ['Content-Type', 'application/jwk-set+json'];
const KEY_SET_CACHING: readonly string[] = [
  'Cache-Control',
  `public, max-age=${LIMITS.keySetMaxAgeSeconds}`,
];

const READS = 'GET, HEAD, OPTIONS';
const ACTS = 'POST, OPTIONS';
const METHODS: Readonly<Record<ControlRoute['kind'], string>> = {
  list: READS,
  keys: READS,
  'dead-letters': READS,
  subscription: 'GET, HEAD, PUT, DELETE, OPTIONS',
  links: ACTS,
  link: 'DELETE, OPTIONS',
  callback: ACTS,
  claim: ACTS,
  ack: ACTS,
  release: ACTS,
};

/** An exchange whose errors have the form of the control routes. */
class ControlExchange extends Exchange {
  methods = '';

  override fail(error: unknown): void {
    sendControlProblem(this.context, this.request, this.response, error, this.methods);
  }
}

export class ControlProtocol {
  readonly #context: ProtocolContext;
  readonly #access: SubscriptionAccess;
  readonly #store: SubscriptionStore;
  readonly #streams: StreamRoutes;
  readonly #claims: ClaimGate;

  constructor(context: ProtocolContext, access: SubscriptionAccess, streams: StreamRoutes) {
    this.#context = context;
    this.#access = access;
    this.#store = access.store;
    this.#streams = streams;
    this.#claims = new ClaimGate(access.claims);
  }

  /** Answers a request whose target `isControlTarget`. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    let methods = READS;
    try {
      const target = request.url as string;
      const end = queryStart(target);
      const route = parseControlRoute(target, end, this.#context.settings.basePath);
      methods = METHODS[route.kind];
      const fields = readFields(request.rawHeaders);
      const path = route.kind === 'dead-letters' ? DEAD_LETTERS_PATH : '';
      const exchange = new ControlExchange(this.#context, request, response, fields, path, end);
      exchange.methods = methods;
      this.#dispatch(exchange, route);
    } catch (error) {
      sendControlProblem(this.#context, request, response, error, methods);
    }
  }

  #dispatch(exchange: ControlExchange, route: ControlRoute): void {
    const method = exchange.request.method ?? '';
    if (method === 'OPTIONS') return answerOptions(exchange, exchange.methods);
    if (!exchange.methods.split(', ').includes(method)) {
      throw new HoldfastError('METHOD_NOT_ALLOWED', 'this route has no such method');
    }
    const reads = method === 'GET' || method === 'HEAD';
    if (!reads) this.#streams.admitWrite(exchange);
    switch (route.kind) {
      case 'list':
        return this.#list(exchange);
      case 'keys':
        return this.#sendKeys(exchange);
      case 'dead-letters':
        return this.#streams.read(exchange);
      case 'subscription':
        if (reads) return this.#sendInfo(exchange, 200, this.#store.get(route.id));
        if (method === 'DELETE') return finish(exchange, this.#store.delete(route.id));
        return this.#put(exchange, route.id);
      case 'links':
        return withBody(exchange, (body) =>
          finish(exchange, this.#store.link(route.id, parseLinks(body))),
        );
      case 'link':
        return finish(exchange, this.#store.unlink(route.id, route.path));
      case 'claim':
        return this.#claim(exchange, route.id);
      case 'callback':
      case 'ack':
        return this.#ack(exchange, route.id, route.kind);
      case 'release':
        return this.#release(exchange, route.id);
    }
  }

  #put(exchange: ControlExchange, id: string): void {
    withBody(exchange, (body) => {
      const config = parseConfig(body);
      if (config.type === 'webhook' && this.#access.endpoints.jwksUrl() === undefined) {
        throw new HoldfastError(
          'INVALID_SETTINGS',
          'receivers of webhooks have to know how to reach this node: set publicUrl',
        );
      }
      answer(exchange, this.#store.put(id, config), ({ created, info }) =>
        this.#sendInfo(exchange, created ? 201 : 200, info),
      );
    });
  }

  #list(exchange: ControlExchange): void {
    const request = parseListQuery(exchange.target, exchange.queryStart);
    // One more than asked tells whether a next page exists.
    const found = this.#store.list({ ...request, limit: request.limit + 1 });
    const page = found.slice(0, request.limit);
    const next = found.length > page.length ? page.at(-1)?.id : undefined;
    const signing = this.#signing();
    sendJson(exchange, 200, {
      subscriptions: page.map((info) => summaryAnswer(info, signing)),
      ...(next === undefined ? {} : { next }),
    });
  }

  #claim(exchange: ControlExchange, id: string): void {
    this.#claims.admit(exchange.request.rawHeaders);
    withBody(exchange, (body) => {
      answer(exchange, this.#store.claim(id, parseClaim(body)), (wake) =>
        sendJson(exchange, 200, wakeAnswer(wake)),
      );
    });
  }

  #ack(exchange: ControlExchange, id: string, endpoint: 'callback' | 'ack'): void {
    const token = requireBearer(exchange.request.rawHeaders, 'the token of the wake');
    withBody(exchange, (body) => {
      const type = endpoint === 'callback' ? 'webhook' : 'pull-wake';
      const acked = this.#store.ack({ ...parseAck(body), id, token, type });
      answer(exchange, acked, ({ nextWake }) =>
        sendJson(exchange, 200, { ok: true, next_wake: nextWake }),
      );
    });
  }

  #release(exchange: ControlExchange, id: string): void {
    const token = requireBearer(exchange.request.rawHeaders, 'the token of the claim');
    withBody(exchange, (body) =>
      finish(exchange, this.#store.release({ ...parseRelease(body), id, token })),
    );
  }

  /** A set without keys is kept by nobody: the first key signs as soon as it is there. */
  #sendKeys(exchange: ControlExchange): void {
    const keys = this.#store.publicKeys();
    const caching = keys.length === 0 ? NO_STORE : KEY_SET_CACHING;
    send(exchange, 200, [...KEY_SET_TYPE, ...caching], keySetAnswer(keys), keys.length > 0);
  }

  #sendInfo(exchange: ControlExchange, status: number, info: SubscriptionInfo): void {
    sendJson(exchange, status, subscriptionAnswer(info, this.#signing()));
  }

  #signing(): SigningMetadata | undefined {
    const url = this.#access.endpoints.jwksUrl();
    const key = this.#store.publicKeys().find(({ signs }) => signs);
    if (url === undefined || key === undefined) return undefined;
    return { alg: 'ed25519', kid: key.kid, jwks_url: url };
  }
}

function withBody(exchange: ControlExchange, use: (body: Buffer) => void): void {
  const { fields } = exchange;
  refuseCodings(fields);
  if (fields.contentType === undefined || !isJsonContentType(fields.contentType)) {
    throw new HoldfastError('INVALID_HEADER', 'content-type is not application/json');
  }
  collectBody(exchange, use, LIMITS.maxControlBodyBytes);
}

function answer<T>(exchange: ControlExchange, work: Promise<T>, send: (result: T) => void): void {
  work.then(send).catch((error: unknown) => exchange.fail(error));
}

/** Of what has nothing to say. */
function finish(exchange: ControlExchange, work: Promise<void>): void {
  answer(exchange, work, () => exchange.reply(204, [...NO_STORE]));
}

function sendJson(exchange: ControlExchange, status: number, value: unknown): void {
  send(exchange, status, [...JSON_TYPE, ...NO_STORE], value, false);
}

function send(
  exchange: ControlExchange,
  status: number,
  headers: readonly string[],
  value: unknown,
  cacheable: boolean,
): void {
  const body = Buffer.from(JSON.stringify(value));
  const all = exchange.complete([...headers, 'Content-Length', String(body.length)], cacheable);
  const { response, request, context } = exchange;
  response.writeHead(status, all);
  response.end(request.method === 'HEAD' ? undefined : body);
  // A subscription may have very many links: what nobody takes is bounded here too.
  context.memory.holdUnsent(response, [body]);
}
