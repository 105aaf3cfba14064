/**
 * Looks at every answer that a test gets and compares it with the OpenAPI document of the node that
 * gave it: the operation, the status, the content type, the headers and the body.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { type HttpResponse, request, type RequestOptions } from '../http-request.ts';

interface Described {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, unknown>>;
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Described>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** On every answer, or of the connection: not described one by one. */
const EVERYWHERE = new Set([
  'access-control-allow-origin',
  'access-control-expose-headers',
  'cache-control',
  'connection',
  'content-length',
  'content-security-policy',
  'content-type',
  'cross-origin-resource-policy',
  'date',
  'keep-alive',
  'transfer-encoding',
  'vary',
  'x-accel-buffering',
  'x-content-type-options',
  'accept-encoding',
]);

export class ApiWitness {
  readonly #base: string;
  readonly #document: Document;
  readonly #ajv: Ajv2020;
  readonly #validators = new Map<string, ValidateFunction>();
  /** `operationId status` of everything seen. */
  readonly seen = new Set<string>();

  private constructor(base: string, document: Document) {
    this.#base = base;
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false });
    this.#ajv.addSchema(document, 'api');
  }

  static async of(base: string): Promise<ApiWitness> {
    const { text } = await request('GET', `${base}/openapi.json`);
    return new ApiWitness(base, JSON.parse(text) as Document);
  }

  /** @param target path and query, as they are sent. */
  async request(method: string, target: string, options?: RequestOptions): Promise<HttpResponse> {
    const response = await request(method, this.#base + target, options);
    this.check(method, target, response);
    return response;
  }

  check(method: string, target: string, response: Omit<HttpResponse, 'nextOffset'>): void {
    const { status } = response;
    if (method === 'OPTIONS') return;
    const [path = ''] = target.split('?');
    const found = this.#find(path);
    const operation = found?.operations[method.toLowerCase()];
    const where = `${method} ${target}: ${status}`;
    if (operation === undefined) {
      if (status !== 405 && status !== 404 && status !== 400 && status !== 414) {
        throw new Error(`${where} is of no operation that is described`);
      }
      return;
    }
    const described = operation.responses[String(status)];
    if (described === undefined) throw new Error(`${where} is not described: ${response.text}`);
    this.seen.add(`${operation.operationId} ${status}`);
    this.#checkHeaders(where, described, response);
    if (method !== 'HEAD') this.#checkBody(where, `${found?.path} ${method}`, described, response);
  }

  /** An answer as its bytes. */
  checkRaw(request: string, response: string): void {
    const [, method = '', target = ''] = /^(\S+) (\S+)/.exec(request) ?? [];
    const end = response.indexOf('\r\n\r\n');
    const [first = '', ...lines] = response.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 2),
      ]),
    );
    const text = response.slice(end + 4);
    const status = Number(first.split(' ')[1]);
    this.check(method, target, { status, headers, text, body: Buffer.from(text), code: undefined });
  }

  /** @param name of a schema of the document. */
  checkSchema(name: string, value: unknown): void {
    const validate = this.#compile({ schema: { $ref: `#/components/schemas/${name}` } });
    if (!validate(value)) throw new Error(this.#ajv.errorsText(validate.errors));
  }

  /** `operationId status` of all that is described. */
  described(): string[] {
    return Object.values(this.#document.paths).flatMap((operations) =>
      Object.values(operations).flatMap(({ operationId, responses }) =>
        Object.keys(responses).map((status) => `${operationId} ${status}`),
      ),
    );
  }

  #find(
    path: string,
  ): { path: string; operations: Readonly<Record<string, Operation>> } | undefined {
    const { paths } = this.#document;
    const exact = paths[path];
    if (exact !== undefined) return { path, operations: exact };
    for (const [template, operations] of Object.entries(paths)) {
      const pattern = template.replace('{key}', '.*').replace('{store}', '[^/]+');
      if (new RegExp(`^${pattern}$`, 's').test(path)) return { path: template, operations };
    }
    return undefined;
  }

  #checkHeaders(where: string, described: Described, { headers }: { headers: object }): void {
    const known = Object.keys(described.headers ?? {}).map((name) => name.toLowerCase());
    for (const name of Object.keys(headers)) {
      if (!EVERYWHERE.has(name) && !known.includes(name)) {
        throw new Error(`${where} has a header that is not described: ${name}`);
      }
    }
  }

  #checkBody(
    where: string,
    name: string,
    { content = {} }: Described,
    response: Omit<HttpResponse, 'nextOffset'>,
  ): void {
    const { headers, text, status } = response;
    const type = (headers['content-type'] ?? '').split(';')[0] ?? '';
    if (Object.keys(content).length === 0) {
      if (text !== '') throw new Error(`${where} has a body that is not described: ${text}`);
      return;
    }
    if (!Object.hasOwn(content, type)) throw new Error(`${where} is ${type}, not described`);
    if (!type.includes('json')) return;
    const id = `${name} ${status} ${type}`;
    const validate = this.#validators.get(id) ?? this.#compile(content[type]);
    this.#validators.set(id, validate);
    if (validate(JSON.parse(text))) return;
    throw new Error(
      `${where} is not as described: ${this.#ajv.errorsText(validate.errors)}\n${text}`,
    );
  }

  #compile(media: unknown): ValidateFunction {
    const text = JSON.stringify((media as { schema: unknown }).schema);
    return this.#ajv.compile(JSON.parse(text.replaceAll('"#/', '"api#/')) as object);
  }
}
