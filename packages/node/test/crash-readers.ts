/**
 * Readers beside the writers of a server that is killed again and again: each follows one stream
 * from its start by one of the three ways to read, resumes where it was after every kill, and
 * writes down what it was shown and when.
 *
 * Invariants
 * 1. `seen` is what came before `offset`: nothing is skipped and nothing counted twice.
 * 2. `glimpsed` was shown behind `offset` by a connection that broke before it said where the
 *    reader stands: it must be there after the kill all the same.
 */
import http from 'node:http';
import type { ReadObservation } from '@holdfast/testkit';
import type { CrashWorkload, Message } from './crash-workload.ts';
import { request } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';

export const READER_KINDS = ['catch-up', 'long-poll', 'sse', 'head'] as const;
export type ReaderKind = (typeof READER_KINDS)[number];

const PAUSE_MS = 5;

export function idOf({ w, n }: Message): string {
  return `${w}:${n}`;
}

export class CrashReader {
  readonly stream: string;
  readonly kind: ReaderKind;
  readonly seen: string[] = [];
  glimpsed: string[] = [];
  readonly history: ReadObservation[] = [];
  #offset = '-1';
  readonly #server: ServerProcess;
  readonly #workload: CrashWorkload;
  #open: http.ClientRequest | undefined;

  constructor(server: ServerProcess, workload: CrashWorkload, stream: string, kind: ReaderKind) {
    this.#server = server;
    this.#workload = workload;
    this.stream = stream;
    this.kind = kind;
  }

  /** Until the workload stops. */
  async run(): Promise<void> {
    for (;;) {
      if (!(await this.#workload.goesOn())) return;
      try {
        await this.#readOnce();
      } catch (error) {
        if (error instanceof WrongAnswer) throw error;
        await pause(); // the server is being killed
      }
    }
  }

  /** Ends a connection that would wait. */
  stop(): void {
    this.#open?.destroy();
  }

  async #readOnce(): Promise<void> {
    const invoked = performance.now();
    if (this.kind === 'sse') {
      this.glimpsed = [];
      return this.#events(invoked);
    }
    const method = this.kind === 'head' ? 'HEAD' : 'GET';
    const live = this.kind === 'long-poll' ? '&live=long-poll' : '';
    const url = `${this.#server.stream(this.stream)}?offset=${this.#offset}${live}`;
    const answer = await request(method, url);
    const returned = performance.now();
    if (answer.status === 404 && this.seen.length === 0) return pause(); // not made yet
    if (answer.status !== 200 && answer.status !== 204) {
      throw new WrongAnswer(`${this.kind} of ${this.stream}: ${answer.status} ${answer.text}`);
    }
    if (this.kind === 'head') {
      const from = messagesBefore(answer.nextOffset);
      this.history.push({ kind: 'read', from, messages: [], upToDate: true, invoked, returned });
      return pause();
    }
    const ids = answer.status === 204 ? [] : (JSON.parse(answer.text) as Message[]).map(idOf);
    const upToDate = answer.headers['stream-up-to-date'] === 'true';
    this.#take(ids, answer.nextOffset, upToDate, invoked, returned);
    if (this.kind === 'catch-up') await pause();
  }

  #take(
    messages: string[],
    next: string,
    upToDate: boolean,
    invoked: number,
    returned: number,
  ): void {
    const from = messagesBefore(this.#offset);
    this.history.push({ kind: 'read', from, messages, upToDate, invoked, returned });
    this.seen.push(...messages);
    if (messagesBefore(next) !== this.seen.length) {
      throw new WrongAnswer(`${this.kind}: ${this.seen.length} messages seen, but ${next}`);
    }
    this.#offset = next;
  }

  /** @param invoked what came later may have been sent at any time since then */
  #events(invoked: number): Promise<void> {
    const url = `${this.#server.stream(this.stream)}?offset=${this.#offset}&live=sse`;
    return new Promise((resolve, reject) => {
      const sent = http.get(url, { agent: false }, (response) => {
        if (response.statusCode !== 200) {
          response.resume();
          if (response.statusCode === 404 && this.seen.length === 0) resolve(pause());
          else reject(new WrongAnswer(`sse of ${this.stream}: ${response.statusCode}`));
          return;
        }
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          const blocks = (text + part).split('\n\n');
          text = blocks.pop() as string;
          try {
            for (const block of blocks) this.#event(block, invoked);
          } catch (error) {
            reject(error as Error);
            sent.destroy();
          }
        });
        response.on('close', () => resolve());
        response.on('error', reject);
      });
      this.#open = sent;
      sent.on('error', reject);
    });
  }

  #event(block: string, invoked: number): void {
    const [, event, data] = /^event: (\w+)\n([\s\S]*)$/.exec(block) ?? [];
    if (event === undefined || data === undefined) return; // a heartbeat
    const value: unknown = JSON.parse(data.replace(/^data: ?/gm, ''));
    if (event === 'data') {
      this.glimpsed.push(...(value as Message[]).map(idOf));
      return;
    }
    const control = value as { streamNextOffset: string; upToDate?: boolean };
    const messages = this.glimpsed;
    this.glimpsed = [];
    const upToDate = control.upToDate === true;
    this.#take(messages, control.streamNextOffset, upToDate, invoked, performance.now());
  }
}

/** No kill explains it. */
class WrongAnswer extends Error {}

/** Offsets of this server count messages (decision 0005). */
function messagesBefore(offset: string): number {
  return offset === '-1' ? 0 : Number(offset.split('_')[0]);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
