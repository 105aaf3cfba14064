/** The routes of key-value stores: what is served, and what OpenAPI says of it. */
import type { ErrorCode } from '@holdfast/core';
import { LIMITS } from '@holdfast/core';
import {
  allowOf,
  type AnswerDescription,
  type JsonSchema,
  type ParameterDescription,
  type RouteDescription,
} from '../../openapi/route-description.ts';
import { schemaRef } from '../../openapi/schemas.ts';
import { deleteEntry, getEntry, putEntry } from './entry-routes.ts';
import type { KvExchange } from './kv-exchange.ts';
import { KV_HEADERS } from './kv-headers.ts';
import { KV_PATH, type KvTarget } from './kv-target.ts';
import type { KvWatches } from './kv-watches.ts';
import { listEntries, listStores } from './list-routes.ts';
import { VALUE_FORMS } from './shown-value.ts';
import { batchEntries, clearStore } from './store-routes.ts';

export interface KvRoute extends RouteDescription {
  readonly target: KvTarget['kind'];
  /** Names its query may have. */
  readonly query: readonly string[];
  /** Of several at one path and method: whether it is this one. The last one has none. */
  readonly takes?: (exchange: KvExchange) => boolean;
  readonly run: (exchange: KvExchange, watches: KvWatches) => void;
}

const STORE_PATH = `${KV_PATH}/{store}`;
const ENTRY_PATH = `${KV_PATH}/{store}/{key}`;

const text: JsonSchema = { type: 'string' };
const count: JsonSchema = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const bytes: JsonSchema = { type: 'string', format: 'binary' };

function parameter(
  place: ParameterDescription['in'],
  name: string,
  description: string,
  schema: JsonSchema = text,
): ParameterDescription {
  return { in: place, name, description, schema };
}

const STORE = parameter('path', 'store', 'Name of a store.', {
  type: 'string',
  pattern: '^[A-Za-z0-9.-][A-Za-z0-9_.-]*$',
  maxLength: LIMITS.maxStoreNameBytes,
});
const KEY = parameter(
  'path',
  'key',
  'Any text, encoded; slashes may stay. One with a segment `.` or `..` is given as `?key=` of the store.',
);
const KEY_QUERY = parameter('query', 'key', 'Instead of the key in the path: any text.');
const PREFIX = parameter('query', 'prefix', 'Only keys that begin with this.');
const VALUES = parameter('query', 'values', 'How values are shown.', { enum: VALUE_FORMS });
const IF_MATCH = parameter(
  'header',
  'If-Match',
  'Versions one of which the entry must have; or `*`.',
);
const IF_NONE_MATCH = parameter('header', 'If-None-Match', '`*`: only when there is no entry.');

const ENTRY_HEADERS = {
  ETag: 'The version, in quotes.',
  [KV_HEADERS.version]: 'The version.',
};
const WHOLE_ENTRY_HEADERS = {
  ...ENTRY_HEADERS,
  [KV_HEADERS.seq]: 'Place in the order of creation.',
  [KV_HEADERS.expiresAt]: 'When it ends, if it does; RFC 3339.',
  [KV_HEADERS.stale]: '`true`: from a backup, because the store itself does not answer.',
};

/** With 412: of the entry that is there. */
const problemHeaders = ENTRY_HEADERS;

const json = (description: string, schema: JsonSchema): AnswerDescription => ({
  description,
  content: { 'application/json': schema },
});

const READ_ERRORS: readonly ErrorCode[] = [
  'INVALID_ENTRY_KEY',
  'QUOTA_EXCEEDED',
  'KV_UNSUPPORTED',
  'TIER_MISMATCH',
  'TIER_RULES_CHANGED',
  'FENCED',
  'DRIVER_MISSING',
  'CHECKSUM_MISMATCH',
  'STORAGE_UNAVAILABLE',
  'CLOSED',
];
const WRITE_ERRORS: readonly ErrorCode[] = [
  ...READ_ERRORS,
  'ORIGIN_NOT_ALLOWED',
  'RECORD_TOO_LARGE',
  'COMMIT_QUEUE_FULL',
  'PARTIAL_WRITE',
  'LAG_LIMIT',
  'NODE_FAILED',
  'DISK_FULL',
];
const BODY_ERRORS: readonly ErrorCode[] = [...WRITE_ERRORS, 'BODY_TOO_LARGE', 'BODY_MEMORY_FULL'];

