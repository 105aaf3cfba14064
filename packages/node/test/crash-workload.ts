/**
 * Eight writers on a server that is killed again and again, and the record of what it had
 * acknowledged. Every request that got no answer is sent again, unchanged, after the restart.
 *
 * Invariants
 * 1. A request's answer is noted before the writer sends the next: at a kill, each writer has at
 *    most one request whose outcome is unknown.
 * 2. Requests of producers, creates, closes and deletes are retried until answered; a plain
 *    append is never retried, and its outcome stays unknown when the answer was lost.
 */
import type { AppendObservation } from '@holdfast/testkit';
import { CHAINS, type Chain, type ChainRequest } from './crash-chains.ts';
import { JSON_TYPE, request, type HttpResponse } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';

export interface Message {
  readonly w: number;
  readonly n: number;
}

export const WRITERS = 8;
export const SHARED_STREAMS = 3;
/** Writers from here on append without producer headers, each to a stream of its own. */
export const FIRST_PLAIN_WRITER = 6;
const EXPIRES_AFTER_MS = 400;

export interface WriterRecord {
  readonly writer: number;
  /** Producers: messages 0..acknowledged-1 are there, each once. */
  acknowledged: number;
  /** Plain writers: which were acknowledged, and which may or may not be there. */
  readonly answered: number[];
  readonly unknown: number[];
  readonly chains: Chain[];
  /** Streams with an absolute end, all acknowledged. */
  readonly ending: { readonly name: string; readonly expiresAtMs: number }[];
}

/** Thrown into a writer when the workload ends. */
export class Stopped extends Error {}

export class CrashWorkload {
  readonly records: WriterRecord[] = Array.from({ length: WRITERS }, (_, writer) => ({
    writer,
    acknowledged: 0,
    answered: [],
    unknown: [],
    chains: [],
    ending: [],
  }));
  /** Every append to the shared and plain streams, by stream. */
  readonly appends = new Map<string, AppendObservation[]>();
  acknowledgements = 0;
  retries = 0;
  readonly #server: ServerProcess;
  readonly #onAcknowledged: () => void;
  #stopping = false;
  #up: Promise<void> = Promise.resolve();
  #resume: () => void = () => undefined;

  constructor(server: ServerProcess, onAcknowledged: () => void) {
    this.#server = server;
    this.#onAcknowledged = onAcknowledged;
  }

  /** Writers wait until `resume`. */
  hold(): void {
    this.#up = new Promise((resolve) => (this.#resume = resolve));
  }

  resume(): void {
    this.#resume();
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Waits while the server is down; false once the workload ends. */
  async goesOn(): Promise<boolean> {
    await this.#up;
    return !this.#stopping;
  }

  /** Runs until `stop`; rejects on an answer that no kill explains. */
  async run(): Promise<void> {
    for (let index = 0; index < SHARED_STREAMS; index++) {
      await this.#untilAnswered([200, 201], 'PUT', `shared/${index}`, { headers: JSON_TYPE });
    }
    await Promise.all(this.records.map((record) => this.#writer(record)));
  }

  async #writer(record: WriterRecord): Promise<void> {
    const plain = record.writer >= FIRST_PLAIN_WRITER;
    try {
      if (plain) {
        const headers = JSON_TYPE;
        await this.#untilAnswered([200, 201], 'PUT', `plain/${record.writer}`, { headers });
      }
      for (let turn = 0; ; turn++) {
        if (plain) await this.#appendPlain(record);
        else await this.#appendAsProducer(record);
        if (turn % 12 === record.writer) await this.#chain(record);
        if (turn % 24 === record.writer) await this.#ending(record);
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  async #appendAsProducer(record: WriterRecord): Promise<void> {
    const n = record.acknowledged;
    const message: Message = { w: record.writer, n };
    const stream = `shared/${record.writer % SHARED_STREAMS}`;
    const observed = this.#observe(stream, message);
    await this.#untilAnswered([200, 204], 'POST', stream, {
      headers: { ...JSON_TYPE, ...producer(`writer-${record.writer}`, n) },
      body: JSON.stringify(message),
    });
    observed(true);
    record.acknowledged = n + 1;
  }

  async #appendPlain(record: WriterRecord): Promise<void> {
    const n = record.answered.length + record.unknown.length;
    const message: Message = { w: record.writer, n };
    const stream = `plain/${record.writer}`;
    const observed = this.#observe(stream, message);
    const body = JSON.stringify(message);
    const answer = await this.#once('POST', stream, { headers: JSON_TYPE, body });
    if (answer === undefined) {
      record.unknown.push(n);
      return;
    }
    if (answer.status !== 204) throw new Error(`plain append: ${answer.status} ${answer.text}`);
    observed(true);
    record.answered.push(n);
    this.#acknowledge();
  }

  /** From now on; what is called when it is over says whether it was acknowledged. */
  #observe(stream: string, { w, n }: Message): (acknowledged: boolean) => void {
    const history = this.appends.get(stream) ?? [];
    this.appends.set(stream, history);
    const invoked = performance.now();
    const index = history.length;
    const base = { kind: 'append' as const, message: `${w}:${n}`, invoked };
    history.push({ ...base, acknowledged: false, returned: Infinity });
    return (acknowledged) => {
      history[index] = { ...base, acknowledged, returned: performance.now() };
    };
  }

  /** One life of some streams, step by step. */
  async #chain(record: WriterRecord): Promise<void> {
    const kind = CHAINS[record.chains.length % CHAINS.length] as (typeof CHAINS)[number];
    const chain: Chain = kind.begin(record.writer, record.chains.length);
    record.chains.push(chain);
    for (const step of chain.steps) {
      await this.#send(step);
      chain.done++;
    }
  }

  #send({ method, stream, expected, ...options }: ChainRequest): Promise<void> {
    return this.#untilAnswered(expected, method, stream, options);
  }

  async #ending(record: WriterRecord): Promise<void> {
    const expiresAtMs = Date.now() + EXPIRES_AFTER_MS;
    const name = `ending/${record.writer}/${record.ending.length}`;
    const headers = { ...JSON_TYPE, 'stream-expires-at': new Date(expiresAtMs).toISOString() };
    await this.#untilAnswered([200, 201], 'PUT', name, { headers, body: '[1,2]' });
    record.ending.push({ name, expiresAtMs });
  }

  async #untilAnswered(
    expected: readonly number[],
    method: string,
    stream: string,
    options: Parameters<typeof request>[2],
  ): Promise<void> {
    for (;;) {
      const answer = await this.#once(method, stream, options);
      if (answer === undefined) {
        this.retries++;
        continue;
      }
      if (!expected.includes(answer.status)) {
        throw new Error(`${method} ${stream}: ${answer.status} ${answer.text}`);
      }
      this.#acknowledge();
      return;
    }
  }

  async #once(
    method: string,
    stream: string,
    options: Parameters<typeof request>[2],
  ): Promise<HttpResponse | undefined> {
    if (!(await this.goesOn())) throw new Stopped();
    try {
      return await request(method, this.#server.stream(stream), options);
    } catch {
      // Let the killer say so before the next try.
      await new Promise((resolve) => setTimeout(resolve, 1));
      return undefined;
    }
  }

  #acknowledge(): void {
    this.acknowledgements++;
    this.#onAcknowledged();
  }
}

function producer(id: string, seq: number): Record<string, string> {
  return { 'producer-id': id, 'producer-epoch': '0', 'producer-seq': String(seq) };
}
