import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StreamInfo } from '../stream-store.ts';
import { encodeEvents, type SseFrame } from './sse-frames.ts';

const CONTROL = { next: { messages: 1, bytes: 5 }, cursor: '77', upToDate: true, closed: false };

interface Event {
  readonly type: string;
  readonly data: string;
}

/** The event stream interpretation of the HTML standard, in its own words. */
function interpret(stream: string): Event[] {
  const events: Event[] = [];
  let type = '';
  let data: string | undefined;
  const lines = stream.split(/\r\n|\r|\n/);
  lines.pop(); // behind the last line end stands nothing, or half a line
  for (const line of lines) {
    if (line === '') {
      if (data !== undefined) events.push({ type: type || 'message', data: data.slice(0, -1) });
      type = '';
      data = undefined;
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') type = value;
    if (field === 'data') data = `${data ?? ''}${value}\n`;
  }
  return events;
}

function info(contentType: string): StreamInfo {
  return { contentType, json: contentType === 'application/json' } as StreamInfo;
}

function eventsOf(frame: SseFrame): Event[] {
  return interpret(frame.plain.toString('utf8'));
}

/** Cuts at random places: a frame is made of several buffers. */
const cutBuffers = (bytes: Uint8Array, cuts: readonly number[]): Buffer[] => {
  const at = [
    0,
    ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b),
    bytes.length,
  ];
  return at.slice(1).map((end, i) => Buffer.from(bytes.subarray(at[i], end)));
};

const cuts = fc.array(fc.nat(), { maxLength: 3 });

describe('SSE frames', () => {
  it('carry any bytes of a binary stream exactly', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), cuts, (bytes, at) => {
        const frame = encodeEvents(
          info('application/octet-stream'),
          cutBuffers(bytes, at),
          CONTROL,
        );
        const events = eventsOf(frame);
        expect(events.map((event) => event.type)).toEqual(['data', 'control']);
        expect(Buffer.from(events[0]?.data ?? '', 'base64')).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 500, seed: 61 },
    );
  });

  it('carry any text, with every line end as a line feed, and let none of it become an event', () => {
    const pieces = fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      ' ',
      ':',
      'data:',
      'event: control',
      'id:',
      'é',
      '',
      '€',
      'x',
    );
    const texts = fc.oneof(
      fc.array(pieces, { minLength: 1, maxLength: 30 }).map((all) => all.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(texts, cuts, (text, at) => {
        fc.pre(text.length > 0 && !text.includes('\ufffd'));
        const bytes = Buffer.from(text);
        const wellFormed = bytes.toString('utf8');
        const events = eventsOf(encodeEvents(info('text/plain'), cutBuffers(bytes, at), CONTROL));
        expect(events.map((event) => event.type)).toEqual(['data', 'control']);
        expect(events[0]?.data).toBe(wellFormed.replaceAll(/\r\n|\r/g, '\n'));
      }),
      { numRuns: 3000, seed: 62 },
    );
  });

  it('carry JSON messages as one array of the same values', () => {
    const message = fc.json().map((text) => JSON.stringify(JSON.parse(text), null, 1));
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 5 }), cuts, (messages, at) => {
        const bytes = Buffer.from(
          messages.map((one) => `${one.replaceAll('\n', '\r\n')},`).join(''),
        );
        const buffers = cutBuffers(bytes, at);
        const events = eventsOf(encodeEvents(info('application/json'), buffers, CONTROL));
        expect(events.map((event) => event.type)).toEqual(['data', 'control']);
        expect(JSON.parse(events[0]?.data ?? '')).toEqual(
          messages.map((one) => JSON.parse(one) as unknown),
        );
      }),
      { numRuns: 500, seed: 63 },
    );
  });

  it('are only a control event when there is nothing new', () => {
    const [event, ...more] = eventsOf(encodeEvents(info('text/plain'), [], CONTROL));
    expect(more).toEqual([]);
    expect(event?.type).toBe('control');
    expect(JSON.parse(event?.data ?? '')).toEqual({
      streamNextOffset: '0000000000000001_0000000000000005',
      streamCursor: '77',
      upToDate: true,
    });
  });

  it('say the end without a cursor, and nothing of the tail before it', () => {
    const controlOf = (control: typeof CONTROL): unknown =>
      JSON.parse(eventsOf(encodeEvents(info('text/plain'), [], control))[0]?.data ?? '');
    expect(controlOf({ ...CONTROL, closed: true })).toEqual({
      streamNextOffset: '0000000000000001_0000000000000005',
      upToDate: true,
      streamClosed: true,
    });
    expect(controlOf({ ...CONTROL, upToDate: false })).toEqual({
      streamNextOffset: '0000000000000001_0000000000000005',
      streamCursor: '77',
    });
  });

  it('are the same bytes as one HTTP chunk', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        const { plain, chunked } = encodeEvents(info('image/png'), [Buffer.from(bytes)], CONTROL);
        const head = `${plain.length.toString(16)}\r\n`;
        expect(chunked.toString('latin1')).toBe(`${head}${plain.toString('latin1')}\r\n`);
      }),
      { numRuns: 100, seed: 64 },
    );
  });
});
