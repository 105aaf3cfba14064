/**
 * One HTTP request as written: no retries, no default headers, no normalising of the path. The
 * connection is kept alive in a pool, because the suites send many thousands.
 */
import http from 'node:http';

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  /** Body as text. */
  readonly text: string;
  /** `code` of a problem+json body, if it is one. */
  readonly code: string | undefined;
  readonly nextOffset: string;
}

const DEFAULT_TIMEOUT_MS = 15_000;
const agent = new http.Agent({ keepAlive: true, maxSockets: 256, scheduling: 'lifo' });

/** Sends `method` to `url`; the part behind the host goes out byte for byte. */
export function request(
  method: string,
  url: string,
  options: RequestOptions = {},
): Promise<HttpResponse> {
  const [, host, port, target] = /^http:\/\/([^/:]+):(\d+)(.*)$/s.exec(url) ?? [];
  if (host === undefined) throw new TypeError(`not a URL with a port: ${url}`);
  return new Promise((resolve, reject) => {
    const sent = http.request(
      {
        agent,
        method,
        host,
        port,
        path: target === '' ? '/' : target,
        headers: headersOf(options),
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          clearTimeout(timer);
          try {
            resolve(describeResponse(response, Buffer.concat(parts)));
          } catch (error) {
            reject(error as Error);
          }
        });
      },
    );
    const timer = setTimeout(
      () => sent.destroy(new Error(`no answer in time: ${method} ${url}`)),
      options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    );
    sent.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    sent.end(options.body);
  });
}

/** `request` that throws unless the status is one of `expected`. */
export async function expectStatus(
  expected: number | readonly number[],
  method: string,
  url: string,
  options: RequestOptions = {},
): Promise<HttpResponse> {
  const response = await request(method, url, options);
  if (![expected].flat().includes(response.status)) {
    const shown = response.text.slice(0, 300);
    throw new Error(
      `${method} ${url}: ${response.status}, expected ${[expected].flat().join(' or ')}: ${shown}`,
    );
  }
  return response;
}

export const OCTETS = { 'content-type': 'application/octet-stream' } as const;
export const JSON_TYPE = { 'content-type': 'application/json' } as const;
export const TEXT = { 'content-type': 'text/plain' } as const;

/** Reads from `offset` to the tail, however many chunks that takes. */
export async function readAll(url: string, offset = '-1'): Promise<Buffer> {
  const parts: Buffer[] = [];
  let at = offset;
  for (;;) {
    const chunk = await expectStatus(200, 'GET', `${url}?offset=${at}`);
    parts.push(chunk.body);
    if (chunk.headers['stream-up-to-date'] === 'true') return Buffer.concat(parts);
    if (chunk.nextOffset === at) throw new Error(`read of ${url} does not advance at ${at}`);
    at = chunk.nextOffset;
  }
}

/** All JSON messages of a stream, each as parsed. */
export async function readMessages<T>(url: string): Promise<T[]> {
  const messages: T[] = [];
  let at = '-1';
  for (;;) {
    const chunk = await expectStatus(200, 'GET', `${url}?offset=${at}`);
    for (const message of JSON.parse(chunk.text) as T[]) messages.push(message);
    if (chunk.headers['stream-up-to-date'] === 'true') return messages;
    if (chunk.nextOffset === at) throw new Error(`read of ${url} does not advance at ${at}`);
    at = chunk.nextOffset;
  }
}

/** Runs `work` for 0..count-1 with at most `width` at a time. */
export async function inParallel(
  count: number,
  width: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}

export function closeIdleConnections(): void {
  agent.destroy();
}

function headersOf(options: RequestOptions): http.OutgoingHttpHeaders {
  const headers: http.OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    headers[name] = typeof value === 'string' ? value : [...value];
  }
  if (options.body !== undefined && headers['transfer-encoding'] === undefined) {
    headers['content-length'] ??= String(Buffer.byteLength(options.body));
  }
  return headers;
}

function describeResponse(response: http.IncomingMessage, body: Buffer): HttpResponse {
  const type = response.headers['content-type'] ?? '';
  // The answer to a HEAD has the type of a body, and none.
  const problem = type.startsWith('application/problem+json') && body.length > 0;
  const next = response.headers['stream-next-offset'];
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    get text(): string {
      return body.toString('utf8');
    },
    code: problem ? (JSON.parse(body.toString('utf8')) as { code?: string }).code : undefined,
    nextOffset: typeof next === 'string' ? next : '',
  };
}
