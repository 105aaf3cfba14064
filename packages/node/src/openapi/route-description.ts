/**
 * What a route says of itself: the router goes by its method and path, the OpenAPI document by all of
 * it. A route that is served is described, and the other way round, because they are one.
 */
import type { ErrorCode } from '@holdfast/core';

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export interface ParameterDescription {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly required?: true;
  readonly schema: JsonSchema;
}

export interface BodyDescription {
  readonly contentType: string;
  readonly description: string;
  readonly schema: JsonSchema;
}

export interface AnswerDescription {
  readonly description: string;
  /** Names of headers, and what they say. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Schemas by content type; none: no body. */
  readonly content?: Readonly<Record<string, JsonSchema>>;
}

export type RouteMethod = 'GET' | 'PUT' | 'POST' | 'DELETE';

export interface RouteDescription {
  readonly id: string;
  readonly method: RouteMethod;
  /** Like `/v1/kv/{store}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly ParameterDescription[];
  readonly body?: BodyDescription;
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** Headers of its problems, and what they say. */
  readonly problemHeaders?: Readonly<Record<string, string>>;
  /** Beside those that every route may give. */
  readonly errors: readonly ErrorCode[];
}

/** `Allow` of what stands at one path. */
export function allowOf(methods: Iterable<RouteMethod>): string {
  const all = new Set<string>();
  for (const method of methods) {
    all.add(method);
    if (method === 'GET') all.add('HEAD');
  }
  all.add('OPTIONS');
  return [...all].join(', ');
}
