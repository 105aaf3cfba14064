/** Live readers of the model test: a long-poll or an SSE connection while things happen. */
import { isBehind, offsetIn, type LiveChoice } from './model-requests.ts';
import {
  bodyOf,
  compare,
  entityOf,
  format,
  offsetOf,
  tailOf,
  type Expected,
  type ModelRequest,
  type ModelStream,
  type Place,
  type Slice,
} from './protocol-model.ts';
import {
  reach,
  LONG_POLL_SECONDS,
  type ProtocolRun,
  showRequest,
  turn,
  withPatience,
  type Seen,
} from './protocol-run.ts';

type Tell = (what: string) => void;

const CURSOR_EPOCH_MS = Date.UTC(2024, 9, 9);
const CURSOR_INTERVAL_MS = 20_000;
const PATIENCE_TURNS = 5_000;

function toldOf(request: ModelRequest, tell: Tell): ModelRequest {
  tell(`while ${showRequest(request)}`);
  return request;
}

/** The stream a live reader may use and where it starts, or the refusal. */
function begin(
  run: ProtocolRun,
  request: ModelRequest,
): { stream: ModelStream; from: Place | 'now' } | Expected {
  // A catch-up read is refused for the same reasons.
  const probe = run.model.ask({ ...request, method: 'GET' });
  if (probe.status !== 200) return probe;
  const stream = run.model.use(request.path);
  return { stream, from: offsetOf(request.offset as string) };
}

function requestOf(run: ProtocolRun, choice: LiveChoice): ModelRequest {
  const path = choice.pathIn(run.model);
  return { method: 'GET', path, headers: {}, offset: offsetIn(run.model, path, choice.place) };
}

// -- long-poll -----------------------------------------------------------------------------------

export async function longPoll(run: ProtocolRun, choice: LiveChoice, tell: Tell): Promise<void> {
  const request = requestOf(run, choice);
  tell(showRequest(request));
  const client = choice.cursor === 'current' ? String(intervalOf(run)) : choice.cursor;
  const cursor = client === undefined ? '' : `&cursor=${client}`;
  const started = begin(run, request);
  const opened = run.open(request, `live=long-poll${cursor}`);
  const answered = opened.then((response) => run.seenIn(response));
  if ('status' in started) {
    run.expectSame(request, started, await withPatience(answered));
    return;
  }
  const { stream, from } = started;
  const slice = run.model.slice(stream, from);
  let expected = slice.messages.length > 0 ? found(stream, slice) : undefined;
  if (expected === undefined && slice.closed) expected = nothingNew(stream);
  expected ??= await wait(run, choice, stream, from === 'now' ? slice.to : from, answered, tell);
  const seen = await withPatience(answered);
  run.expectSame(request, expected, seen);
  if (seen.status < 300) expectCursor(run, expected, seen.cursor, client);
  await unwatched(run);
}

async function wait(
  run: ProtocolRun,
  choice: LiveChoice,
  stream: ModelStream,
  from: Place,
  answered: Promise<Seen>,
  tell: Tell,
): Promise<Expected> {
  let isAnswered = false;
  void answered.then(() => (isAnswered = true));
  await until(run, () => run.node.stats().liveReaders === 1, 'the long-poll waits');
  run.model.watched.add(stream.key);
  const position = compare(from, tailOf(stream)) > 0 ? from : tailOf(stream);
  try {
    for (const make of choice.meanwhile) {
      const before = stream.messages.length;
      await run.ask(toldOf(make(run.model, stream.path), tell));
      const ended = endOf(run, stream);
      if (ended !== undefined) {
        reach('long-poll ended');
        return ended;
      }
      const now = run.model.use(stream.path);
      if (!isBehind(position, now)) {
        await turn();
        if (isAnswered) throw new Error('a long-poll was woken by nothing that is for it');
        continue;
      }
      reach(now.messages.length === before ? 'long-poll closed' : 'long-poll woken');
      if (now.messages.length === before) return nothingNew(now);
      const whole = run.model.slice(now, tailBefore(now, before), Number.MAX_SAFE_INTEGER);
      const size = whole.to.bytes - whole.from.bytes;
      return found(now, size > run.settings.chunkBytes ? run.model.slice(now, position) : whole);
    }
    for (let i = 0; i < LONG_POLL_SECONDS; i++) {
      await run.seconds(1);
      const ended = endOf(run, stream);
      if (ended !== undefined) {
        // Over by the clock, but not yet taken away: told when the poll ends.
        await run.seconds(LONG_POLL_SECONDS - 1 - i);
        return ended;
      }
    }
    reach('long-poll timed out');
    return nothingNew(stream);
  } finally {
    leave(run, stream);
  }
}

