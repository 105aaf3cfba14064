/**
 * A tailer over SSE: connects from where it stands, takes events as they come, and connects again
 * when the connection ends. Each data event with its control event is one read in the history.
 */
import type { SentRequest } from '@holdfast/testkit';
import { restingText, targetOf, WorldError, type WorldClient } from './world-client.ts';
import { bytesOf } from './stream-register.ts';

interface Control {
  readonly streamNextOffset: string;
  readonly upToDate?: boolean;
  readonly streamClosed?: boolean;
}

export interface TailState {
  offset: string;
  /** Everything so far, as it rests. */
  text: string;
  closed: boolean;
  /** The stream is gone. */
  over: boolean;
}

/**
 * One connection, from start to end.
 * @param attentive it never stops reading
 */
export async function tailOverSse(
  client: WorldClient,
  path: string,
  json: boolean,
  tail: TailState,
  until: () => boolean,
  attentive = false,
): Promise<void> {
  const { network, history } = client.parts;
  const target = `${targetOf(path)}?offset=${tail.offset}&live=sse`;
  const since = history.now();
  const sent = network.send(client.name, { method: 'GET', target });
  const head = await client.inTime(sent.head).catch(() => undefined);
  if (head?.status !== 200) {
    if (head?.status === 404 || head?.status === 410) tail.over = true;
    sent.abort();
    return;
  }
  const see = (data: string | undefined, control: Control): void => {
    const { offset } = tail;
    const from = offset === 'now' ? offset : offset === '-1' ? 0 : bytesOf(offset);
    const body = data ?? (json ? '[]' : '');
    const type = { 'content-type': json ? 'application/json' : 'text/plain' };
    const text = restingText(body, type, false);
    const { streamNextOffset: to, upToDate = false, streamClosed: closed = false } = control;
    const read = { text, to, upToDate: upToDate || closed, closed, cut: false };
    history.saw(client.name, path, { kind: 'read', from }, { answer: 'read', read }, since);
    tail.offset = to;
    tail.text += text;
    tail.closed = closed;
  };
  await takeEvents(client, sent, see, () => tail.closed || until(), attentive ? 0 : 0.1);
  sent.abort();
}

/** Ends with the connection, when it is silent for long, or when `done`. */
async function takeEvents(
  client: WorldClient,
  sent: SentRequest,
  see: (data: string | undefined, control: Control) => void,
  done: () => boolean,
  distraction: number,
): Promise<void> {
  let unparsed = '';
  let data: string | undefined;
  while (!done()) {
    // Now and then a reader that does not read: the server has to hold back, and not to hold up.
    if (client.random.chance(distraction)) await client.pause(client.random.pick([60, 60, 500]));
    let chunk: Buffer | undefined;
    try {
      chunk = await client.inTime(sent.read(), 400);
    } catch {
      return;
    }
    if (chunk === undefined) return;
    unparsed += chunk.toString('latin1');
    const events = unparsed.split('\n\n');
    unparsed = events.pop() ?? '';
    for (const event of events) {
      if (event.startsWith(':')) continue;
      const payload = /^event: (data|control)\ndata:(.*)$/s.exec(event);
      if (payload === null) throw new WorldError(`not an event: ${JSON.stringify(event)}`);
      if (payload[1] === 'data') {
        if (data !== undefined) throw new WorldError('a data event without its control event');
        data = payload[2];
      } else {
        see(data, JSON.parse(payload[2] as string) as Control);
        data = undefined;
      }
    }
  }
}

/** With a healthy server and network, longer than any step of catching up takes, on a slow disk too. */
const SILENCE_MS = 200;

/**
 * While nothing fails: a message that is appended while a reader catches up, or waits, reaches it
 * soon, and not only when its connection is renewed.
 */
export async function expectDelivery(
  client: WorldClient,
  path: string,
  json: boolean,
  offset: string,
): Promise<void> {
  const { clock } = client.parts;
  const message = client.message(json);
  const tail: TailState = { offset, text: '', closed: false, over: false };
  const arrived = (): boolean => tail.text.includes(message) || tail.closed || tail.over;
  let lastMs = clock.monotonicMs();
  let late = false;
  const tailing = (async (): Promise<void> => {
    while (!arrived() && !late) {
      await tailOverSse(client, path, json, tail, () => late || arrived(), true);
    }
  })();
  await client.pause(40);
  // What is there before the reader is heard is not after its `now`.
  for (let i = 0; tail.offset === 'now' && i < 400; i++) await client.pause(5);
  const outcome = await client.append(path, json, { messages: [message], close: false });
  const refused = outcome.kind !== 'answered' || !outcome.output.answer.startsWith('kept ');
  for (let length = -1; !arrived() && !late;) {
    if (length !== tail.text.length) lastMs = clock.monotonicMs();
    length = tail.text.length;
    late = refused || clock.monotonicMs() - lastMs > SILENCE_MS;
    await client.pause(5);
  }
  await tailing;
  if (!refused && !arrived()) throw new WorldError(`a reader of ${path} was not told of a message`);
}
