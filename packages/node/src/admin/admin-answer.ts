/**
 * Answers of administration: one JSON object, or, for long work, lines: any number of
 * `{"progress": …}`, then one `{"result": …}` or `{"error": …}`.
 *
 * Invariants
 * 1. Work that fails before its first line is answered with the status of its error; after it the
 *    error is the last line. An answer without a last line was cut.
 * 2. A client that goes away ends the work it asked for.
 * 3. No more progress is sent than the client takes: lines are left out, never kept. While nothing
 *    happens the last one is sent again, so that nobody takes the work for dead.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, type HoldfastError, LIMITS, type Timer } from '@holdfast/core';
import {
  answerProblem,
  asHoldfastError,
  CrossOriginPolicy,
  SECURITY_HEADERS,
} from '@holdfast/streams';
import type { WatchedWork, WorkProgress } from '../backup/work.ts';

const NO_PAGES = new CrossOriginPolicy({ allowOrigin: ['none'] });
const GUARDS: readonly string[] = [
  'Cache-Control',
  'no-store',
  'Content-Security-Policy',
  "sandbox; default-src 'none'",
  ...SECURITY_HEADERS,
];

export function sendJson(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  value: object,
): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, [
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
    ...GUARDS,
  ]);
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** The operator may know what a stranger may not: the message goes out as it is. */
export function refuseAdministration(
  request: IncomingMessage,
  response: ServerResponse,
  thrown: unknown,
  clock: Clock,
): void {
  const error = asHoldfastError(thrown);
  const members = (): { detail: string } => ({ detail: messageOf(error) });
  answerProblem(request, response, error, { clock, crossOrigin: NO_PAGES, members });
}

/** Does `work`, and answers with what becomes of it. */
export async function answerWork(
  request: IncomingMessage,
  response: ServerResponse,
  clock: Clock,
  work: (options: WatchedWork) => Promise<object>,
): Promise<void> {
  const signal = clientGone(response);
  const lines = new ProgressLines(response, clock);
  let last: object;
  try {
    last = { result: await work({ signal, onProgress: (now) => lines.tell(now) }) };
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    if (!response.headersSent) return refuseAdministration(request, response, error, clock); // I1
    last = { error: { code: error.code, message: messageOf(error) } };
  } finally {
    lines.end();
  }
  if (response.destroyed) return;
  begin(response);
  response.end(line(last));
}

/**
 * Lines as fast as the client takes them. What fails behind the first one cuts the connection: a
 * client must not take what it got for all there is.
 */
export async function answerLines(
  response: ServerResponse,
  lines: AsyncIterable<string>,
): Promise<void> {
  try {
    for await (const text of lines) {
      if (response.destroyed) return;
      begin(response);
      if (!response.write(text)) await drained(response);
    }
    begin(response);
    response.end();
  } catch (error) {
    if (!response.headersSent) throw error;
    response.destroy();
  }
}

/** Resolves when there is room again, or nobody there any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      response.off('drain', over);
      response.off('close', over);
      resolve();
    };
    response.once('drain', over);
    response.once('close', over);
  });
}

/** I2. Also of a client that went away before anybody looked. */
export function clientGone(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  if (response.destroyed) gone.abort();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  return gone.signal;
}

class ProgressLines {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  #last: WorkProgress = { phase: 'working', done: 0, unit: 'bytes' };
  #toldMs = -Infinity;
  #silence: Timer;

  constructor(response: ServerResponse, clock: Clock) {
    this.#response = response;
    this.#clock = clock;
    this.#silence = this.#listen();
  }

  tell(progress: WorkProgress): void {
    this.#last = progress;
    if (this.#clock.monotonicMs() - this.#toldMs >= LIMITS.adminProgressMs) this.#send();
  }

  end(): void {
    this.#silence.cancel();
  }

  #send(): void {
    const response = this.#response;
    if (response.writableNeedDrain || response.destroyed) return; // I3
    this.#toldMs = this.#clock.monotonicMs();
    begin(response);
    response.write(line({ progress: this.#last }));
  }

  #listen(): Timer {
    return this.#clock.after(LIMITS.adminSilenceMs, () => {
      this.#send();
      this.#silence = this.#listen();
    });
  }
}

function begin(response: ServerResponse): void {
  if (response.headersSent) return;
  response.writeHead(200, ['Content-Type', 'application/x-ndjson', ...GUARDS]);
}

function messageOf(error: HoldfastError): string {
  return error.kind === 'internal' ? 'an internal error occurred: see the log' : error.message;
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
