/**
 * Lists: the stores of a node, and the entries of a store by page. What a page holds at a time is
 * bounded: one that shows large values ends sooner, with a token for the rest; one without values is
 * read in parts, which are let go.
 */
import { LIMITS } from '@holdfast/core';
import type { KvEntry, KvPage, KvPageOptions, KvStore } from '@holdfast/kv';
import { formatExpiryTime } from './entry-expiry.ts';
import { jsonBody, type KvExchange } from './kv-exchange.ts';
import { shownValue, VALUE_FORMS, type ValueForm } from './shown-value.ts';

const DEFAULT_STORES = 100;
const DEFAULT_ENTRIES = 50;

export function listStores(exchange: KvExchange): void {
  const { query } = exchange.target;
  const after = query.get('after') || undefined;
  const limit = query.count('limit', 1, LIMITS.maxListedStores) ?? DEFAULT_STORES;
  exchange.answer(firstStores(exchange, after, limit), (page) => exchange.replyJson(200, page));
}

async function firstStores(
  exchange: KvExchange,
  after: string | undefined,
  limit: number,
): Promise<object> {
  const stores: { readonly name: string }[] = [];
  for await (const { name } of exchange.context.stores.stores({ after })) {
    // One more than asked tells that a next page exists.
    if (stores.length === limit) return { stores, next: stores.at(-1)?.name };
    stores.push({ name });
  }
  return { stores };
}

export function listEntries(exchange: KvExchange): void {
  const { query } = exchange.target;
  const form = query.choice('values', VALUE_FORMS) ?? 'none';
  const limit = query.count('limit', 1, LIMITS.maxPageEntries) ?? DEFAULT_ENTRIES;
  const page: KvPageOptions = {
    order: query.choice('order', ['key', 'created']) ?? 'key',
    reverse: query.flag('reverse'),
    prefix: query.get('prefix') || undefined,
    token: query.get('token') || undefined,
    signal: exchange.gone,
  };
  const { store } = exchange;
  const read = exchange.read(async () => {
    const body = jsonBody(await boundedPage(store, page, limit, form));
    return exchange.withRoom(body, body.length);
  });
  exchange.answer(read, (body) =>
    exchange.replyBody(200, ['Content-Type', 'application/json'], body),
  );
}

async function boundedPage(
  store: KvStore,
  options: KvPageOptions,
  limit: number,
  form: ValueForm,
): Promise<object> {
  const entries: object[] = [];
  let { token } = options;
  for (;;) {
    const page: KvPage = await store.page({
      ...options,
      token,
      limit: limit - entries.length,
      maxBytes: LIMITS.maxPageBytes,
    });
    for (const entry of page.entries) entries.push(shownEntry(entry, form));
    token = page.next;
    if (token === undefined) return { entries };
    if (form !== 'none' || entries.length >= limit) return { entries, next: token };
  }
}

function shownEntry(entry: KvEntry, form: ValueForm): object {
  const { key, version, seq, value, expiresAtMs } = entry;
  return {
    key,
    version,
    seq,
    bytes: value.length,
    ...(expiresAtMs === undefined ? {} : { expiresAt: formatExpiryTime(expiresAtMs) }),
    ...shownValue(value, form),
  };
}
