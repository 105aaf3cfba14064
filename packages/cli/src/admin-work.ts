/**
 * Asks a node for work of administration and follows it: progress to the terminal, and the result
 * or the error that its last line is. Ctrl-C ends the work.
 */
import { ERROR_CODES, type ErrorCode } from '@holdfast/core';
import { CommandError, hintOf } from './command-error.ts';
import type { CommandCall } from './command.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { PhasedProgress, type WorkProgress } from './progress.ts';
import { type ClientRequest, NodeClient } from './node-client.ts';

export interface AdminRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: readonly string[];
  readonly body?: object;
  /** Instead of a body: lines of an export, as they come. */
  readonly bytes?: AsyncIterable<Uint8Array>;
}

interface WorkLine {
  readonly progress?: WorkProgress;
  readonly result?: object;
  readonly error?: { readonly code: string; readonly message: string };
}

/** The answer to something that does not take long. */
export async function askNode<Answer>(call: CommandCall, request: AdminRequest): Promise<Answer> {
  const response = await send(call, request);
  return (await response.json()) as Answer;
}

/** What is answered, as it comes; not as lines of work. */
export async function* askNodeForBytes(
  call: CommandCall,
  request: AdminRequest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const response = await send(call, request, signal);
  try {
    for await (const piece of response.body ?? []) yield piece as Uint8Array;
  } catch (error) {
    if (signal.aborted) throw error;
    throw new CommandError(EXIT.unavailable, 'UNREACHABLE', 'the answer was cut off', {
      cause: error,
      hint: 'see the log of the node',
    });
  }
}

/** The result of something that may. */
export async function followWork<Result>(
  call: CommandCall,
  request: AdminRequest,
  now: () => number,
): Promise<Result> {
  return interruptible(call, async (signal) => {
    const response = await send(call, request, signal);
    const progress = new PhasedProgress(call.io, now);
    try {
      for await (const line of linesOf(response)) {
        if (line.error !== undefined) throw workError(line.error);
        if (line.result !== undefined) return line.result as Result;
        if (line.progress !== undefined) progress.update(line.progress);
      }
    } finally {
      progress.end();
    }
    throw new CommandError(EXIT.unavailable, 'UNREACHABLE', 'the node ended before it was done', {
      hint: 'see its log',
    });
  });
}

/**
 * Ends with 130 when `work` was ended by a signal.
 *
 * @param hint what can be done then.
 */
export async function interruptible<Result>(
  { io }: CommandCall,
  work: (signal: AbortSignal) => Promise<Result>,
  hint?: string,
): Promise<Result> {
  const controller = new AbortController();
  const forget = io.onInterrupt(() => controller.abort());
  try {
    return await work(controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    throw new CommandError(EXIT.interrupted, 'ABORTED', 'cancelled', { hint, cause: error });
  } finally {
    forget();
  }
}

function send(
  call: CommandCall,
  { method, path, body, bytes }: AdminRequest,
  signal?: AbortSignal,
): Promise<Response> {
  const json = body && {
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify(body)),
  };
  const lines = bytes && { headers: { 'content-type': 'application/x-ndjson' }, body: bytes };
  const request: ClientRequest = { method, signal, ...(lines ?? json) };
  return NodeClient.of(call).administration(path, request);
}

async function* linesOf(response: Response): AsyncGenerator<WorkLine> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of response.body ?? []) {
    const lines = (rest + decoder.decode(piece as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as WorkLine;
  }
}

function workError({ code, message }: { code: string; message: string }): CommandError {
  const known = Object.hasOwn(ERROR_CODES, code);
  const exitCode = known ? exitCodeOf(code as ErrorCode) : EXIT.failure;
  return new CommandError(exitCode, code, message, { hint: hintOf(code) });
}