const GET_ENTRY: KvRoute = {
  id: 'getEntry',
  problemHeaders,
  method: 'GET',
  path: ENTRY_PATH,
  target: 'entry',
  query: ['key'],
  summary: 'the value of an entry',
  parameters: [
    STORE,
    KEY,
    parameter('header', 'If-None-Match', 'Versions of which nothing new is to be sent.'),
    parameter('header', 'If-Match', 'Versions that are wanted.'),
  ],
  answers: {
    200: {
      description: 'The bytes, for no browser to run.',
      headers: { ...WHOLE_ENTRY_HEADERS, 'Content-Disposition': 'Always `attachment`.' },
      content: { 'application/octet-stream': bytes },
    },
    304: { description: 'It has one of these versions.', headers: WHOLE_ENTRY_HEADERS },
  },
  errors: [...READ_ERRORS, 'RESPONSE_MEMORY_FULL', 'ENTRY_NOT_FOUND', 'PRECONDITION_FAILED'],
  run: getEntry,
};

const PUT_ENTRY: KvRoute = {
  id: 'putEntry',
  problemHeaders,
  method: 'PUT',
  path: ENTRY_PATH,
  target: 'entry',
  query: ['key'],
  summary: 'put a value: the body as it is',
  parameters: [
    STORE,
    KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    parameter('header', KV_HEADERS.ttlMs, 'Milliseconds until it ends; without: never.', count),
    parameter('header', KV_HEADERS.expiresAt, 'Instead: when it ends; RFC 3339.'),
  ],
  body: {
    contentType: 'application/octet-stream',
    description: 'The value; any content type is taken for bytes.',
    schema: bytes,
  },
  answers: {
    201: { description: 'Put where none was: with `If-None-Match: *`.', headers: ENTRY_HEADERS },
    204: { description: 'Put.', headers: ENTRY_HEADERS },
  },
  errors: [...BODY_ERRORS, 'PRECONDITION_FAILED', 'INVALID_TTL'],
  run: putEntry,
};

const DELETE_ENTRY: KvRoute = {
  id: 'deleteEntry',
  problemHeaders,
  method: 'DELETE',
  path: ENTRY_PATH,
  target: 'entry',
  query: ['key'],
  summary: 'delete an entry',
  parameters: [STORE, KEY, IF_MATCH],
  answers: {
    204: {
      description: 'It is not there any more, or was not.',
      headers: { [KV_HEADERS.changed]: '`false`: there was none.' },
    },
  },
  errors: [...WRITE_ERRORS, 'PRECONDITION_FAILED'],
  run: deleteEntry,
};

/** The same route where the key is in the query. */
function byQuery(route: KvRoute, id: string): KvRoute {
  const parameters = (route.parameters ?? []).map((one) =>
    one === KEY ? { ...KEY_QUERY, required: true as const } : one,
  );
  return { ...route, id, path: STORE_PATH, parameters };
}

