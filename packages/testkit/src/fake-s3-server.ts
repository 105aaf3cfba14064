/**
 * An S3 server within the process, for tests: it verifies signatures, keeps conditions, answers
 * errors as XML, and fails when it is told to.
 *
 * Owner: the test; `stop` ends every connection.
 */
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { NodeClock } from '@holdfast/core';
import {
  failed,
  FakeS3Bucket,
  type S3Behaviour,
  type S3Call,
  type S3Reply,
} from './fake-s3-bucket.ts';
import { signatureProblem, type SigningIdentity } from './fake-s3-signature.ts';

/**
 * - `slow-down`: 503 SlowDown, nothing done
 * - `internal-error`: 500 InternalError, nothing done; `internal-error-after`: all done
 * - `late-error`: done by halves: 200, and in the body that it failed (the end of an upload)
 * - `bad-gateway`: 502 with HTML; `not-found-page`: 404 with HTML
 * - `reset`: the connection breaks before anything was done; `reset-after`: after all was
 * - `hang`: no answer and nothing done; `hang-after`: no answer and all done
 * - `truncate`: half of the body, then the connection breaks
 * - `stall`: half of the body, then nothing
 * - `garble`: the body is cut in the middle, and announced so
 * - `stale-list`: a list as it was before the last change
 * - `expired-token`, `conflict`: 400 ExpiredToken, 409 ConditionalRequestConflict
 */
export type S3FaultKind =
  | 'slow-down'
  | 'internal-error'
  | 'internal-error-after'
  | 'late-error'
  | 'bad-gateway'
  | 'not-found-page'
  | 'reset'
  | 'reset-after'
  | 'hang'
  | 'hang-after'
  | 'truncate'
  | 'stall'
  | 'garble'
  | 'stale-list'
  | 'expired-token'
  | 'conflict';

export interface S3Fault {
  readonly kind: S3FaultKind;
  /** How many matching requests it hits. Default 1. */
  readonly times?: number;
  /** Default: every request. */
  readonly when?: (call: S3Call) => boolean;
}

export interface FakeS3Options extends Partial<S3Behaviour> {
  readonly identity?: Partial<SigningIdentity>;
}

const clock = new NodeClock();

export class FakeS3Server {
  readonly bucket = 'test-bucket';
  readonly contents: FakeS3Bucket;
  /** `METHOD key?query` of every request that came with a right signature. */
  readonly requests: string[] = [];
  /** Settable: rotates what is accepted. */
  identity: SigningIdentity;
  readonly #server: http.Server;
  readonly #faults: { readonly fault: S3Fault; left: number }[] = [];
  #port = 0;

