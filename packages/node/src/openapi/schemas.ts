/** Shapes of what the routes take and give, by the names the document knows them under. */
import { LIMITS } from '@holdfast/core';
import type { JsonSchema } from './route-description.ts';

const text: JsonSchema = { type: 'string' };
const flag: JsonSchema = { type: 'boolean' };
const base64: JsonSchema = { type: 'string', contentEncoding: 'base64' };
const time: JsonSchema = { type: 'string', format: 'date-time' };
const count = (minimum: number, description?: string): JsonSchema => ({
  type: 'integer',
  minimum,
  maximum: Number.MAX_SAFE_INTEGER,
  ...(description === undefined ? {} : { description }),
});

function object(
  properties: Readonly<Record<string, JsonSchema>>,
  ...optional: string[]
): JsonSchema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, required, additionalProperties: false };
}

function list(items: JsonSchema, maxItems?: number): JsonSchema {
  return { type: 'array', items, ...(maxItems === undefined ? {} : { maxItems }) };
}

type SchemaName =
  | 'Problem'
  | 'Stores'
  | 'Entries'
  | 'Batch'
  | 'Acks'
  | 'Change'
  | 'Streams'
  | 'Health'
  | 'Document';

export function schemaRef(name: SchemaName): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

const ENTRY = object(
  {
    key: text,
    version: count(1, 'of the newest write'),
    seq: count(1, 'place in the order of creation'),
    bytes: count(0),
    expiresAt: time,
    value: base64,
    text,
  },
  'expiresAt',
  'value',
  'text',
);

const PUT_OPERATION = object(
  {
    type: { const: 'put' },
    key: text,
    value: base64,
    text,
    ifVersion: count(0),
    ifAbsent: flag,
    ttlMs: count(1),
    expiresAt: time,
  },
  ...['value', 'text', 'ifVersion', 'ifAbsent', 'ttlMs', 'expiresAt'],
);

const DELETE_OPERATION = object(
  { type: { const: 'del' }, key: text, ifVersion: count(0) },
  'ifVersion',
);

export const SCHEMAS: Readonly<Record<SchemaName, JsonSchema>> = {
  Problem: {
    type: 'object',
    description: 'RFC 9457. `code` is the stable part: docs/ERRORS.md says what to do.',
    properties: { type: text, title: text, status: count(400), code: text, detail: text },
    required: ['type', 'title', 'status', 'code', 'detail'],
  },
  Stores: object({ stores: list(object({ name: text })), next: text }, 'next'),
  Entries: object({ entries: list(ENTRY, LIMITS.maxPageEntries), next: text }, 'next'),
  Batch: object({ operations: list({ oneOf: [PUT_OPERATION, DELETE_OPERATION] }) }),
  Acks: object({ acks: list(object({ changed: flag, version: count(0) })) }),
  Change: object(
    {
      type: { enum: ['put', 'del', 'expire'] },
      key: text,
      version: count(1),
      value: base64,
      text,
    },
    'value',
    'text',
  ),
  Streams: {
    type: 'object',
    properties: {
      streams: list({ type: 'object', required: ['path', 'contentType'] }),
      next: text,
    },
    required: ['streams'],
  },
  Health: { type: 'object', properties: { status: text }, required: ['status'] },
  Document: { type: 'object', required: ['openapi', 'info', 'paths'] },
};
