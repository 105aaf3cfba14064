/**
 * A small client of the protocol over the simulated network: one method per request, each
 * recorded. It has no opinion on retries: those are what the roles differ in.
 */
import type { SeededRandom, SimClock, SimNetwork, SimRequest } from '@holdfast/testkit';
import type { HistoryRecorder } from './history-recorder.ts';
import type { StreamInput, StreamOutput } from './stream-register.ts';
import { codeOf, type Headers, isNotDone, type Reply, WorldCaller } from './world-caller.ts';

export interface WorldParts {
  readonly clock: SimClock;
  readonly network: SimNetwork;
  readonly history: HistoryRecorder<StreamInput, StreamOutput>;
}

/**
 * - `answered`: with what.
 * - `refused`: it had no effect.
 * - `unknown`: nobody knows, and nobody will say.
 */
export type Outcome =
  | { readonly kind: 'answered'; readonly output: StreamOutput; readonly headers: Headers }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown'; readonly whenSettled: () => Promise<void> };

/** What is not an answer: the world is broken, whoever asks. */
export class WorldError extends Error {
  override readonly name = 'WorldError';
}

const TYPES = { text: 'text/plain', json: 'application/json' };
/** The server lets live readers wait for a while. */
const LIVE_MS = 300;

export class WorldClient extends WorldCaller {
  readonly parts: WorldParts;
  #sent = 0;

  constructor(name: string, random: SeededRandom, parts: WorldParts) {
    super(name, random, parts.clock);
    this.parts = parts;
  }

  /** A message nobody else sends, as it rests. */
  message(json: boolean): string {
    const fill = 'x'.repeat(this.random.pick([0, 3, 40, 40, 300]));
    const text = `${this.name}.${this.#sent++}.${fill}`;
    return json ? `"${text}",` : `${text};`;
  }

  create(
    path: string,
    json: boolean,
    input: Omit<Extract<StreamInput, { kind: 'create' }>, 'kind'>,
    own: readonly string[] = input.messages,
    repeatable = true,
  ): Promise<Outcome> {
    const { fork } = input;
    const headers: Record<string, string> = {};
    if (fork === undefined) headers['content-type'] = json ? TYPES.json : TYPES.text;
    if (input.closed) headers['stream-closed'] = 'true';
    if (input.ttlMs !== undefined) headers['stream-ttl'] = String(input.ttlMs / 1000);
    if (fork !== undefined) {
      headers['stream-forked-from'] = targetOf(fork.source);
      headers['stream-fork-offset'] = fork.at;
    }
    return this.#perform(
      path,
      { kind: 'create', ...input },
      { method: 'PUT', target: targetOf(path), headers, repeatable, ...bodyOf(own, json) },
    );
  }

  append(
    path: string,
    json: boolean,
    input: Omit<Extract<StreamInput, { kind: 'append' }>, 'kind'>,
  ): Promise<Outcome> {
    const { producer, streamSeq, messages } = input;
    const headers: Record<string, string> = {};
    if (messages.length > 0) headers['content-type'] = json ? TYPES.json : TYPES.text;
    if (input.close) headers['stream-closed'] = 'true';
    if (streamSeq !== undefined) headers['stream-seq'] = streamSeq;
    if (producer !== undefined) {
      headers['producer-id'] = producer.id;
      headers['producer-epoch'] = String(producer.epoch);
      headers['producer-seq'] = String(producer.seq);
    }
    return this.#perform(
      path,
      { kind: 'append', ...input },
      {
        method: 'POST',
        target: targetOf(path),
        headers,
        // What has no number would be there twice, and rightly so.
        repeatable: producer !== undefined,
        ...bodyOf(messages, json),
      },
    );
  }

  delete(path: string): Promise<Outcome> {
    const request = { method: 'DELETE', target: targetOf(path), repeatable: true };
    return this.#perform(path, { kind: 'delete' }, request);
  }

  head(path: string): Promise<Outcome> {
    const request = { method: 'HEAD', target: targetOf(path), repeatable: true };
    return this.#perform(path, { kind: 'head' }, request);
  }

  /** @param offset as the server gave it out, `-1` or `now`. */
  read(path: string, offset: string, live = false): Promise<Outcome> {
    const query = `?offset=${offset}${live ? '&live=long-poll' : ''}`;
    const from = offset === 'now' ? 'now' : offset === '-1' ? 0 : Number(offset.slice(17));
    return this.#perform(
      path,
      { kind: 'read', from },
      { method: 'GET', target: targetOf(path) + query, repeatable: true },
    );
  }

  async #perform(path: string, input: StreamInput, request: SimRequest): Promise<Outcome> {
    const { network, history } = this.parts;
    const recorded = history.begin(this.name, path, input);
    const sent = network.send(this.name, request, {
      settled: () => recorded.settle(),
      repeated: () => recorded.repeated(),
    });
    const isLive = request.target.includes('live=');
    const timeoutMs = this.timeoutMs + (isLive ? LIVE_MS : 0);
    const reply = await this.reply(sent, input.kind === 'read', timeoutMs);
    const drop = input.kind === 'read' || input.kind === 'head';
    if (reply === 'refused' || (reply !== 'unknown' && isNotDone(reply))) {
      recorded.drop();
      return { kind: 'refused' };
    }
    if (reply === 'unknown' || reply.status >= 500) {
      if (drop) recorded.drop();
      return { kind: 'unknown', whenSettled: () => recorded.whenSettled() };
    }
    const output = outputOf(input, reply);
    recorded.answered(output);
    if (reply.cut) return { kind: 'unknown', whenSettled: () => recorded.whenSettled() };
    return { kind: 'answered', output, headers: reply.headers };
  }
}

