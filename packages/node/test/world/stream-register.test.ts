/** The judge is judged: histories that must be refused, made by hand and from real ones. */
import { checkLinearizable, SeededRandom } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import {
  messagesOf,
  positionOf,
  streamRegister,
  type StreamInput,
  type StreamOperation,
  type StreamOutput,
} from './stream-register.ts';
import { judge, World, worldTotals } from './world-history.ts';

type Step = [input: StreamInput, output: StreamOutput | undefined];

/** One after the other, unless a step is a list: those overlap. */
function holds(...steps: (Step | Step[])[]): boolean {
  const history: StreamOperation[] = [];
  for (const [index, step] of steps.entries()) {
    const beside = (typeof step[0] === 'object' && 'kind' in step[0] ? [step] : step) as Step[];
    for (const [i, [input, output]] of beside.entries()) {
      const invoked = index * 100 + i;
      const returned = index * 100 + 50 + i;
      const times = { invoked, returned, invokedMs: invoked, returnedMs: returned };
      history.push({ client: 'c', path: 'p', input, output, ...times });
    }
  }
  return checkLinearizable(streamRegister(), history).linearizable;
}

const at = (text: string): string => positionOf(messagesOf(text).length, text.length);

const create: Step = [
  { kind: 'create', closed: false, messages: [] },
  { answer: `created tail=${at('')} closed=false` },
];
const remove: Step = [{ kind: 'delete' }, { answer: 'deleted' }];
const notFound = { answer: 'STREAM_NOT_FOUND' };

/** @param after what the stream holds then; absent: nobody heard. */
function append(message: string, after?: string, close = false): Step {
  const output = { answer: `kept tail=${at(after ?? '')} closed=${close}` };
  const input: StreamInput = { kind: 'append', messages: [message], close };
  return [input, after === undefined ? undefined : output];
}

function numbered(message: string, seq: number, answer: string): Step {
  const producer = { id: 'p', epoch: 0, seq };
  return [{ kind: 'append', messages: [message], close: false, producer }, { answer }];
}

function read(text: string, closed = false, upToDate = true): Step {
  const to = at(text);
  return [
    { kind: 'read', from: 0 },
    { answer: 'read', read: { text, to, upToDate, closed, cut: false } },
  ];
}

function head(text: string, closed = false): Step {
  return [{ kind: 'head' }, { answer: `head tail=${at(text)} closed=${closed}` }];
}

const a = append('a;', 'a;');
const b = append('b;', 'a;b;');
const tagged = (text: string, seq: number): string =>
  `tail=${at(text)} closed=false epoch=0 seq=${seq}`;

describe('a stream as a sequential object', () => {
  const accepted: Record<string, (Step | Step[])[]> = {
    'appends and reads': [create, a, b, read('a;b;'), head('a;b;')],
    'a read beside an append, before it or behind it': [create, a, [b, read('a;'), read('a;b;')]],
    'an append nobody heard of, which is there': [create, append('a;'), read('a;')],
    'an append nobody heard of, which is not': [create, append('a;'), read('')],
    'the beginning of a stream': [create, a, b, read('a;', false, false)],
    'a retry that is answered as a duplicate': [
      create,
      numbered('a;', 0, `new ${tagged('a;', 0)}`),
      numbered('a;', 0, `kept ${tagged('a;', 0)}`),
      read('a;'),
    ],
    'a new stream at a deleted path': [
      create,
      a,
      remove,
      [{ kind: 'head' }, notFound],
      create,
      read(''),
    ],
    'a closed stream': [
      create,
      append('a;', 'a;', true),
      [
        { kind: 'append', messages: ['b;'], close: false },
        { answer: `STREAM_CLOSED tail=${at('a;')}` },
      ],
      read('a;', true),
    ],
  };
  const rejected: Record<string, (Step | Step[])[]> = {
    'swapped appends': [create, a, b, read('b;a;')],
    'an acknowledged append that is lost': [create, a, b, read('a;')],
    'an append that is there twice': [create, a, read('a;a;')],
    'a stale read': [create, a, b, read('a;'), read('a;b;')],
    'a stale HEAD': [create, a, head('')],
    'less data that calls itself up to date': [create, a, b, read('a;', false, true)],
    'a HEAD ahead of a later read': [create, a, [append('b;'), head('a;b;')], read('a;')],
    'a read that a crash took back': [create, a, append('b;'), read('a;b;'), read('a;')],
    'a tail that a crash took back': [create, a, append('b;'), head('a;b;'), head('a;')],
    'a stream that comes back after its deletion': [create, a, remove, read('a;')],
    'old content in a new stream': [create, a, remove, create, read('a;')],
    'a stream that opens again': [create, append('a;', 'a;', true), append('b;', 'a;b;')],
    'a closure that is forgotten': [create, append('a;', 'a;', true), read('a;', false)],
    'a retry that is appended again': [
      create,
      numbered('a;', 0, `new ${tagged('a;', 0)}`),
      numbered('a;', 0, `new ${tagged('a;a;', 0)}`),
    ],
    'a producer whose state is forgotten': [
      create,
      numbered('a;', 0, `new ${tagged('a;', 0)}`),
      numbered('b;', 1, 'PRODUCER_SEQ_GAP expected=0'),
    ],
    'a refusal without a reason': [create, [{ kind: 'head' }, notFound]],
    'an append behind a later one': [create, append('a;', 'b;a;'), append('b;', 'b;')],
  };

  for (const [name, steps] of Object.entries(accepted)) {
    it(`may show ${name}`, () => expect(holds(...steps)).toBe(true));
  }
  for (const [name, steps] of Object.entries(rejected)) {
    it(`must not show ${name}`, () => expect(holds(...steps)).toBe(false));
  }

  it('expires not before its time, and then is gone for good', () => {
    const brief: Step = [
      { kind: 'create', closed: false, messages: [], ttlMs: 120 },
      { answer: `created tail=${at('')} closed=false` },
    ];
    const gone: Step = [{ kind: 'read', from: 0 }, notFound];
    const meanwhile: Step = [{ kind: 'append', messages: [], close: false }, undefined];
    expect(holds(brief, gone)).toBe(true); // 0 to 150: it may have
    expect(holds([brief, gone])).toBe(true); // the read came first
    expect(holds(brief, a, gone)).toBe(true);
    expect(holds(brief, a, meanwhile, gone, read('a;'))).toBe(false);
    const long: Step = [{ kind: 'create', closed: false, messages: [], ttlMs: 1000 }, brief[1]];
    expect(holds(long, gone)).toBe(false);
  });
});

