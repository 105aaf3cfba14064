/** What is done with a whole store: a batch of operations, and clearing. */
import { HoldfastError } from '@holdfast/core';
import { collectBody, refuseCodings } from '@holdfast/streams';
import { parseBatch } from './batch-body.ts';
import type { KvExchange } from './kv-exchange.ts';

export function batchEntries(exchange: KvExchange): void {
  const { fields, store } = exchange;
  refuseCodings(fields);
  const type = fields.contentType?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new HoldfastError('INVALID_HEADER', 'content-type is not application/json');
  }
  collectBody(exchange, (body) => {
    const acks = store.batch(parseBatch(body, store.capabilities.maxBatchOperations));
    exchange.answer(acks, (all) =>
      exchange.replyJson(200, { acks: all.map(({ changed, version }) => ({ changed, version })) }),
    );
  });
}

/** Everything goes only when it is said. A client that leaves ends it where it is. */
export function clearStore(exchange: KvExchange): void {
  const { target, store } = exchange;
  const prefix = target.query.get('prefix');
  const all = target.query.flag('all');
  if (all === (prefix !== undefined) || prefix === '') {
    throw new HoldfastError('INVALID_QUERY', 'say what is to be deleted: prefix, key, or all=true');
  }
  exchange.answer(store.clear({ prefix, signal: exchange.gone }), () => exchange.reply(204));
}
