/** What a node answers about itself, beside streams, stores and administration: reads, all of them. */
import { LIMITS } from '@holdfast/core';
import type { StreamStore } from '@holdfast/streams';
import type { Health } from './health.ts';
import { KV_ROUTES } from './kv/http/kv-routes.ts';
import { openApiDocument } from './openapi/openapi-document.ts';
import type {
  AnswerDescription,
  JsonSchema,
  RouteDescription,
} from './openapi/route-description.ts';
import { schemaRef } from './openapi/schemas.ts';
import type { OwnAnswer } from './own-answer.ts';
import { listStreams, STREAM_LIST_PATH } from './stream-list-route.ts';

export interface OwnCall {
  readonly query: string;
  readonly host: string;
  readonly basePath: string;
  readonly health: Health;
  readonly store: StreamStore;
}

export interface OwnRoute extends RouteDescription {
  /** Answered wherever streams live, and while draining. */
  readonly isHealth?: true;
  readonly answer: (call: OwnCall) => OwnAnswer;
}

const ABOUT = `This is a Holdfast storage node.

Streams live under BASE
  create  curl -X PUT  -H 'Content-Type: application/json' HOST/BASEchat/1
  append  curl -X POST -H 'Content-Type: application/json' -d '{"hi":1}' HOST/BASEchat/1
  read    curl HOST/BASEchat/1
Key-value stores live under /v1/kv/
  put     curl -X PUT -d hello HOST//v1/kv/settings/greeting
  get     curl HOST//v1/kv/settings/greeting
Health: /livez /readyz   Routes: /openapi.json
`;
const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';

const text: JsonSchema = { type: 'string' };
const count: JsonSchema = { type: 'integer', minimum: 1, maximum: LIMITS.maxListedStreams };

const jsonOf = (description: string, schema: JsonSchema): AnswerDescription => ({
  description,
  content: { [JSON_TYPE]: schema },
});

function sent(value: object, status = 200): OwnAnswer {
  return { status, contentType: JSON_TYPE, body: JSON.stringify(value) };
}

export const OWN_ROUTES: readonly OwnRoute[] = [
  {
    id: 'about',
    method: 'GET',
    path: '/',
    summary: 'what this is, and first commands',
    answers: { 200: { description: 'Text.', content: { 'text/plain': text } } },
    errors: [],
    answer: ({ host, basePath }) => {
      const at = `http://${host}`;
      const body = ABOUT.replaceAll('HOST//', () => `${at}/`)
        .replaceAll('HOST/BASE', () => at + basePath)
        .replace('BASE', () => basePath);
      return { status: 200, contentType: TEXT_TYPE, body };
    },
  },
  {
    id: 'livez',
    method: 'GET',
    path: '/livez',
    isHealth: true,
    summary: 'the process answers',
    answers: { 200: jsonOf('Alive.', schemaRef('Health')) },
    errors: [],
    answer: () => sent({ status: 'alive' }),
  },
  {
    id: 'readyz',
    method: 'GET',
    path: '/readyz',
    isHealth: true,
    summary: 'it may be sent work',
    parameters: [
      { in: 'query', name: 'verbose', description: 'With what was looked at.', schema: text },
    ],
    answers: { 200: jsonOf('Ready.', schemaRef('Health')), 503: notReady() },
    errors: [],
    answer: ({ health, query }) => {
      const report = health.report();
      const shown = new URLSearchParams(query).has('verbose') ? report : { status: report.status };
      if (health.ready) return sent(shown);
      return { ...sent(shown, 503), headers: ['Retry-After', String(LIMITS.retryAfterSeconds)] };
    },
  },
  {
    id: 'listStreams',
    method: 'GET',
    path: STREAM_LIST_PATH,
    summary: 'streams by path, by page',
    parameters: [
      { in: 'query', name: 'prefix', description: 'Only paths that begin so.', schema: text },
      { in: 'query', name: 'after', description: 'Only those behind this path.', schema: text },
      { in: 'query', name: 'limit', description: 'Default 100.', schema: count },
    ],
    answers: { 200: jsonOf('A page; `next` is the next `after`.', schemaRef('Streams')) },
    errors: [],
    answer: ({ store, query }) => sent(listStreams(store, query)),
  },
  {
    id: 'openapi',
    method: 'GET',
    path: '/openapi.json',
    summary: 'this document',
    answers: { 200: jsonOf('OpenAPI 3.1.', schemaRef('Document')) },
    errors: [],
    answer: () => ({ status: 200, contentType: JSON_TYPE, body: documentText() }),
  },
];

function notReady(): AnswerDescription {
  return {
    description: 'Draining, closed, or its storage failed.',
    headers: { 'Retry-After': 'Seconds.' },
    content: { [JSON_TYPE]: schemaRef('Health') },
  };
}

let shown: string | undefined;

function documentText(): string {
  shown ??= JSON.stringify(openApiDocument([...OWN_ROUTES, ...KV_ROUTES]));
  return shown;
}
