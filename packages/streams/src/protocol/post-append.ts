/** POST: append, close, or both at once (PROTOCOL 5.2, 5.2.1, 5.3). */
import { HoldfastError } from '@holdfast/core';
import { splitBytes, splitJson } from '../messages.ts';
import { formatPosition } from '../position.ts';
import type { AppendRequest, AppendResult, Messages, ProducerTag } from '../stream-store.ts';
import { collectBody } from '../http/body.ts';
import type { Exchange } from './exchange.ts';
import { parseContentType } from './media-type.ts';
import { refuseCodings } from '../http/codings.ts';
import { parseClosed, parseProducer, parseStreamSeq } from './request-headers.ts';
import { HEADERS } from './header-names.ts';

export function postAppend(exchange: Exchange): void {
  const { fields } = exchange;
  refuseCodings(fields);
  const close = parseClosed(fields.streamClosed);
  const producer = parseProducer(fields);
  const streamSeq = parseStreamSeq(fields.streamSeq);
  collectBody(exchange, (body) => append(exchange, body, close, producer, streamSeq));
}

function append(
  exchange: Exchange,
  body: Buffer,
  close: boolean,
  producer: ProducerTag | undefined,
  streamSeq: string | undefined,
): void {
  const hasData = body.length > 0;
  const request: { -readonly [K in keyof AppendRequest]: AppendRequest[K] } = {
    path: exchange.path,
    close,
  };
  if (producer !== undefined) request.producer = producer;
  if (streamSeq !== undefined) request.streamSeq = streamSeq;
  if (hasData) {
    // A close without data may come with any type a client library adds (PROTOCOL 5.2).
    request.contentType = requireContentType(exchange.fields.contentType);
    // Split once: splitting takes the body, and a plan may be made again.
    let messages: Messages | undefined;
    request.messages = (json: boolean): Messages =>
      (messages ??= json ? splitJson(body) : splitBytes(body));
  } else if (!close) {
    throw new HoldfastError('EMPTY_BODY', 'an append needs a body');
  }
  exchange.context.store
    .append(request)
    .then((result) => appended(exchange, result, hasData))
    .catch((error: unknown) => exchange.fail(error));
}

function requireContentType(text: string | undefined): string {
  if (text !== undefined) return parseContentType(text);
  throw new HoldfastError('INVALID_HEADER', 'content-type is missing');
}

function appended(exchange: Exchange, result: AppendResult, hasData: boolean): void {
  const headers = [HEADERS.streamNextOffset, formatPosition(result.tail)];
  if (result.closed) headers.push(HEADERS.streamClosed, 'true');
  const { producer } = result;
  if (producer === undefined) {
    exchange.reply(204, headers);
    return;
  }
  headers.push(
    HEADERS.producerEpoch,
    String(producer.epoch),
    HEADERS.producerSeq,
    String(producer.seq),
  );
  // New data of a producer is 200, so that it can tell it from a duplicate (PROTOCOL 5.2.1).
  if (!hasData || result.outcome === 'duplicate') {
    exchange.reply(204, headers);
    return;
  }
  headers.push('Content-Length', '0');
  exchange.reply(200, headers);
}
