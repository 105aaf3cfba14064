/**
 * An endless row of numbers in one stream, from an idempotent producer that sends each until it
 * is answered: whatever ends the server, all that was acknowledged is there once and in order.
 */
import { expect } from 'vitest';
import { openNode } from '../../src/index.ts';
import { JSON_TYPE, readMessages, request, type HttpResponse } from '../http-request.ts';
import type { ServerProcess } from '../server-process.ts';

const RETRY_AFTER_MS = 5;

export class Sequence {
  acknowledged = 0;
  /** Requests without an answer, and answers that say "not now". */
  retries = 0;
  readonly stream: string;
  readonly #server: ServerProcess;
  readonly #padding: string;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(server: ServerProcess, stream: string, paddingBytes = 0) {
    this.#server = server;
    this.stream = stream;
    this.#padding = 'x'.repeat(paddingBytes);
  }

  /** Goes on in the background until `stop`. */
  start(): void {
    this.#stopped = false;
    this.#running = this.#run(Infinity);
  }

  /** Until `count` more are acknowledged. */
  append(count: number): Promise<void> {
    this.#stopped = false;
    return this.#run(this.acknowledged + count);
  }

  /** Rejects with what went wrong, if anything did. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Everything acknowledged is there, once, in order, and at most one more. */
  async check(): Promise<void> {
    const rows = await readMessages<{ n: number }>(this.#server.stream(this.stream));
    expect([this.acknowledged, this.acknowledged + 1]).toContain(rows.length);
    expect(rows.findIndex(({ n }, index) => n !== index)).toBe(-1);
  }

  async #run(until: number): Promise<void> {
    await this.#untilAnswered(() =>
      request('PUT', this.#server.stream(this.stream), { headers: JSON_TYPE }),
    );
    while (this.acknowledged < until && !this.#stopped) {
      const n = this.acknowledged;
      const answered = await this.#untilAnswered(() => this.#send(n));
      if (answered) this.acknowledged = n + 1;
    }
  }

  #send(n: number): Promise<HttpResponse> {
    return request('POST', this.#server.stream(this.stream), {
      headers: {
        ...JSON_TYPE,
        'producer-id': 'sequence',
        'producer-epoch': '0',
        'producer-seq': String(n),
      },
      body: JSON.stringify({ n, padding: this.#padding }),
    });
  }

  /** False when it was stopped first. */
  async #untilAnswered(send: () => Promise<HttpResponse>): Promise<boolean> {
    while (!this.#stopped) {
      const answer = await send().catch(() => undefined);
      if (answer !== undefined && answer.status < 300) return true;
      if (answer !== undefined && answer.status !== 503 && answer.status !== 507) {
        throw new Error(`${this.stream}: ${answer.status} ${answer.text}`);
      }
      this.retries++;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    }
    return false;
  }
}

/** Every byte of a directory that nobody has open. */
export async function expectWhole(dir: string | undefined): Promise<void> {
  const node = await openNode({ dir });
  try {
    expect(await node.verify()).toEqual([]);
  } finally {
    await node.close();
  }
}
