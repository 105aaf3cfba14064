/**
 * Writers, a receiver of webhooks and workers of pull-wake on a server that is killed again and
 * again. Everybody behaves as well and as badly as real ones do: answers that get lost, receivers
 * that fail, workers that sleep through their lease.
 *
 * Invariants
 * 1. An event is noted as processed only after it was read from the server within a wake.
 * 2. Requests without an answer are retried only where that is safe: appends, by their producer.
 */
import type { SeededRandom } from '@holdfast/testkit';
import { JSON_TYPE, request, type HttpResponse } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';
import { errorCode, SubscriptionClient, type ClaimedWake } from './subscription-client.ts';
import type { Delivery, ReceiverAnswer } from './webhook-receiver.ts';

export const STREAMS: readonly string[] = ['events/0', 'events/1', 'events/2'];
export const HOOK = 'hook';
export const PULL = 'pull';
export const WAKE_STREAM = 'wakes';
export const LEASE_MS = 1_000;

interface OldWake {
  readonly id: string;
  readonly action: 'ack' | 'callback';
  readonly wake: { readonly wake_id: string; readonly generation: number };
  readonly token: string;
}

export class SubscriptionWorkload {
  readonly client: SubscriptionClient;
  /** Events acknowledged to the writer, for each stream. */
  readonly written: number[] = STREAMS.map(() => 0);
  /** Events seen by whoever worked for each subscription. */
  readonly seen: Record<typeof HOOK | typeof PULL, Set<string>> = {
    [HOOK]: new Set(),
    [PULL]: new Set(),
  };
  readonly claims: number[] = [];
  /** Acks with a wake that was over: how often they were refused. */
  fenced = 0;
  repeated = 0;
  readonly wrong: string[] = [];
  readonly #server: ServerProcess;
  readonly #random: SeededRandom;
  readonly #old: OldWake[] = [];
  #writing = true;
  #working = true;

  constructor(server: ServerProcess, random: SeededRandom) {
    this.#server = server;
    this.#random = random;
    this.client = new SubscriptionClient(server);
  }