  private constructor(options: FakeS3Options) {
    this.identity = {
      accessKeyId: 'FAKEACCESSKEY',
      secretAccessKey: 'fake/secret+key',
      region: 'us-east-1',
      ...options.identity,
    };
    this.contents = new FakeS3Bucket(
      this.bucket,
      {
        conditions: 'enforced',
        conditionalUploads: true,
        escapesKeys: true,
        pageKeys: 1000,
        leastPartBytes: 5 * 1024 * 1024,
        ...options,
      },
      () => clock.now(),
    );
    this.#server = http.createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: FakeS3Options = {}): Promise<FakeS3Server> {
    const server = new FakeS3Server(options);
    await server.restart();
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens again, at the same address, with the same objects. */
  restart(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', () => {
        this.#port = (this.#server.address() as AddressInfo).port;
        resolve();
      });
    });
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  fail(fault: S3Fault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  /** Hits that planned faults still have to give. */
  get faultsLeft(): number {
    return this.#faults.reduce((sum, { left }) => sum + left, 0);
  }

  clearFaults(): void {
    this.#faults.length = 0;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const headers = request.headers as Record<string, string | undefined>;
    const { method = '', url: target = '' } = request;
    const signed = { method, target, headers, body };
    const problem = signatureProblem(signed, this.identity, clock.now());
    if (problem !== undefined) {
      send(
        response,
        method,
        failed(problem, problem === 'AuthorizationHeaderMalformed' ? 400 : 403),
      );
      return;
    }
    const call = this.#parse(signed);
    if (call === undefined) {
      send(response, method, failed('NoSuchBucket'));
      return;
    }
    this.requests.push(
      `${method} ${call.key}${target.includes('?') ? `?${target.split('?')[1]}` : ''}`,
    );
    this.#answer(call, this.#fault(call), response);
  }

  #parse(request: {
    method: string;
    target: string;
    headers: S3Call['headers'];
    body: Buffer;
  }): S3Call | undefined {
    const [path = '', search = ''] = request.target.split('?', 2);
    const [, bucket = '', ...rest] = path.split('/');
    if (bucket !== this.bucket) return undefined;
    const query = new Map(
      search
        .split('&')
        .filter((pair) => pair !== '')
        .map((pair) => pair.split('=', 2).map(decodeURIComponent))
        .map(([name = '', value = '']) => [name, value]),
    );
    const key = rest.map(decodeURIComponent).join('/');
    return { method: request.method, key, query, headers: request.headers, body: request.body };
  }

  #fault(call: S3Call): S3FaultKind | undefined {
    const planned = this.#faults.find(
      ({ fault, left }) => left > 0 && (fault.when?.(call) ?? true),
    );
    if (planned === undefined) return undefined;
    planned.left--;
    return planned.fault.kind;
  }

  #answer(call: S3Call, fault: S3FaultKind | undefined, response: http.ServerResponse): void {
    const { method } = call;
    const refusal = fault === undefined ? undefined : refusalOf(fault);
    if (refusal !== undefined) {
      send(response, method, refusal);
      return;
    }
    if (fault === 'hang') return;
    if (fault === 'reset') {
      response.socket?.resetAndDestroy();
      return;
    }
    const reply = this.contents.handle(call, fault === 'stale-list');
    if (fault === 'hang-after') return;
    if (fault === 'reset-after') response.socket?.resetAndDestroy();
    else if (fault === 'internal-error-after') send(response, method, failed('InternalError', 500));
    else if (fault === 'late-error')
      send(response, method, { ...failed('InternalError'), status: 200 });
    else if (fault === 'truncate' || fault === 'stall') sendHalf(response, reply, fault);
    else if (fault === 'garble') send(response, method, { ...reply, body: half(reply.body) });
    else send(response, method, reply);
  }
}

function refusalOf(fault: S3FaultKind): S3Reply | undefined {
  if (fault === 'slow-down') return failed('SlowDown', 503);
  if (fault === 'internal-error') return failed('InternalError', 500);
  if (fault === 'expired-token') return failed('ExpiredToken', 400);
  if (fault === 'conflict') return failed('ConditionalRequestConflict', 409);
  if (fault === 'bad-gateway')
    return { status: 502, body: Buffer.from('<html>Bad Gateway</html>') };
  if (fault === 'not-found-page') return { status: 404, body: Buffer.from('<html>no page</html>') };
  return undefined;
}

function send(response: http.ServerResponse, method: string, reply: S3Reply): void {
  const { status, headers = {}, body = Buffer.alloc(0) } = reply;
  const length = status === 204 ? {} : { 'content-length': String(body.length) };
  response.writeHead(status, { ...headers, ...length });
  response.end(method === 'HEAD' ? undefined : body);
}

function sendHalf(
  response: http.ServerResponse,
  reply: S3Reply,
  fault: 'truncate' | 'stall',
): void {
  const { status, headers = {}, body = Buffer.alloc(0) } = reply;
  response.writeHead(status, { ...headers, 'content-length': String(body.length) });
  response.write(half(body), () => {
    if (fault === 'truncate') response.socket?.destroy();
  });
}

function half(body: Buffer = Buffer.alloc(0)): Buffer {
  return body.subarray(0, Math.floor(body.length / 2));
}
