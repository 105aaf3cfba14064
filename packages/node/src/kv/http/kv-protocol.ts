/**
 * Key-value stores over `node:http`: everything under `/v1/kv`. Requests become values here, once;
 * rules live behind `KvStore`. Which routes there are says `KV_ROUTES`, and nothing else does.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HoldfastError } from '@holdfast/core';
import { failKv, type KvContext, KvExchange } from './kv-exchange.ts';
import { KV_ALLOWED_HEADERS, readKvFields } from './kv-headers.ts';
import { findRoute, methodsOf } from './kv-routes.ts';
import { parseKvTarget } from './kv-target.ts';
import { KvWatches } from './kv-watches.ts';
import { ReadGates } from './read-gates.ts';

/** How long a browser may remember the answer to a preflight. */
const PREFLIGHT_SECONDS = '600';

export class KvProtocol {
  readonly #context: KvContext;
  readonly #watches: KvWatches;

  constructor(components: Omit<KvContext, 'reads'>) {
    this.#context = { ...components, reads: new ReadGates() };
    this.#watches = new KvWatches(this.#context);
  }

  /** Watches under way. */
  get watches(): number {
    return this.#watches.count;
  }

  /** Answers a request for which `isKvTarget` holds, now or later. Never throws. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    try {
      const target = parseKvTarget(request.url as string);
      const fields = readKvFields(request.rawHeaders);
      this.#dispatch(new KvExchange(this.#context, request, response, fields, target));
    } catch (error) {
      failKv(this.#context, request, response, error);
    }
  }

  /** Watches end with an event that says so; no live reader comes in any more. */
  drain(): void {
    this.#context.live.drain();
    this.#watches.drain();
  }

  #dispatch(exchange: KvExchange): void {
    const { request, response, target, fields } = exchange;
    if (request.method === 'OPTIONS') {
      answerOptions(exchange);
      return;
    }
    const route = findRoute(exchange);
    if (route === undefined) {
      response.setHeader('Allow', methodsOf(target.kind));
      throw new HoldfastError('METHOD_NOT_ALLOWED', 'there is no such method here');
    }
    target.query.assertKnown(route.query);
    if (route.method !== 'GET') {
      this.#context.crossOrigin.admitWrite(fields.origin, fields.host, fields.fetchSite);
    }
    route.run(exchange, this.#watches);
  }
}

function answerOptions(exchange: KvExchange): void {
  const methods = methodsOf(exchange.target.kind);
  exchange.reply(204, [
    'Allow',
    methods,
    'Access-Control-Allow-Methods',
    methods,
    'Access-Control-Allow-Headers',
    KV_ALLOWED_HEADERS,
    'Access-Control-Max-Age',
    PREFLIGHT_SECONDS,
  ]);
}
