import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents, type ServerEvent } from './event-stream.ts';

async function eventsOf(chunks: Iterable<Uint8Array>): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  async function* body(): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  for await (const event of readEvents(body())) events.push(event);
  return events;
}

const TEXT =
  ': hello\n\nevent: data\ndata: [\ndata: {"k":"ü€😀"},\ndata:]\n\n' +
  'event: control\r\ndata: {"a":1}\r\n\r\ndata\n\n\nid: 3\n\nevent: cut\ndata: off\n';
const EVENTS = [
  { id: '', type: 'data', data: '[\n{"k":"ü€😀"},\n]' },
  { id: '', type: 'control', data: '{"a":1}' },
  { id: '', type: 'message', data: '' },
];

describe('readEvents', () => {
  it('joins data lines, skips comments, and drops an event that is cut off', async () => {
    expect(await eventsOf([Buffer.from(TEXT)])).toEqual(EVENTS);
  });

  it('gives the same events wherever the chunks are cut', async () => {
    const bytes = Buffer.from(TEXT);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        expect(await eventsOf(chunks)).toEqual(EVENTS);
      }),
      { numRuns: 200 },
    );
  });

  it('passes over one byte order mark at the start, and over none later', async () => {
    expect(await eventsOf([Buffer.from('\ufeffdata:a\n\ndata:\ufeffb\n\n')])).toEqual([
      { id: '', type: 'message', data: 'a' },
      { id: '', type: 'message', data: '\ufeffb' },
    ]);
  });

  it('gives each event the number to resume behind, also one that came without data', async () => {
    const text = 'id: 3\ndata: a\n\n:\nid: 7\n\ndata: b\n\n';
    const events = await eventsOf([Buffer.from(text)]);
    expect(events.map(({ id, data }) => [id, data])).toEqual([
      ['3', 'a'],
      ['7', 'b'],
    ]);
  });

  it('takes a line of 16 MiB in small pieces without looking at any of them twice', async () => {
    function* pieces(): Generator<Uint8Array> {
      yield Buffer.from('data:');
      // With time that grows by the square of the length this would outlast the test.
      for (let i = 0; i < 64 * 1024; i++) yield Buffer.alloc(256, 0x61);
      yield Buffer.from('\n\n');
    }
    const [event] = await eventsOf(pieces());
    expect(event?.data.length).toBe(16 * 1024 * 1024);
  });
});
