/** All watches of a node: their frames, one timer for their heartbeats, and the drain. */
import { HoldfastError, type Timer } from '@holdfast/core';
import { ChangeFrames } from './change-frames.ts';
import type { KvContext, KvExchange } from './kv-exchange.ts';
import { KvWatch } from './kv-watch.ts';
import { VALUE_FORMS } from './shown-value.ts';

export class KvWatches {
  readonly frames: ChangeFrames = new ChangeFrames();
  readonly #context: KvContext;
  readonly #watches = new Set<KvWatch>();
  #timer: Timer | undefined;

  constructor(context: KvContext) {
    this.#context = context;
  }

  get count(): number {
    return this.#watches.size;
  }

  /** Throws `INVALID_QUERY`, `INVALID_HEADER`, and what stops a live reader from coming in. */
  open(exchange: KvExchange): void {
    const { store, query } = exchange.target;
    query.choice('watch', ['', 'sse']);
    const asked = {
      store,
      form: query.choice('values', VALUE_FORMS) ?? 'base64',
      prefix: query.get('prefix') ?? '',
      since: sinceOf(exchange),
    };
    if (exchange.request.method === 'HEAD') {
      exchange.reply(200, ['Content-Type', 'text/event-stream']);
      return;
    }
    new KvWatch(exchange, this, asked).start();
  }

  add(watch: KvWatch): void {
    this.#watches.add(watch);
    this.#armTimer();
  }

  remove(watch: KvWatch): void {
    this.#watches.delete(watch);
    if (this.#watches.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  drain(): void {
    for (const watch of [...this.#watches]) watch.drain();
  }

  #armTimer(): void {
    if (this.#timer !== undefined || this.#watches.size === 0) return;
    this.#timer = this.#context.clock.after(this.#context.settings.sseHeartbeatMs, () => {
      this.#timer = undefined;
      for (const watch of this.#watches) watch.beat();
      this.#armTimer();
    });
  }
}

/** A browser that connects again asks for the same URL, and says in the header how far it came. */
function sinceOf({ fields, target }: KvExchange): number | undefined {
  const asked = target.query.count('since', 0, Number.MAX_SAFE_INTEGER);
  const { lastEventId } = fields;
  if (lastEventId === undefined || lastEventId === '') return asked;
  const last = /^(?:0|[1-9]\d{0,15})$/.test(lastEventId) ? Number(lastEventId) : NaN;
  if (Number.isSafeInteger(last)) return last;
  throw new HoldfastError('INVALID_HEADER', 'last-event-id is not the number of a change');
}
