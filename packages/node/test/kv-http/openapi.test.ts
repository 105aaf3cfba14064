import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { KV_ROUTES } from '../../src/kv/http/kv-routes.ts';
import { OWN_ROUTES } from '../../src/own-routes.ts';
import { openApiDocument } from '../../src/openapi/openapi-document.ts';

const document = openApiDocument([...OWN_ROUTES, ...KV_ROUTES]);
const paths = document['paths'] as Record<string, Record<string, { operationId: string }>>;

describe('the OpenAPI document', () => {
  it('is one, by a validator of others', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect([valid, errors]).toEqual([true, undefined]);
  });

  it('has every route, names each operation once, and refers to schemas that are there', () => {
    for (const { method, path } of [...OWN_ROUTES, ...KV_ROUTES]) {
      expect(paths[path]?.[method.toLowerCase()], `${method} ${path}`).toBeDefined();
    }
    const ids = Object.values(paths).flatMap((operations) =>
      Object.values(operations).map(({ operationId }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
    const { schemas } = document['components'] as { schemas: object };
    for (const [, name = ''] of JSON.stringify(document).matchAll(
      /#\/components\/schemas\/(\w+)/g,
    )) {
      expect(schemas).toHaveProperty(name);
    }
  });

  it('says nothing of the node that serves it', () => {
    expect(document['info']).toMatchObject({ version: '1.0.0' });
  });
});
