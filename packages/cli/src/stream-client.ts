/**
 * Streams, subscriptions and administration of a node over HTTP, with the platform's `fetch`. Every answer that is not what was
 * asked for becomes a `CommandError` with the exit code that goes with it.
 */
import { ERROR_CODES, type ErrorCode } from '@holdfast/core';
import { CommandError, hintOf, usageError } from './command-error.ts';
import type { CommandCall } from './command.ts';
import { EXIT, exitCodeOf, exitCodeOfStatus } from './exit-codes.ts';

const DEFAULT_URL = 'http://127.0.0.1:4437';
const STREAM_PATH = '/v1/stream/';
const LIST_PATH = '/v1/streams';
const SUBSCRIPTIONS_PATH = '__ds/subscriptions';
const ADMIN_PATH = '/v1/admin/';

export interface ClientRequest {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class StreamClient {
  readonly #base: URL;

  constructor(url: string) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw usageError(`"${url}" is not an http URL`, `give one like --url ${DEFAULT_URL}`);
    }
    this.#base = new URL(url);
  }

  static of(call: CommandCall): StreamClient {
    return new StreamClient(call.values.text('url') ?? DEFAULT_URL);
  }

  get url(): string {
    return this.#base.origin;
  }

  /** The URL path of a stream, as a fork names its source. */
  urlPath(path: string): string {
    return this.#base.pathname.replace(/\/+$/, '') + STREAM_PATH + encodePath(path);
  }

  /** Resolves with any 2xx answer. */
  async stream(path: string, request: ClientRequest): Promise<Response> {
    return this.#send(this.urlPath(path), request, path);
  }

  async list(query: Readonly<Record<string, string | undefined>>): Promise<Response> {
    const target = this.#base.pathname.replace(/\/+$/, '') + LIST_PATH;
    return this.#send(target, { method: 'GET', query }, undefined);
  }

  async subscriptions(request: ClientRequest): Promise<Response> {
    return this.#send(this.urlPath(SUBSCRIPTIONS_PATH), request, undefined);
  }

  async subscription(id: string, request: ClientRequest): Promise<Response> {
    if (/^\.{0,2}$/.test(id)) throw usageError(`"${id}" is not the id of a subscription`);
    const target = `${this.urlPath(SUBSCRIPTIONS_PATH)}/${encodeURIComponent(id)}`;
    return this.#send(target, request, undefined);
  }

  /** @param segments of the path below the routes of administration. */
  async administration(segments: readonly string[], request: ClientRequest): Promise<Response> {
    // A URL is resolved on the way: these would name another route.
    const odd = segments.find((segment) => /^\.{0,2}$/.test(segment));
    if (odd !== undefined) throw usageError(`"${odd}" is no id`);
    const headers = { ...request.headers, 'holdfast-admin': '1' };
    const target = ADMIN_PATH + segments.map(encodeURIComponent).join('/');
    return this.#send(target, { ...request, headers }, undefined);
  }

  async #send(target: string, request: ClientRequest, path: string | undefined): Promise<Response> {
    const query = new URLSearchParams(defined(request.query));
    const url = this.#base.origin + target + (query.size > 0 ? `?${query.toString()}` : '');
    let response: Response;
    try {
      response = await fetch(url, {
        method: request.method,
        headers: defined(request.headers),
        redirect: 'error',
        ...(request.body === undefined ? {} : { body: request.body as Uint8Array<ArrayBuffer> }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (error) {
      if (request.signal?.aborted) throw error;
      throw unreachable(this.url, error);
    }
    if (response.ok) return response;
    throw await refused(response, path);
  }
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

async function refused(response: Response, path: string | undefined): Promise<CommandError> {
  const { status } = response;
  const problem = await readProblem(response);
  const code = problem.code ?? codeOfStatus(status);
  const known = Object.hasOwn(ERROR_CODES, code);
  const exitCode = known ? exitCodeOf(code as ErrorCode) : exitCodeOfStatus(status);
  const about = path === undefined ? '' : ` stream=${path}`;
  const message = `${problem.detail ?? problem.title ?? `the node answered ${status}`}${about}`;
  return new CommandError(exitCode, code, message, { hint: hintFor(code, path, response) });
}

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly title?: string;
}

async function readProblem(response: Response): Promise<Problem> {
  const text = await response.text().catch(() => '');
  if (!/^application\/(?:problem\+)?json/.test(response.headers.get('content-type') ?? ''))
    return {};
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return {};
  }
}

/** HEAD answers have no body to say it in. */
function codeOfStatus(status: number): string {
  if (status === 404) return 'STREAM_NOT_FOUND';
  if (status === 410) return 'STREAM_GONE';
  return `HTTP_${status}`;
}

function hintFor(code: string, path = 'PATH', response: Response): string | undefined {
  switch (code) {
    case 'STREAM_NOT_FOUND':
      return `create it with "holdfast stream create ${path}", or see "holdfast stream ls"`;
    case 'SUBSCRIPTION_NOT_FOUND':
      return 'see "holdfast subscription ls"';
    case 'STREAM_CLOSED':
      return 'a closed stream stays closed: fork it to go on';
    case 'CONTENT_TYPE_MISMATCH':
      return `see its type with "holdfast stream info ${path}"`;
    case 'STREAM_EXISTS':
      return `it is there with other settings: see "holdfast stream info ${path}"`;
    case 'PRODUCER_FENCED':
      return `a newer epoch owns this producer: ${response.headers.get('producer-epoch') ?? '?'}`;
    case 'PRODUCER_SEQ_GAP':
      return `the next seq is ${response.headers.get('producer-expected-seq') ?? 'another'}`;
    case 'DRAINING':
    case 'COMMIT_QUEUE_FULL':
      return 'try again in a moment';
    case 'NODE_FAILED':
      return "the node's storage failed: see its log, then restart it";
    case 'DISK_FULL':
      return 'the disk of the node is full: it goes on by itself once there is room';
    default:
      return hintOf(code);
  }
}
