/**
 * The seam for HTTP: one request, one answer, nothing known of S3. `NodeHttpTransport` is the real
 * one.
 *
 * Contract:
 * 1. `send` resolves when the head of the answer is there, whatever its status. It follows no
 *    redirect and tries nothing twice.
 * 2. A failure before any byte of the request can have reached the other side is an `HttpFailure`
 *    with `sent: false`; every other one has `sent: true`.
 * 3. `body` ends normally only when all of the answer came, else it throws an `HttpFailure`.
 * 4. When the signal ends, or `discard` is called, the connection is given up. `discard` after the
 *    end of the body does nothing.
 * 5. `onProgress` is called whenever bytes of the request went out.
 */
export interface HttpTransport {
  send(request: HttpRequest): Promise<HttpAnswer>;
  /** Gives up every connection. Idempotent. */
  close(): void;
}

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: (() => void) | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<Buffer>;
  discard(): void;
}

export class HttpFailure extends Error {
  override readonly name = 'HttpFailure';
  readonly sent: boolean;

  constructor(message: string, sent: boolean, cause: unknown) {
    super(message, { cause });
    this.sent = sent;
  }
}
