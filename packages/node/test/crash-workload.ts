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
import { OCTETS, JSON_TYPE, request, type HttpResponse } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';

export interface Message {
  readonly w: number;
  readonly n: number;
}

export const WRITERS = 8;
export const SHARED_STREAMS = 3;
/** Writers from here on append without producer headers, each to a stream of its own. */
export const FIRST_PLAIN_WRITER = 6;

/** What a chain of create, append, close, fork and delete has been acknowledged up to. */
export const CHAIN_STEPS = ['create', 'append', 'close', 'fork', 'delete', 'deleteFork'] as const;
export type ChainStep = (typeof CHAIN_STEPS)[number];

export interface Chain {
  readonly name: string;
  /** Steps acknowledged. */
  done: number;
}

export interface WriterRecord {
  readonly writer: number;
  /** Producers: messages 0..acknowledged-1 are there, each once. */
  acknowledged: number;
  /** Plain writers: which were acknowledged, and which may or may not be there. */
  readonly answered: number[];
  readonly unknown: number[];
  readonly chains: Chain[];
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
  }));
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
      }
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  async #appendAsProducer(record: WriterRecord): Promise<void> {
    const n = record.acknowledged;
    const message: Message = { w: record.writer, n };
    const stream = `shared/${record.writer % SHARED_STREAMS}`;
    await this.#untilAnswered([200, 204], 'POST', stream, {
      headers: { ...JSON_TYPE, ...producer(`writer-${record.writer}`, n) },
      body: JSON.stringify(message),
    });
    record.acknowledged = n + 1;
  }

  async #appendPlain(record: WriterRecord): Promise<void> {
    const n = record.answered.length + record.unknown.length;
    const body = JSON.stringify({ w: record.writer, n } satisfies Message);
    const answer = await this.#once('POST', `plain/${record.writer}`, { headers: JSON_TYPE, body });
    if (answer === undefined) {
      record.unknown.push(n);
      return;
    }
    if (answer.status !== 204) throw new Error(`plain append: ${answer.status} ${answer.text}`);
    record.answered.push(n);
    this.#acknowledge();
  }

  /** One life of a stream and its fork, step by step. */
  async #chain(record: WriterRecord): Promise<void> {
    const name = `chain/${record.writer}/${record.chains.length}`;
    const chain: Chain = { name, done: 0 };
    record.chains.push(chain);
    const steps: Record<ChainStep, () => Promise<void>> = {
      create: () => this.#untilAnswered([200, 201], 'PUT', name, { headers: OCTETS }),
      append: () => this.#chainAppend(name, 0, 'first;', false),
      close: () => this.#chainAppend(name, 1, 'last;', true),
      fork: () =>
        this.#untilAnswered([200, 201], 'PUT', `${name}/fork`, {
          headers: { 'stream-forked-from': `/v1/stream/${name}` },
        }),
      // A retry of a delete that did happen finds the stream gone or absent.
      delete: () => this.#untilAnswered([204, 404, 410], 'DELETE', name, {}),
      deleteFork: () => this.#untilAnswered([204, 404, 410], 'DELETE', `${name}/fork`, {}),
    };
    // Every other chain keeps its fork, so that soft-deleted sources live through all cycles.
    const last = record.chains.length % 2 === 0 ? CHAIN_STEPS.length : CHAIN_STEPS.length - 1;
    for (const step of CHAIN_STEPS.slice(0, last)) {
      await steps[step]();
      chain.done++;
    }
  }

  #chainAppend(name: string, seq: number, body: string, close: boolean): Promise<void> {
    const closing = close ? { 'stream-closed': 'true' } : {};
    const headers = { ...OCTETS, ...producer('chain', seq), ...closing };
    return this.#untilAnswered([200, 204], 'POST', name, { headers, body });
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
    await this.#up;
    if (this.#stopping) throw new Stopped();
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