export function targetOf(path: string): string {
  return `/v1/stream/${path}`;
}

function bodyOf(messages: readonly string[], json: boolean): { body?: Buffer } {
  if (messages.length === 0) return {};
  const text = messages.join('');
  return { body: Buffer.from(json ? `[${text.slice(0, -1)}]` : text) };
}

/** The bytes of a JSON answer as they rest. */
export function restingText(body: string, headers: Headers, cut: boolean): string {
  if (headers['content-type'] !== TYPES.json) return body;
  const inner = body.slice(1).replace(/\]$/, ''); // no message holds a bracket
  return inner === '' || cut ? inner : `${inner},`;
}

function outputOf(input: StreamInput, reply: Reply): StreamOutput {
  const { status, headers } = reply;
  if (status >= 400) return { answer: refusalOf(input, reply) };
  const standing = `tail=${headers['stream-next-offset']} closed=${isTrue(headers['stream-closed'])}`;
  switch (input.kind) {
    case 'create':
      return { answer: `${status === 201 ? 'created' : 'found'} ${standing}` };
    case 'delete':
      return { answer: 'deleted' };
    case 'head':
      return { answer: `head ${standing}` };
    case 'append': {
      const what = status === 200 ? 'new' : 'kept';
      if (input.producer === undefined) return { answer: `${what} ${standing}` };
      const tag = `epoch=${headers['producer-epoch']} seq=${headers['producer-seq']}`;
      return { answer: `${what} ${standing} ${tag}` };
    }
    case 'read':
      return {
        answer: 'read',
        read: {
          text: status === 204 ? '' : restingText(reply.body, headers, reply.cut),
          to: headers['stream-next-offset'] ?? '',
          upToDate: isTrue(headers['stream-up-to-date']),
          closed: isTrue(headers['stream-closed']),
          cut: reply.cut,
        },
      };
  }
}

/** By status and headers first: a HEAD has no body. */
function refusalOf(input: StreamInput, { status, headers, body }: Reply): string {
  if (status === 404) return 'STREAM_NOT_FOUND';
  if (status === 410) return 'STREAM_GONE';
  if (status === 403) return `PRODUCER_FENCED epoch=${headers['producer-epoch']}`;
  if (headers['stream-closed'] !== undefined) {
    return `STREAM_CLOSED tail=${headers['stream-next-offset']}`;
  }
  const expected = headers['producer-expected-seq'];
  if (expected !== undefined) return `PRODUCER_SEQ_GAP expected=${expected}`;
  const code = codeOf(body);
  if (code !== '') return code;
  throw new WorldError(`unexpected answer to ${input.kind}: ${status} ${body}`);
}

function isTrue(header: string | undefined): boolean {
  return header === 'true';
}