function tailBefore(stream: ModelStream, count: number): Place {
  return tailOf({ ...stream, messages: stream.messages.slice(0, count) });
}

/** The refusal that a reader of `stream` gets when it is gone. */
function endOf(run: ProtocolRun, stream: ModelStream): Expected | undefined {
  const there = run.model.streams.find(({ key }) => key === stream.key);
  if (there === undefined) return { status: 404, headers: {} };
  if (there.softDeleted) return { status: 410, headers: {} };
  if (!run.model.isOver(there)) return undefined;
  return { status: run.model.forks(there) > 0 ? 410 : 404, headers: {} };
}

/** The window of a watched stream does not close; its last reader leaves it one more. */
function leave(run: ProtocolRun, { key }: ModelStream): void {
  run.model.watched.delete(key);
  const stream = run.model.streams.find((other) => other.key === key);
  if (stream?.ttlSeconds === undefined) return;
  const dueMs = Math.min(
    stream.touchedAtMs + stream.ttlSeconds * 1000,
    stream.expiresAt?.ms ?? Number.MAX_SAFE_INTEGER,
  );
  if (dueMs <= run.model.nowMs) run.model.touch(stream);
}

function found(stream: ModelStream, slice: Slice): Expected {
  return {
    status: 200,
    headers: {
      'content-type': stream.contentType,
      'stream-next-offset': format(slice.to),
      ...(slice.upToDate ? { 'stream-up-to-date': 'true' } : {}),
      ...(slice.closed ? { 'stream-closed': 'true' } : {}),
    },
    body: bodyOf(stream, slice.messages),
    entity: entityOf(stream, slice),
  };
}

function nothingNew(stream: ModelStream): Expected {
  return {
    status: 204,
    headers: {
      'stream-next-offset': format(tailOf(stream)),
      'stream-up-to-date': 'true',
      ...(stream.closed ? { 'stream-closed': 'true' } : {}),
    },
  };
}

function intervalOf(run: ProtocolRun): bigint {
  return BigInt(Math.floor((run.model.nowMs - CURSOR_EPOCH_MS) / CURSOR_INTERVAL_MS));
}

function expectCursor(
  run: ProtocolRun,
  expected: Expected,
  cursor: string | undefined,
  client: string | undefined,
): void {
  if (expected.headers['stream-closed'] === 'true') return;
  const interval = intervalOf(run);
  const isNumber = cursor !== undefined && /^\d+$/.test(cursor);
  if (!isNumber || BigInt(cursor) < interval) throw new Error(`cursor ${cursor} at ${interval}`);
  if (client === undefined || !/^\d+$/.test(client)) return;
  if (BigInt(cursor) <= BigInt(client)) throw new Error(`cursor ${cursor} after ${client}`);
}

// -- SSE -----------------------------------------------------------------------------------------

interface SseEvent {
  readonly event: string;
  readonly data: string;
}

export async function serverSentEvents(
  run: ProtocolRun,
  choice: LiveChoice,
  tell: Tell,
): Promise<void> {
  const request = requestOf(run, choice);
  tell(showRequest(request));
  const client = choice.cursor === 'current' ? String(intervalOf(run)) : choice.cursor;
  const cursor = client === undefined ? '' : `&cursor=${client}`;
  const started = begin(run, request);
  const response = await run.open(request, `live=sse${cursor}`);
  if ('status' in started) {
    run.expectSame(request, started, await run.seenIn(response));
    return;
  }
  const { stream, from } = started;
  expectHead(stream, response);
  const reader = new EventReader(response);
  run.model.watched.add(stream.key);
  try {
    let at = from;
    for (;;) {
      const slice = run.model.slice(stream, at);
      await expectEvents(run, reader, stream, slice, client);
      if (slice.upToDate) break;
      at = slice.to;
    }
    if (stream.closed) await reader.expectEnd();
    else await follow(run, choice, stream, at, reader, client, tell);
  } finally {
    await reader.cancel();
    await unwatched(run);
    leave(run, stream);
  }
}

