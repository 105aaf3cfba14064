/** The OpenAPI 3.1 document of this node, made of the tables that its routers go by. */
import { ERROR_CODES, type ErrorCode, HoldfastError } from '@holdfast/core';
import { statusOf } from '@holdfast/streams';
import type {
  AnswerDescription,
  JsonSchema,
  ParameterDescription,
  RouteDescription,
} from './route-description.ts';
import { schemaRef, SCHEMAS } from './schemas.ts';

/** Of any route: the head of the request, who sends it, and what may happen to a node. */
const EVERYWHERE: readonly ErrorCode[] = [
  'INVALID_HEADER',
  'INVALID_PATH',
  'INVALID_QUERY',
  'HOST_NOT_ALLOWED',
  'METHOD_NOT_ALLOWED',
  'REQUEST_TIMEOUT',
  'URL_TOO_LONG',
  'UNSUPPORTED_ENCODING',
  'EXPECTATION_FAILED',
  'RATE_LIMITED',
  'CLIENT_QUOTA_EXCEEDED',
  'HEADERS_TOO_LARGE',
  'INTERNAL_ERROR',
  'DRAINING',
];

const PROBLEM_HEADERS = {
  'Retry-After': 'Seconds to wait; with 429, 503 and 507.',
  Allow: 'Methods of this path; with 405.',
};

/** Of the routes, not of the node: whoever can reach it learns no versions. */
const API_VERSION = '1.0.0';

type Document = Record<string, unknown>;

export function openApiDocument(routes: readonly RouteDescription[]): Document {
  const paths: Record<string, Record<string, Document>> = {};
  for (const route of routes) {
    const operations = (paths[route.path] ??= {});
    const method = route.method.toLowerCase();
    const before = operations[method];
    const operation = operationOf(route);
    operations[method] = before === undefined ? operation : merged(before, operation);
  }
  for (const operations of Object.values(paths)) {
    const { get } = operations;
    if (get !== undefined) operations['head'] = headOf(get);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version: API_VERSION,
      description:
        'Key-value stores and the health of a Holdfast node. Streams are served by the Durable ' +
        'Streams protocol, which has a description of its own. Every path also answers OPTIONS.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: { schemas: SCHEMAS },
  };
}

function operationOf(route: RouteDescription): Document {
  const { id, summary, description, parameters = [], body, answers, errors } = route;
  const responses: Record<string, Document> = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = responseOf(answer);
  const byStatus = new Map<string, ErrorCode[]>();
  for (const code of [...EVERYWHERE, ...errors]) {
    const status = String(statusOf(new HoldfastError(code, '')));
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, codes] of byStatus) {
    const problems = problemsOf(codes, route.problemHeaders);
    const own = responses[status];
    responses[status] = own === undefined ? problems : mergedResponse(own, problems);
  }
  return {
    operationId: id,
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(parameterOf) }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            description: body.description,
            required: true,
            content: { [body.contentType]: { schema: body.schema } },
          },
        }),
    responses,
  };
}

/** What has no default is in the path; nothing in a path is optional. */
function parameterOf(parameter: ParameterDescription): Document {
  const { name, in: place, description, required = false, schema } = parameter;
  return { name, in: place, description, required: place === 'path' || required, schema };
}

function responseOf({ description, headers = {}, content = {} }: AnswerDescription): Document {
  return {
    description,
    headers: headersOf(headers),
    ...(Object.keys(content).length === 0
      ? {}
      : {
          content: Object.fromEntries(
            Object.entries(content).map(([type, schema]) => [type, { schema }]),
          ),
        }),
  };
}

function problemsOf(
  codes: readonly ErrorCode[],
  headers: Readonly<Record<string, string>> = {},
): Document {
  const shown = codes.map((code) => `\`${code}\` (${ERROR_CODES[code]})`);
  return {
    description: `One of ${shown.join(', ')}.`,
    headers: headersOf({ ...PROBLEM_HEADERS, ...headers }),
    content: { 'application/problem+json': { schema: schemaRef('Problem') } },
  };
}

function headersOf(headers: Readonly<Record<string, string>>): Document {
  const text: JsonSchema = { type: 'string' };
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: text }]),
  );
}

/** Two routes at one path, told apart by the query: one operation for those who read this. */
function merged(first: Document, second: Document): Document {
  const parameters = new Map<string, Document>();
  for (const one of [...listOf(first), ...listOf(second)]) {
    const name = `${String(one['in'])} ${String(one['name'])}`;
    // Of both or of one alone: what only one of them needs is optional here.
    const inBoth = [first, second].every((each) =>
      listOf(each).some((other) => other['in'] === one['in'] && other['name'] === one['name']),
    );
    parameters.set(name, inBoth ? one : { ...one, required: false });
  }
  const responses = { ...(first['responses'] as Record<string, Document>) };
  for (const [status, response] of Object.entries(second['responses'] as typeof responses)) {
    const before = responses[status];
    responses[status] = before === undefined ? response : mergedResponse(before, response);
  }
  return {
    ...first,
    summary: `${String(first['summary'])}; or: ${String(second['summary'])}`,
    description: [first['description'], second['description']].filter(Boolean).join('\n\n'),
    parameters: [...parameters.values()],
    responses,
  };
}

function mergedResponse(first: Document, second: Document): Document {
  const both = (member: string): Document => ({
    ...(first[member] as Document | undefined),
    ...(second[member] as Document | undefined),
  });
  const descriptions = new Set([String(first['description']), String(second['description'])]);
  const content = both('content');
  return {
    description: [...descriptions].join(' Or: '),
    headers: both('headers'),
    ...(Object.keys(content).length === 0 ? {} : { content }),
  };
}

function listOf(operation: Document): Document[] {
  return (operation['parameters'] as Document[] | undefined) ?? [];
}

function headOf(get: Document): Document {
  const responses: Record<string, Document> = {};
  for (const [status, response] of Object.entries(get['responses'] as Record<string, Document>)) {
    const { content: _, ...rest } = response;
    responses[status] = rest;
  }
  const operationId = `${String(get['operationId'])}Head`;
  return { ...get, operationId, summary: `Head of: ${String(get['summary'])}`, responses };
}
