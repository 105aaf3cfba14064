/** What a node refused, as a `CommandError`: its code, and what to do about it. */
import { ERROR_CODES, type ErrorCode } from '@holdfast/core';
import { CommandError, hintOf } from './command-error.ts';
import { exitCodeOf, exitCodeOfStatus } from './exit-codes.ts';

/** What it was asked about, where that is one thing. */
export interface Asked {
  readonly stream?: string;
  readonly store?: string;
}

export async function refused(response: Response, asked: Asked): Promise<CommandError> {
  const { status } = response;
  const problem = await readProblem(response);
  const code = problem.code ?? codeOfStatus(status, asked);
  const known = Object.hasOwn(ERROR_CODES, code);
  const exitCode = known ? exitCodeOf(code as ErrorCode) : exitCodeOfStatus(status);
  const [about = ''] = Object.entries(asked).map(([kind, name]) => ` ${kind}=${String(name)}`);
  const message = `${problem.detail ?? problem.title ?? `the node answered ${status}`}${about}`;
  return new CommandError(exitCode, code, message, { hint: hintFor(code, asked, response) });
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
function codeOfStatus(status: number, { stream }: Asked): string {
  if (stream === undefined) return `HTTP_${status}`;
  if (status === 404) return 'STREAM_NOT_FOUND';
  if (status === 410) return 'STREAM_GONE';
  return `HTTP_${status}`;
}

function hintFor(code: string, asked: Asked, response: Response): string | undefined {
  const { stream: path = 'PATH', store = 'STORE' } = asked;
  switch (code) {
    case 'STREAM_NOT_FOUND':
      return `create it with "holdfast stream create ${path}", or see "holdfast stream ls"`;
    case 'ENTRY_NOT_FOUND':
      return `see "holdfast kv ls ${store}"`;
    case 'CHANGES_TRIMMED':
      return 'see what is there with "holdfast kv ls", and watch without --since';
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