/** Changes one thing that somebody was told. Returns what, or `undefined` when it cannot. */
type Spoil = (operation: StreamOperation, random: SeededRandom) => StreamOperation | undefined;

const SPOILS: Record<string, Spoil> = {
  'a read lost its first message': (operation) => {
    const { output } = operation;
    const messages = messagesOf(output?.read?.text ?? '');
    if (output?.read === undefined || output.read.cut || messages.length === 0) return undefined;
    return {
      ...operation,
      output: { ...output, read: { ...output.read, text: messages.slice(1).join('') } },
    };
  },
  'a read has two messages swapped': (operation) => {
    const { output } = operation;
    const [first, second, ...rest] = messagesOf(output?.read?.text ?? '');
    if (output?.read === undefined || output.read.cut || second === undefined) return undefined;
    const text = [second, first, ...rest].join('');
    return { ...operation, output: { ...output, read: { ...output.read, text } } };
  },
  'a read says that the stream is closed': (operation) => {
    const { output } = operation;
    if (output?.read === undefined || output.read.closed || operation.path === 'ending')
      return undefined;
    return { ...operation, output: { ...output, read: { ...output.read, closed: true } } };
  },
  'an answer came before its time': (operation) => {
    if (!/^(new|kept) /.test(operation.output?.answer ?? '')) return undefined;
    return { ...operation, invoked: -2, returned: -1 };
  },
  'an acknowledged append was never sent': (operation) => {
    const { input, output, path } = operation;
    // Neither sent twice nor deleted: nothing else explains what was read.
    const isOnlyOne = input.kind === 'append' && input.producer === undefined;
    if (!isOnlyOne || path !== 'text' || !output?.answer.startsWith('kept ')) return undefined;
    return { ...operation, input: { kind: 'head' }, output: undefined };
  },
  'a tail is one message ahead': (operation) => {
    const { output } = operation;
    const tail = /^head tail=(\d{16})/.exec(output?.answer ?? '')?.[1];
    if (output === undefined || tail === undefined) return undefined;
    const answer = output.answer.replace(tail, String(Number(tail) + 1).padStart(16, '0'));
    return { ...operation, output: { answer } };
  },
};

it('refuses real histories in which one thing was changed', async () => {
  const random = new SeededRandom(1);
  const refused: Record<string, number> = {};
  for (let seed = 1; seed <= 6; seed++) {
    const world = new World(seed, worldTotals());
    await world.run();
    const { history } = world;
    judge(history);
    for (const [name, spoil] of Object.entries(SPOILS)) {
      const places = history.filter((operation) => spoil(operation, random) !== undefined);
      if (places.length === 0) continue;
      const place = random.pick(places);
      const spoilt = history.map((one) => (one === place ? (spoil(one, random) ?? one) : one));
      expect(() => judge(spoilt), `seed ${seed}: ${name}`).toThrow('not linearizable');
      refused[name] = (refused[name] ?? 0) + 1;
    }
  }
  expect(Object.keys(refused).sort()).toEqual(Object.keys(SPOILS).sort());
}, 300_000);
