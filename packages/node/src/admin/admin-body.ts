/**
 * The body of a request of administration: none, or one small JSON object with known members.
 *
 * Invariants
 * 1. At most `maxAdminBodyBytes` are held, whatever is sent.
 * 2. A member that is not known is refused: a typing error must not become a default.
 */
import type { IncomingMessage } from 'node:http';
import { HoldfastError, LIMITS } from '@holdfast/core';

/** Lines of JSON. */
const EXPORT_TYPE = 'application/x-ndjson';

type MemberKind = 'text' | 'count' | 'flag';

/** Names of members, and what they are. */
export type BodyShape = Readonly<Record<string, MemberKind>>;

export class AdminBody {
  readonly #members: Readonly<Record<string, unknown>>;

  private constructor(members: Readonly<Record<string, unknown>>) {
    this.#members = members;
  }

  static none(): AdminBody {
    return new AdminBody({});
  }

  /** @throws `BODY_TOO_LARGE`, `UNSUPPORTED_ENCODING`, `INVALID_JSON`, `ABORTED` */
  static async read(request: IncomingMessage, shape: BodyShape): Promise<AdminBody> {
    const bytes = await collect(request);
    if (bytes.length === 0) return new AdminBody({});
    const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
    if (type !== 'application/json' || request.headers['content-encoding'] !== undefined) {
      throw new HoldfastError('UNSUPPORTED_ENCODING', 'the body must be plain application/json');
    }
    const members = parseObject(bytes);
    for (const [name, value] of Object.entries(members)) {
      if (!Object.hasOwn(shape, name)) throw invalid(`has no member ${JSON.stringify(name)}`);
      if (!isOf(shape[name] as MemberKind, value)) {
        throw invalid(`has a member that is no ${shape[name]}: ${JSON.stringify(name)}`);
      }
    }
    return new AdminBody(members);
  }

  text(name: string): string | undefined {
    return this.#members[name] as string | undefined;
  }

  count(name: string): number | undefined {
    return this.#members[name] as number | undefined;
  }

  flag(name: string): boolean {
    return this.#members[name] === true;
  }
}

/**
 * An export that a client sends: read as fast as it is taken, however long it is.
 * @throws `UNSUPPORTED_ENCODING` at once; while it is read `ABORTED`.
 */
export function readExport(request: IncomingMessage): AsyncIterable<Uint8Array> {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  if (type !== EXPORT_TYPE || request.headers['content-encoding'] !== undefined) {
    throw new HoldfastError('UNSUPPORTED_ENCODING', `the body must be plain ${EXPORT_TYPE}`);
  }
  return pieces(request);
}

async function* pieces(request: IncomingMessage): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    // Left before its end, it goes on for nobody: the answer needs the connection.
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new HoldfastError('ABORTED', 'the client went away', { cause, effect: 'unknown' });
  }
}

function isOf(kind: MemberKind, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'count':
      return Number.isSafeInteger(value) && (value as number) >= 0;
    case 'flag':
      return typeof value === 'boolean';
  }
}

function parseObject(bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new HoldfastError('INVALID_JSON', 'the body is not JSON', { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid('must be an object');
}

function collect(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    if (Number(request.headers['content-length'] ?? 0) > LIMITS.maxAdminBodyBytes) {
      reject(tooLarge());
      return;
    }
    request.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes <= LIMITS.maxAdminBodyBytes)
        pieces.push(piece); // I1
      else reject(tooLarge());
    });
    request.once('end', () => resolve(Buffer.concat(pieces)));
    request.once('close', () => {
      if (!request.complete) reject(new HoldfastError('ABORTED', 'the client went away'));
    });
  });
}

function tooLarge(): HoldfastError {
  const limit = `limit=${LIMITS.maxAdminBodyBytes}`;
  return new HoldfastError('BODY_TOO_LARGE', `the body is too large for this route ${limit}`);
}

function invalid(reason: string): HoldfastError {
  return new HoldfastError('INVALID_JSON', `the body ${reason}`);
}
