/**
 * Counts what goes through a store: calls by operation and outcome, bytes, time. Keys are no part
 * of it: there would be as many counters as objects.
 *
 * Around a retrying store it sees what its users see, inside of one every attempt.
 */
import { type Clock, type ErrorCode, isHoldfastError } from '@holdfast/core';
import { readOnce } from './object-content.ts';
import type {
  CallOptions,
  GetOptions,
  LeftoverOptions,
  ListOptions,
  ObjectBody,
  ObjectContent,
  ObjectInfo,
  ObjectPage,
  ObjectStore,
  ObjectStoreCapabilities,
  PutOptions,
  PutResult,
} from './object-store.ts';

/** `get` is until the store has answered, `read` the body from then to its end. */
export type ObjectOperation =
  'put' | 'get' | 'read' | 'head' | 'delete' | 'list' | 'removeLeftovers';

/** `left`: a body that its reader did not want to its end. `FAILED`: not an error of Holdfast. */
export type ObjectOutcome = 'ok' | 'left' | 'FAILED' | ErrorCode;

export interface OperationMetrics {
  readonly outcomes: Readonly<Partial<Record<ObjectOutcome, number>>>;
  /** Of all outcomes. The last count is of what took longer than every bound. */
  readonly latency: { readonly counts: readonly number[]; readonly sumMs: number };
  readonly underWay: number;
}

export interface ObjectStoreMetrics {
  readonly operations: Readonly<Record<ObjectOperation, OperationMetrics>>;
  /** Of puts that succeeded. */
  readonly bytesPut: number;
  /** That readers were given, of bodies that failed too. */
  readonly bytesRead: number;
}

/** Upper bounds of the latency counts. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
];

class Meter {
  readonly #outcomes: Partial<Record<ObjectOutcome, number>> = {};
  readonly #counts: number[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  #sumMs = 0;
  #underWay = 0;

  begin(clock: Clock): (outcome: ObjectOutcome) => void {
    const startedMs = clock.monotonicMs();
    this.#underWay++;
    return (outcome) => {
      const tookMs = clock.monotonicMs() - startedMs;
      const found = LATENCY_BOUNDS_MS.findIndex((bound) => tookMs <= bound);
      const bucket = found < 0 ? LATENCY_BOUNDS_MS.length : found;
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
      this.#sumMs += tookMs;
      this.#underWay--;
      this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1;
    };
  }

  snapshot(): OperationMetrics {
    return {
      outcomes: { ...this.#outcomes },
      latency: { counts: [...this.#counts], sumMs: this.#sumMs },
      underWay: this.#underWay,
    };
  }
}

export class InstrumentedObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #meters: Readonly<Record<ObjectOperation, Meter>> = {
    put: new Meter(),
    get: new Meter(),
    read: new Meter(),
    head: new Meter(),
    delete: new Meter(),
    list: new Meter(),
    removeLeftovers: new Meter(),
  };
  #bytesPut = 0;
  #bytesRead = 0;

  constructor(inner: ObjectStore, components: { readonly clock: Clock }) {
    this.#inner = inner;
    this.#clock = components.clock;
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  /** Of this moment; nothing in it changes afterwards. */
  metrics(): ObjectStoreMetrics {
    const operations = Object.entries(this.#meters).map(([name, meter]) => [
      name,
      meter.snapshot(),
    ]);
    return {
      operations: Object.fromEntries(operations) as Record<ObjectOperation, OperationMetrics>,
      bytesPut: this.#bytesPut,
      bytesRead: this.#bytesRead,
    };
  }

  async put(key: string, body: ObjectBody, options?: PutOptions): Promise<PutResult> {
    const result = await this.#measured('put', () => this.#inner.put(key, body, options));
    this.#bytesPut += result.size;
    return result;
  }

  async get(key: string, options?: GetOptions): Promise<ObjectContent> {
    const content = await this.#measured('get', () => this.#inner.get(key, options));
    return { ...content, body: readOnce(() => this.#body(content)) };
  }

  head(key: string, options?: CallOptions): Promise<ObjectInfo> {
    return this.#measured('head', () => this.#inner.head(key, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#measured('delete', () => this.#inner.delete(key, options));
  }

  list(options?: ListOptions): Promise<ObjectPage> {
    return this.#measured('list', () => this.#inner.list(options));
  }

  removeLeftovers(options: LeftoverOptions): Promise<number> {
    return this.#measured('removeLeftovers', () => this.#inner.removeLeftovers(options));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async *#body(content: ObjectContent): AsyncGenerator<Buffer, void, void> {
    const end = this.#meters.read.begin(this.#clock);
    let outcome: ObjectOutcome = 'left';
    try {
      for await (const piece of content.body) {
        this.#bytesRead += piece.length;
        yield piece;
      }
      outcome = 'ok';
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      end(outcome);
    }
  }

  async #measured<Result>(operation: ObjectOperation, act: () => Promise<Result>): Promise<Result> {
    const end = this.#meters[operation].begin(this.#clock);
    try {
      const result = await act();
      end('ok');
      return result;
    } catch (error) {
      end(outcomeOf(error));
      throw error;
    }
  }
}

function outcomeOf(error: unknown): ObjectOutcome {
  return isHoldfastError(error) ? error.code : 'FAILED';
}
