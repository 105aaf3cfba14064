/**
 * From a request below `/v1/admin/` to its route and to an answer.
 *
 * Invariants
 * 1. Who may not administer learns nothing: neither which routes there are nor what they hold.
 * 2. Nothing is begun before the whole request was understood.
 * 3. At most `maxAdminRequests` are under way: each may be long work.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, HoldfastError, LIMITS } from '@holdfast/core';
import {
  answerLines,
  answerWork,
  clientGone,
  refuseAdministration,
  sendJson,
} from './admin-answer.ts';
import { AdminBody, readExport } from './admin-body.ts';
import { admitAdministration } from './admin-guard.ts';
import type { AdminHost } from './admin-host.ts';
import type { AdminCall, AdminRoute } from './admin-route.ts';
import { ADMIN_ROUTES } from './admin-routes.ts';

export const ADMIN_PATH = '/v1/admin/';

interface FoundRoute {
  readonly route: AdminRoute;
  readonly id: string;
}

export class AdminRouter {
  readonly #administration: AdminHost;
  readonly #clock: Clock;
  #underWay = 0;

  constructor(administration: AdminHost, components: { readonly clock: Clock }) {
    this.#administration = administration;
    this.#clock = components.clock;
  }

  /** @param target path and query, below `ADMIN_PATH`. Answers; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse, target: string): Promise<void> {
    this.#underWay++;
    try {
      admitAdministration(request); // I1
      if (this.#underWay > LIMITS.maxAdminRequests) throw tooMany(); // I3
      const { route, id } = find(request, response, target);
      const { body, bytes } = await received(request, route); // I2
      const call = { administration: this.#administration, id, body, bytes };
      if ('lines' in route) {
        const signal = clientGone(response);
        await answerLines(response, route.lines({ ...call, ...unattended(response), signal }));
      } else if (route.long === true) {
        await answerWork(request, response, this.#clock, (work) => route.run({ ...call, ...work }));
      } else {
        const answer = await route.run({ ...call, ...unattended(response) });
        if (!response.destroyed) sendJson(request, response, route.status ?? 200, answer);
      }
    } catch (error) {
      refuseAdministration(request, response, error, this.#clock);
    } finally {
      request.resume(); // what nobody reads any more must not stop the connection
      this.#underWay--;
    }
  }
}

/** I2. A body that is read on and on is understood as it comes. */
async function received(
  request: IncomingMessage,
  route: AdminRoute,
): Promise<Pick<AdminCall, 'body' | 'bytes'>> {
  if (!('takes' in route)) {
    return { body: await AdminBody.read(request, route.body ?? {}), bytes: noBytes() };
  }
  return { body: AdminBody.none(), bytes: readExport(request) };
}

async function* noBytes(): AsyncGenerator<never, void, undefined> {
  // There are none.
}

function tooMany(): HoldfastError {
  return new HoldfastError(
    'CLIENT_QUOTA_EXCEEDED',
    `too many requests of administration are under way limit=${LIMITS.maxAdminRequests}`,
  );
}

function find(request: IncomingMessage, response: ServerResponse, target: string): FoundRoute {
  const [path = '', ...query] = target.split('?');
  if (query.length > 0) throw new HoldfastError('INVALID_QUERY', 'this route takes no query');
  const segments = path.split('/').map(decoded);
  const there = ADMIN_ROUTES.filter((route) => matches(route, segments));
  // A name of a route is no id: POST of `snapshots/prune` is there, GET of it is not.
  const named = there.filter(({ path: own }) => !own.includes('*'));
  const routes = named.length > 0 ? named : there;
  if (routes.length === 0) throw new HoldfastError('ROUTE_NOT_FOUND', 'nothing is served here');
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = routes.find((one) => one.method === method);
  if (route === undefined) {
    const methods = routes.map((one) => one.method);
    const heads = methods.includes('GET') ? ['HEAD'] : [];
    response.setHeader('Allow', [...methods, ...heads].join(', '));
    throw new HoldfastError('METHOD_NOT_ALLOWED', 'this route has no such method');
  }
  return { route, id: segments[route.path.indexOf('*')] ?? '' };
}

function matches({ path }: AdminRoute, segments: readonly string[]): boolean {
  return (
    path.length === segments.length &&
    path.every((own, at) => (own === '*' ? segments[at] !== '' : own === segments[at]))
  );
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new HoldfastError('INVALID_PATH', 'the path is not encoded as a URL');
  }
}

/** Quick work is not reported on; it still ends with its client. */
function unattended(response: ServerResponse): Pick<AdminCall, 'signal' | 'onProgress'> {
  return { signal: clientGone(response), onProgress: () => undefined };
}