  /** Until `stopWriting`. */
  async write(): Promise<void> {
    await Promise.all(STREAMS.map((_, index) => this.#write(index)));
  }

  /** Until `stopWorking`. */
  async work(): Promise<void> {
    await Promise.all([this.#work('w1'), this.#work('w2'), this.#tryOldWakes()]);
  }

  stopWriting(): void {
    this.#writing = false;
  }

  stopWorking(): void {
    this.#working = false;
  }

  get events(): string[] {
    return STREAMS.flatMap((path, index) =>
      Array.from({ length: this.written[index] as number }, (_, n) => `${path} ${n}`),
    );
  }

  /** What the receiver does with a wake whose signature was right. */
  async receive({ body }: Delivery): Promise<ReceiverAnswer | undefined> {
    const chance = this.#random.integer(10);
    if (chance === 0) return { status: 500 };
    if (chance === 1) return undefined;
    const acks: { stream: string; offset: string }[] = [];
    try {
      for (const stream of body.streams) {
        if (!stream.has_pending) continue;
        await this.#process(HOOK, stream.path, stream.acked_offset, stream.tail_offset);
        acks.push({ stream: stream.path, offset: stream.tail_offset });
      }
    } catch {
      return { status: 503 }; // the server is down: nothing was processed
    }
    const old = { id: HOOK, action: 'callback', wake: body, token: body.callback_token } as const;
    if (chance < 5) {
      this.#remember(old);
      return { body: { done: true } };
    }
    setTimeout(() => {
      void this.#act(old, acks).then(() => this.#remember(old));
    }, 5);
    return { body: {} };
  }

  async #write(index: number): Promise<void> {
    const url = this.#server.stream(STREAMS[index] as string);
    while (this.#writing) {
      const n = this.written[index] as number;
      const headers = {
        ...JSON_TYPE,
        'producer-id': `writer-${index}`,
        'producer-epoch': '0',
        'producer-seq': String(n),
      };
      const answer = await this.#try(request('POST', url, { headers, body: `{"n":${n}}` }));
      if (answer !== undefined && answer.status < 300) this.written[index] = n + 1;
      await this.#pause(answer === undefined ? 30 : 15);
    }
  }

  async #work(worker: string): Promise<void> {
    while (this.#working) {
      const claimed = await this.#try(this.client.claim(PULL, worker));
      if (claimed?.status !== 200) {
        const code = claimed === undefined ? 'none' : errorCode(claimed);
        if (claimed !== undefined && code === undefined) this.wrong.push(claimed.text);
        await this.#pause(20);
        continue;
      }
      const wake = JSON.parse(claimed.text) as ClaimedWake;
      this.claims.push(wake.generation);
      await this.#workOn(wake);
    }
  }

  async #workOn(wake: ClaimedWake): Promise<void> {
    const old = { id: PULL, action: 'ack', wake, token: wake.token } as const;
    const acks: { stream: string; offset: string }[] = [];
    try {
      for (const stream of wake.streams) {
        if (!stream.has_pending) continue;
        await this.#process(PULL, stream.path, stream.acked_offset, stream.tail_offset);
        acks.push({ stream: stream.path, offset: stream.tail_offset });
      }
    } catch {
      return; // the server is down, or was: the lease runs out
    }
    if (this.#random.integer(15) === 0) {
      await this.#pause(LEASE_MS + 300); // and then it acks as if nothing had been
    }
    await this.#act(old, acks);
    this.#remember(old);
  }

  async #act(old: OldWake, acks: { stream: string; offset: string }[]): Promise<void> {
    const { id, action, wake, token } = old;
    const answer = await this.#try(this.client.act(id, action, wake, token, { acks, done: true }));
    if (answer === undefined || answer.status === 200) return;
    const code = errorCode(answer);
    if (code !== 'FENCED' && code !== 'DRAINING') this.wrong.push(`${action}: ${answer.text}`);
  }

  /** Reads what is between two offsets, and notes it. */
  async #process(
    id: typeof HOOK | typeof PULL,
    path: string,
    from: string,
    to: string,
  ): Promise<void> {
    let at = from;
    while (at < to) {
      const read = await request('GET', `${this.#server.stream(path)}?offset=${at}`);
      if (read.status !== 200) throw new Error(`read: ${read.status}`);
      for (const { n } of JSON.parse(read.text) as { n: number }[]) {
        const event = `${path} ${n}`;
        if (this.seen[id].has(event)) this.repeated++;
        this.seen[id].add(event);
      }
      if (read.nextOffset === at) this.wrong.push(`${path} ends before ${to}`);
      at = read.nextOffset;
    }
  }

  /** Wakes that were answered: using one again must change nothing. */
  async #tryOldWakes(): Promise<void> {
    while (this.#working) {
      await this.#pause(40);
      const old = this.#old[this.#random.integer(Math.max(1, this.#old.length))];
      if (old === undefined) continue;
      const { id, action, wake, token } = old;
      // Of a wake that was answered with the kill in between it is not known whether it is over.
      const now = await this.#try(this.client.send('GET', `subscriptions/${id}`));
      if (now?.status !== 200) continue;
      const { generation } = JSON.parse(now.text) as { generation: number };
      if (generation <= wake.generation) continue;
      const answer = await this.#try(this.client.act(id, action, wake, token, { done: true }));
      if (answer === undefined) continue;
      if (errorCode(answer) === 'FENCED') this.fenced++;
      else this.wrong.push(`an old wake: ${answer.status} ${answer.text}`);
    }
  }

  #remember(old: OldWake): void {
    this.#old.push(old);
  }

  async #try(sent: Promise<HttpResponse>): Promise<HttpResponse | undefined> {
    try {
      const answer = await sent;
      return answer.status === 503 ? undefined : answer;
    } catch {
      return undefined; // killed
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, delayMs));
  }
}