async function follow(
  run: ProtocolRun,
  choice: LiveChoice,
  stream: ModelStream,
  from: Place | 'now',
  reader: EventReader,
  client: string | undefined,
  tell: Tell,
): Promise<void> {
  const tail = tailOf(stream);
  let position = from !== 'now' && compare(from, tail) > 0 ? from : tail;
  for (const make of choice.meanwhile) {
    const count = (run.model.streams.find(({ key }) => key === stream.key) ?? stream).messages
      .length;
    await run.ask(toldOf(make(run.model, stream.path), tell));
    if (endOf(run, stream) !== undefined) {
      reach('sse ended');
      return reader.expectEnd();
    }
    const now = run.model.use(stream.path);
    if (!isBehind(position, now)) continue;
    const change = run.model.slice(now, tailBefore(now, count), Number.MAX_SAFE_INTEGER);
    reach(now.closed ? 'sse closed' : 'sse live');
    await expectEvents(run, reader, now, change, client);
    if (now.closed) return reader.expectEnd();
    position = change.to;
  }
}

function expectHead(stream: ModelStream, response: Response): void {
  const text = stream.json || stream.contentType.toLowerCase().startsWith('text/');
  const encoding = response.headers.get('stream-sse-data-encoding');
  const type = response.headers.get('content-type');
  const right = response.status === 200 && type === 'text/event-stream';
  if (!right || encoding !== (text ? null : 'base64')) {
    throw new Error(`head of SSE: ${response.status} ${type} ${encoding}`);
  }
}

async function expectEvents(
  run: ProtocolRun,
  reader: EventReader,
  stream: ModelStream,
  slice: Slice,
  client: string | undefined,
): Promise<void> {
  if (slice.messages.length > 0) {
    const { event, data } = await reader.next();
    const body = bodyOf(stream, slice.messages);
    const text = stream.json || stream.contentType.toLowerCase().startsWith('text/');
    const wanted = text ? body.toString().replace(/\r\n?/g, '\n') : body.toString('base64');
    if (event !== 'data' || data !== wanted) {
      throw new Error(`SSE of ${stream.path}: expected data ${wanted}, got ${event} ${data}`);
    }
  }
  const { event, data } = await reader.next();
  if (event !== 'control') throw new Error(`SSE: expected control, got ${event} ${data}`);
  const { streamCursor, ...control } = JSON.parse(data) as Record<string, unknown>;
  const wanted = JSON.stringify({
    streamNextOffset: format(slice.to),
    ...(slice.upToDate ? { upToDate: true } : {}),
    ...(slice.closed ? { streamClosed: true } : {}),
  });
  if (JSON.stringify(control) !== wanted) {
    throw new Error(`SSE of ${stream.path}: expected ${wanted}, got ${data}`);
  }
  const closed = slice.closed ? { 'stream-closed': 'true' } : {};
  expectCursor(run, { status: 200, headers: closed }, streamCursor as string, client);
}

class EventReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = '';
  #ended = false;

  constructor(response: Response) {
    this.#reader = (response.body as ReadableStream<Uint8Array>).getReader();
  }

  async next(): Promise<SseEvent> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end < 0) {
        if (!(await this.#more())) throw new Error(`SSE ended early: ${this.#text}`);
        continue;
      }
      const block = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 2);
      if (!block.startsWith(':')) return parse(block);
    }
  }

  async expectEnd(): Promise<void> {
    while (await this.#more());
    if (this.#text !== '') throw new Error(`SSE goes on: ${this.#text}`);
  }

  async cancel(): Promise<void> {
    if (!this.#ended) await this.#reader.cancel();
  }

  async #more(): Promise<boolean> {
    const { done, value } = await withPatience(this.#reader.read());
    if (done) {
      this.#ended = true;
      return false;
    }
    this.#text += this.#decoder.decode(value, { stream: true });
    return true;
  }
}

function parse(block: string): SseEvent {
  let event = '';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field, value] = /^([a-z]+): ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') event = value as string;
    else if (field === 'data') data.push(value as string);
    else throw new Error(`SSE: not a line ${JSON.stringify(line)}`);
  }
  return { event, data: data.join('\n') };
}

function unwatched(run: ProtocolRun): Promise<void> {
  return until(run, () => run.node.stats().liveReaders === 0, 'the live reader leaves');
}

async function until(_run: ProtocolRun, done: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < PATIENCE_TURNS; i++) {
    if (done()) return;
    await turn();
  }
  throw new Error(`never: ${what}`);
}
