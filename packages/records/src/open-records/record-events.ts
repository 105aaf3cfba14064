/** Tells listeners what happens to records. One that throws disturbs nobody: it is logged. */
import type { Logger } from '@holdfast/core';
import type { RecordsEvent } from '../records.ts';

type Listener = (event: RecordsEvent) => void;

export class RecordEvents {
  readonly #logger: Logger;
  readonly #listeners = new Set<{ readonly listener: Listener }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  on(listener: Listener): { cancel(): void } {
    const one = { listener };
    this.#listeners.add(one);
    return { cancel: () => void this.#listeners.delete(one) };
  }

  tell(event: RecordsEvent): void {
    for (const { listener } of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#logger.error('records.listener-failed', { event: event.type, error: String(error) });
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
