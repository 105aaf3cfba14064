/** HEAD: what a stream is and where it ends. Never moves its time to live. */
import { formatPosition } from '../position.ts';
import type { Exchange } from './exchange.ts';
import { factsOf } from './media-type.ts';
import { NO_STORE } from '../http/security-headers.ts';
import { pushClosed } from './response-headers.ts';
import { HEADERS } from './header-names.ts';

export function headStream(exchange: Exchange): void {
  const info = exchange.context.store.stat(exchange.path);
  const headers = [
    ...factsOf(info.contentType).headers,
    HEADERS.streamNextOffset,
    formatPosition(info.tail),
    ...NO_STORE,
  ];
  if (info.ttlSeconds !== undefined) headers.push(HEADERS.streamTtl, String(info.ttlSeconds));
  if (info.expiresAtText !== undefined) headers.push(HEADERS.streamExpiresAt, info.expiresAtText);
  pushClosed(headers, info.closed);
  exchange.reply(200, headers);
}