/** Those at one target and method are asked in this order. */
export const KV_ROUTES: readonly KvRoute[] = [
  {
    id: 'listStores',
    method: 'GET',
    path: KV_PATH,
    target: 'stores',
    query: ['after', 'limit'],
    summary: 'stores that hold an entry, shorter names first',
    parameters: [
      parameter('query', 'after', 'Only those behind this name.'),
      parameter('query', 'limit', `1 to ${LIMITS.maxListedStores}; default 100.`, count),
    ],
    answers: { 200: json('A page; `next` is the `after` of the next one.', schemaRef('Stores')) },
    errors: READ_ERRORS,
    run: listStores,
  },
  {
    id: 'watchStore',
    method: 'GET',
    path: STORE_PATH,
    target: 'store',
    query: ['watch', 'since', 'prefix', 'values'],
    takes: ({ target, fields }) =>
      target.query.has('watch') || fields.accept?.includes('text/event-stream') === true,
    summary: 'watch: changes of a store as server-sent events',
    description:
      'With `watch` or `Accept: text/event-stream`. The first event is `ready` with `since`, then ' +
      'come `change` events; `trimmed` and `end` are the last ones, with a `code`. The id of an ' +
      'event is the number to resume behind.',
    parameters: [
      STORE,
      parameter('query', 'watch', 'Empty, or `sse`.', { enum: ['', 'sse'] }),
      parameter('query', 'since', 'Behind this change; default: from now on.', count),
      PREFIX,
      VALUES,
      parameter('header', 'Last-Event-ID', 'Instead of `since`, and before it.'),
    ],
    answers: {
      200: {
        description: `Events; the data of \`change\` is a \`Change\`.`,
        content: { 'text/event-stream': text },
      },
    },
    errors: [...READ_ERRORS, 'CHANGES_TRIMMED', 'TOO_MANY_READERS'],
    run: (exchange, watches) => watches.open(exchange),
  },
  {
    id: 'listEntries',
    method: 'GET',
    path: STORE_PATH,
    target: 'store',
    query: ['prefix', 'limit', 'order', 'reverse', 'token', 'values'],
    summary: 'entries of a store, by page',
    parameters: [
      STORE,
      PREFIX,
      parameter('query', 'limit', `1 to ${LIMITS.maxPageEntries}; default 50.`, count),
      parameter('query', 'order', '`key` from the lowest, `created` from the newest.', {
        enum: ['key', 'created'],
      }),
      parameter('query', 'reverse', 'The other way round.', { enum: ['', 'true', 'false'] }),
      parameter('query', 'token', '`next` of the page before, with the same order and prefix.'),
      VALUES,
    ],
    answers: {
      200: json(
        'A page; shorter than `limit` where values are large. Without `next` it is the last.',
        schemaRef('Entries'),
      ),
    },
    errors: [...READ_ERRORS, 'RESPONSE_MEMORY_FULL', 'INVALID_PAGE_TOKEN'],
    run: listEntries,
  },
  byQuery(GET_ENTRY, 'getEntryByQuery'),
  byQuery(PUT_ENTRY, 'putEntryByQuery'),
  {
    id: 'batch',
    method: 'POST',
    path: STORE_PATH,
    target: 'store',
    query: [],
    summary: 'several operations, all or none',
    parameters: [STORE],
    body: {
      contentType: 'application/json',
      description: 'Operations in their order; each condition sees those before it.',
      schema: schemaRef('Batch'),
    },
    answers: { 200: json('One acknowledgement for each.', schemaRef('Acks')) },
    errors: [...BODY_ERRORS, 'PRECONDITION_FAILED', 'INVALID_JSON', 'INVALID_TTL'],
    run: batchEntries,
  },
  {
    id: 'clearStore',
    method: 'DELETE',
    path: STORE_PATH,
    target: 'store',
    query: ['prefix', 'all'],
    summary: 'delete all entries, or those below a prefix; by and by',
    parameters: [STORE, PREFIX, parameter('query', 'all', '`true`: all entries.')],
    answers: { 204: { description: 'What was there when it began is deleted.' } },
    errors: WRITE_ERRORS,
    run: clearStore,
  },
  byQuery(DELETE_ENTRY, 'deleteEntryByQuery'),
  GET_ENTRY,
  PUT_ENTRY,
  DELETE_ENTRY,
];

type RoutesByMethod = ReadonlyMap<string, readonly KvRoute[]>;

const BY_TARGET: Readonly<Record<KvTarget['kind'], RoutesByMethod>> = {
  stores: routesOf('stores'),
  store: routesOf('store'),
  entry: routesOf('entry'),
};
const METHODS: Readonly<Record<KvTarget['kind'], string>> = {
  stores: allowOf(KV_ROUTES.filter(({ path }) => path === KV_PATH).map(({ method }) => method)),
  store: allowOf(KV_ROUTES.filter(({ path }) => path === STORE_PATH).map(({ method }) => method)),
  entry: allowOf(KV_ROUTES.filter(({ path }) => path === ENTRY_PATH).map(({ method }) => method)),
};

function routesOf(target: KvTarget['kind']): RoutesByMethod {
  const routes = new Map<string, KvRoute[]>();
  for (const route of KV_ROUTES) {
    if (route.target !== target) continue;
    const sameMethod = routes.get(route.method);
    if (sameMethod === undefined) routes.set(route.method, [route]);
    else sameMethod.push(route);
    if (route.method === 'GET') routes.set('HEAD', routes.get('GET') as KvRoute[]);
  }
  return routes;
}

export function findRoute(exchange: KvExchange): KvRoute | undefined {
  const routes = BY_TARGET[exchange.target.kind].get(exchange.request.method ?? '');
  if (routes === undefined) return undefined;
  for (const route of routes) if (route.takes === undefined || route.takes(exchange)) return route;
  return undefined;
}

export function methodsOf(target: KvTarget['kind']): string {
  return METHODS[target];
}
