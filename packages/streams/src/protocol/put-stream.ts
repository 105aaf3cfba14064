/** PUT: create a stream, a closed one, or a fork; or find it there with the same configuration. */
import { HoldfastError, isHoldfastError } from '@holdfast/core';
import { refuseCodings } from '../http/codings.ts';
import { splitBytes, splitJson } from '../messages.ts';
import { parsePosition, START } from '../position.ts';
import type { CreateRequest, CreateResult, ForkRequest, Messages } from '../stream-store.ts';
import { LIMITS } from '@holdfast/core';
import { collectBody } from '../http/body.ts';
import type { Exchange } from './exchange.ts';
import { parseContentType } from './media-type.ts';
import { parseClosed, parseExpiry, parseInteger, type RequestFields } from './request-headers.ts';
import { pushClosed, pushPosition } from './response-headers.ts';
import { parseStreamPath, queryStart } from './stream-path.ts';

export function putStream(exchange: Exchange): void {
  const { fields } = exchange;
  refuseCodings(fields);
  const contentType =
    fields.contentType === undefined ? undefined : parseContentType(fields.contentType);
  const fork = parseFork(fields, exchange.context.settings.basePath);
  const request: CreateRequest = {
    path: exchange.path,
    closed: parseClosed(fields.streamClosed),
    ...parseExpiry(fields),
    ...(contentType === undefined ? {} : { contentType }),
    ...(fork === undefined ? {} : { fork }),
  };
  collectBody(exchange, (body) => {
    const initial = (json: boolean): Messages => split(body, json);
    exchange.context.store
      .create(body.length === 0 ? request : { ...request, initial })
      .then((result) => created(exchange, result))
      .catch((error: unknown) => exchange.fail(error));
  });
}

function parseFork(fields: RequestFields, basePath: string): ForkRequest | undefined {
  const { forkedFrom, forkOffset, forkSubOffset } = fields;
  if (forkedFrom === undefined) {
    if (forkOffset === undefined && forkSubOffset === undefined) return undefined;
    throw invalid('stream-fork-offset and stream-fork-sub-offset need stream-forked-from');
  }
  const subOffset = forkSubOffset === undefined ? 0 : parseInteger(forkSubOffset);
  if (subOffset === undefined) throw invalid('stream-fork-sub-offset is not a whole number');
  if (subOffset > 0 && forkOffset === undefined) {
    throw invalid('stream-fork-sub-offset needs stream-fork-offset');
  }
  const source = parseSource(forkedFrom, basePath);
  if (forkOffset === undefined) return { source, subOffset };
  return { source, at: forkOffset === '-1' ? START : parsePosition(forkOffset), subOffset };
}

/** The source is named by its whole path on this server. */
function parseSource(forkedFrom: string, basePath: string): string {
  try {
    if (queryStart(forkedFrom) !== forkedFrom.length) throw invalid('a query');
    return parseStreamPath(forkedFrom, forkedFrom.length, basePath);
  } catch (error) {
    if (!isHoldfastError(error)) throw error;
    throw invalid('stream-forked-from is not the path of a stream');
  }
}

function split(body: Buffer, json: boolean): Messages {
  return json ? splitJson(body, { ...LIMITS, allowEmpty: true }) : splitBytes(body);
}

function created(exchange: Exchange, result: CreateResult): void {
  const { info } = result;
  const headers = ['Content-Type', info.contentType];
  if (result.created) headers.push('Location', locationOf(exchange));
  pushPosition(headers, info.tail);
  pushClosed(headers, info.closed);
  headers.push('Content-Length', '0');
  exchange.reply(result.created ? 201 : 200, headers);
}

const HOST = /^[A-Za-z0-9.\-_:[\]]+$/;

/** The URL of the request, absolute when the client said how it reaches this server. */
function locationOf(exchange: Exchange): string {
  const path = exchange.target.slice(0, exchange.queryStart);
  const { host } = exchange.fields;
  if (host === undefined || !HOST.test(host)) return path;
  const secure = (exchange.request.socket as { encrypted?: boolean }).encrypted === true;
  return `${secure ? 'https' : 'http'}://${host}${path}`;
}

function invalid(what: string): HoldfastError {
  return new HoldfastError('INVALID_HEADER', what);
}
