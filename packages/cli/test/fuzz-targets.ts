/** The parsers of the command: events and JSON from a server, arguments from a shell. */
import { encodeEvents } from '@holdfast/streams';
import type { FuzzTarget } from '@holdfast/testkit';
import {
  parseRestoreTarget,
  type RestoreTargetArgument,
  timeText,
} from '../src/backup/restore-target.ts';
import { CommandError } from '../src/command-error.ts';
import { runCommandLine } from '../src/command-line.ts';
import { COMMANDS } from '../src/commands.ts';
import { readEvents, type ServerEvent } from '../src/event-stream.ts';
import { EXIT } from '../src/exit-codes.ts';
import { jsonElements } from '../src/json-elements.ts';
import { FakeConsole } from './fake-console.ts';

async function eventsOf(pieces: Iterable<Uint8Array>): Promise<ServerEvent[]> {
  async function* body(): AsyncGenerator<Uint8Array> {
    yield* pieces;
  }
  const events: ServerEvent[] = [];
  for await (const event of readEvents(body())) events.push(event);
  return events;
}

function cutInto(bytes: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

/** However the network cuts them, the events are the same. */
const eventTarget: FuzzTarget<ServerEvent[]> = {
  name: 'event-stream',
  corpus: [
    'event: data\ndata:a\ndata: b\r\n\r\nevent: control\ndata:{}\n\n:\n\n',
    'data\r\rdata:x\n\n',
  ].map((text) => Buffer.from(text)),
  tokens: ['\r', '\n', '\r\n', 'data:', 'event:', ':', '\ufeff', 'ä', '\0'],
  codes: [],
  cost: 2,
  maxBytes: 8 * 1024,
  parse: (input) => eventsOf([input]),
  async check(events, input) {
    for (const size of [1, 3, 64]) {
      const again = await eventsOf(cutInto(input, size));
      if (JSON.stringify(again) !== JSON.stringify(events)) throw new Error(`differs by ${size}`);
    }
  },
};

const INFO = { contentType: 'text/plain' } as Parameters<typeof encodeEvents>[0];
const CONTROL = {
  next: { messages: 1, bytes: 2 },
  cursor: '1',
  upToDate: true,
  closed: false,
};

/** No text of a stream can end its event, start another, or come out as another text. */
const roundTripTarget: FuzzTarget<ServerEvent[]> = {
  name: 'event-round-trip',
  corpus: [
    'plain',
    'two\nlines\r\nor\rthree',
    ' space first',
    'data: x\n\nevent: control\ndata:{}\n\n',
  ].map((text) => Buffer.from(text)),
  tokens: ['\n\n', '\r', '\r\n\r\n', 'event: control', 'data:', ' ', '\ufeff'],
  codes: [],
  maxBytes: 8 * 1024,
  parse: (input) => eventsOf([encodeEvents(INFO, [input], CONTROL).plain]),
  check(events, input) {
    const text = input.toString('utf8').replace(/\r\n|\r/g, '\n');
    const expected = input.length === 0 ? ['control'] : ['data', 'control'];
    const types = events.map(({ type }) => type);
    if (types.join() !== expected.join()) throw new Error(`events ${types.join()}`);
    if (input.length > 0 && events[0]?.data !== text) throw new Error('another text');
  },
};

const elementsTarget: FuzzTarget<string[]> = {
  name: 'json-elements',
  corpus: ['[1,{"a":[1,"],["]},"\\"",]', ' [ ] ', '[[],{}\n,\r\n"x"]'].map((text) =>
    Buffer.from(text),
  ),
  tokens: ['[', ']', '{', '}', ',', '"', '\\', '\n'],
  codes: [],
  allows: (error) => error instanceof SyntaxError,
  parse: (input) => jsonElements(input.toString('utf8')),
  check(elements, input) {
    if (elements.some((each) => /[\r\n]/.test(each))) throw new Error('an element on two lines');
    let value: unknown;
    try {
      value = JSON.parse(input.toString('utf8'));
    } catch {
      return; // the server has checked the grammar: what comes of other bytes does not matter
    }
    const found = elements.map((each) => JSON.parse(each) as unknown);
    if (JSON.stringify(found) !== JSON.stringify(value)) throw new Error('other elements');
  },
};

/** Of every command only its declaration: nothing is done. */
const commands = COMMANDS.map((command) => ({ ...command, run: () => Promise.resolve(EXIT.ok) }));
const codes = new Set<number>(Object.values(EXIT));

/** One argument on each line. */
const commandTarget: FuzzTarget<{ exit: number; console: FakeConsole }> = {
  name: 'command-line',
  corpus: [
    'stream\nappend\na/b\n--json',
    'serve\n--port\n4437\n--log-level=info',
    'help\nstream\nread',
    'stream\n--help',
    'verify\n./data\n--\n--help',
  ].map((text) => Buffer.from(text)),
  tokens: [
    '\n',
    '--',
    '-',
    '--json',
    '--help',
    '=',
    '__proto__',
    '--constructor',
    '\n-h',
    'toString',
  ],
  codes: [],
  async parse(input) {
    const console = new FakeConsole();
    const args = input.length === 0 ? [] : input.toString('utf8').split('\n');
    return { exit: await runCommandLine(args, console, commands), console };
  },
  check({ exit, console }) {
    if (exit !== EXIT.ok && exit !== EXIT.usage) throw new Error(`exit code ${exit}`);
    if (!codes.has(exit)) throw new Error(`no exit code: ${exit}`);
    if (exit === EXIT.usage && console.stderrText === '') throw new Error('fails without a word');
  },
};

const NOW_MS = Date.UTC(2026, 4, 17);

/** A time that is taken is one that can be written again, and means the same then. */
const restoreTarget: FuzzTarget<RestoreTargetArgument> = {
  name: 'restore-target',
  corpus: [
    'latest',
    '42',
    'mark:before',
    '-15m',
    '2026-05-17T09:30:00Z',
    '2024-02-29T23:59:59.999+23:59',
  ].map((text) => Buffer.from(text)),
  tokens: ['-', '+', ':', 'T', 'Z', '.', '00', '31', '99', '24', 'd', 'mark:', '\0', '9'],
  codes: [],
  maxBytes: 1024,
  allows: (error) => error instanceof CommandError && error.code === 'USAGE',
  parse: (input) => parseRestoreTarget(input.toString('utf8'), NOW_MS),
  check(target) {
    if (target === 'latest' || 'name' in target) return;
    const value = 'lsn' in target ? target.lsn : target.timeMs;
    if (!Number.isSafeInteger(value) || value < ('lsn' in target ? 1 : -86_400_000)) {
      throw new Error(`no such point: ${value}`);
    }
    if ('timeMs' in target && target.timeMs >= 0) {
      const again = parseRestoreTarget(timeText(target.timeMs), NOW_MS);
      if (JSON.stringify(again) !== JSON.stringify(target)) throw new Error('another time');
    }
  },
};

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  eventTarget,
  roundTripTarget,
  elementsTarget,
  commandTarget,
  restoreTarget,
];
