/**
 * A node over HTTP, with the platform's `fetch`: its streams, subscriptions, stores and
 * administration. Every answer that is not what was asked for becomes a `CommandError` with the exit
 * code that goes with it.
 */
import { CommandError, usageError } from './command-error.ts';
import type { CommandCall } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { type Asked, refused } from './node-refusal.ts';

const DEFAULT_URL = 'http://127.0.0.1:4437';
const STREAM_PATH = '/v1/stream/';
const LIST_PATH = '/v1/streams';
const SUBSCRIPTIONS_PATH = '__ds/subscriptions';
const KV_PATH = '/v1/kv';
const ADMIN_PATH = '/v1/admin/';

export interface ClientRequest {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Bytes, or as they come. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class NodeClient {
  readonly #base: URL;

  constructor(url: string) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw usageError(`"${url}" is not an http URL`, `give one like --url ${DEFAULT_URL}`);
    }
    this.#base = new URL(url);
  }

  static of(call: CommandCall): NodeClient {
    return new NodeClient(call.values.text('url') ?? DEFAULT_URL);
  }

  get url(): string {
    return this.#base.origin;
  }

  /** The URL path of a stream, as a fork names its source. */
  urlPath(path: string): string {
    return this.#below(STREAM_PATH) + encodePath(path);
  }

  /** Resolves with any 2xx answer. */
  async stream(path: string, request: ClientRequest): Promise<Response> {
    return this.#send(this.urlPath(path), request, { stream: path });
  }

  async list(query: Readonly<Record<string, string | undefined>>): Promise<Response> {
    return this.#send(this.#below(LIST_PATH), { method: 'GET', query }, {});
  }

  async subscriptions(request: ClientRequest): Promise<Response> {
    return this.#send(this.urlPath(SUBSCRIPTIONS_PATH), request, {});
  }

  async subscription(id: string, request: ClientRequest): Promise<Response> {
    if (/^\.{0,2}$/.test(id)) throw usageError(`"${id}" is not the id of a subscription`);
    const target = `${this.urlPath(SUBSCRIPTIONS_PATH)}/${encodeURIComponent(id)}`;
    return this.#send(target, request, {});
  }

  async stores(query: Readonly<Record<string, string | undefined>>): Promise<Response> {
    return this.#send(this.#below(KV_PATH), { method: 'GET', query }, {});
  }

  async store(store: string, request: ClientRequest): Promise<Response> {
    // A URL is resolved on the way: these would name another route.
    if (/^\.{0,2}$/.test(store)) throw usageError(`"${store}" is not the name of a store`);
    const target = `${this.#below(KV_PATH)}/${encodeURIComponent(store)}`;
    return this.#send(target, request, { store });
  }

  /** The key goes in the query, where any text may stand. */
  async entry(store: string, key: string, request: ClientRequest): Promise<Response> {
    if (key === '') throw usageError('a key is not empty');
    return this.store(store, { ...request, query: { ...request.query, key } });
  }

  /** @param segments of the path below the routes of administration. */
  async administration(segments: readonly string[], request: ClientRequest): Promise<Response> {
    // A URL is resolved on the way: these would name another route.
    const odd = segments.find((segment) => /^\.{0,2}$/.test(segment));
    if (odd !== undefined) throw usageError(`"${odd}" is no id`);
    const headers = { ...request.headers, 'holdfast-admin': '1' };
    const target = ADMIN_PATH + segments.map(encodeURIComponent).join('/');
    return this.#send(target, { ...request, headers }, {});
  }

  /** Also behind a proxy that put a path before the node's. */
  #below(path: string): string {
    return this.#base.pathname.replace(/\/+$/, '') + path;
  }

  async #send(target: string, request: ClientRequest, asked: Asked): Promise<Response> {
    const query = new URLSearchParams(defined(request.query));
    const url = this.#base.origin + target + (query.size > 0 ? `?${query.toString()}` : '');
    let response: Response;
    try {
      response = await fetch(url, {
        method: request.method,
        headers: defined(request.headers),
        redirect: 'error',
        ...bodyOf(request),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw unreachable(this.url, error);
    }
    if (response.ok) return response;
    throw await refused(response, asked);
  }
}

function bodyOf({ body }: ClientRequest): Pick<RequestInit, 'body'> {
  if (body === undefined) return {};
  if (body instanceof Uint8Array) return { body: body as Uint8Array<ArrayBuffer> };
  // The platform wants to be told, and its types do not know.
  return { body, duplex: 'half' } as unknown as Pick<RequestInit, 'body'>;
}

/** Each segment encoded; slashes stay. Dot segments would be resolved on the way: refused. */
function encodePath(path: string): string {
  const segments = path.replace(/^\/+/, '').split('/');
  if (segments.some((segment) => /^\.{0,2}$/.test(segment))) {
    throw usageError(`"${path}" is not a stream path`, 'give one like chat/1');
  }
  return segments.map(encodeURIComponent).join('/');
}

function defined(
  values: Readonly<Record<string, string | undefined>> | undefined,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values ?? {}).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}

function unreachable(url: string, cause: unknown): CommandError {
  const inner =
    cause instanceof Error ? (cause.cause as { code?: unknown } | undefined) : undefined;
  const reason = typeof inner?.code === 'string' ? inner.code : String((cause as Error).message);
  return new CommandError(
    EXIT.unavailable,
    'UNREACHABLE',
    `no node answers at ${url} (${reason})`,
    {
      hint: 'start one with "holdfast serve", or name another with --url or HOLDFAST_URL',
      cause,
    },
  );
}
