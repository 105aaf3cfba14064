/** DELETE: the stream is gone for its readers; forks of it keep what they inherited. */
import type { Exchange } from './exchange.ts';

export function deleteStream(exchange: Exchange): void {
  exchange.context.store
    .delete(exchange.path)
    .then(() => exchange.reply(204, []))
    .catch((error: unknown) => exchange.fail(error));
}
