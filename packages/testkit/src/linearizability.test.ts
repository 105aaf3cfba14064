import { describe, expect, it } from 'vitest';
import { checkAppendOnly, type StreamObservation } from './append-only.ts';
import {
  checkLinearizable,
  operationsByKey,
  type Operation,
  type SequentialModel,
} from './linearizability.ts';
import { SeededRandom } from './seeded-random.ts';

/** A register that may be written, read, and set from one value to another. */
type Input = { write: number } | { read: true };
type Output = number | 'ok';
type Step = Operation<Input, Output>;

const REGISTER: SequentialModel<number, Input, Output> = {
  initial: 0,
  step(state, { input, output }) {
    if ('read' in input) return output === undefined || output === state ? [state] : [];
    return output === undefined ? [state, input.write] : [input.write];
  },
  isRead: ({ input }) => 'read' in input,
  key: String,
};

function write(value: number, invoked: number, returned: number, known = true): Step {
  const output = known ? 'ok' : undefined;
  return { client: 'w', input: { write: value }, output, invoked, returned };
}

function read(value: number, invoked: number, returned: number): Step {
  return { client: 'r', input: { read: true }, output: value, invoked, returned };
}

function holds(...history: Step[]): boolean {
  return checkLinearizable(REGISTER, history).linearizable;
}

describe('checkLinearizable', () => {
  it('takes what one client did after the other', () => {
    expect(holds()).toBe(true);
    expect(holds(read(0, 1, 2), write(1, 3, 4), read(1, 5, 6))).toBe(true);
  });

  it('takes either order of what overlaps', () => {
    expect(holds(write(1, 1, 4), read(0, 2, 3))).toBe(true);
    expect(holds(write(1, 1, 4), read(1, 2, 3))).toBe(true);
    expect(holds(write(1, 1, 6), write(2, 2, 5), read(2, 3, 4), read(1, 7, 8))).toBe(true);
  });

  it('refuses a stale read, and a value that goes back', () => {
    expect(holds(write(1, 1, 2), read(0, 3, 4))).toBe(false);
    expect(holds(write(1, 1, 9), read(1, 2, 3), read(0, 4, 5))).toBe(false);
    expect(holds(write(1, 1, 2), write(2, 3, 4), read(1, 5, 6))).toBe(false);
  });

  it('takes a write of the value that is there also for one that comes later', () => {
    expect(holds(write(1, 1, 2), write(1, 3, 6), write(2, 4, 5), read(1, 7, 8))).toBe(true);
    const unknown = write(1, 3, Infinity, false);
    expect(holds(write(1, 1, 2), unknown, write(2, 4, 5), read(1, 7, 8))).toBe(true);
  });

  it('refuses a value nobody wrote', () => {
    expect(holds(write(1, 1, 2), read(7, 3, 4))).toBe(false);
  });

  it('lets what nobody heard of happen, late or never, but not after it was over', () => {
    const lost = write(1, 1, Infinity, false);
    expect(holds(lost, read(0, 2, 3))).toBe(true);
    expect(holds(lost, read(0, 2, 3), read(1, 4, 5))).toBe(true);
    expect(holds(lost, read(1, 2, 3), read(0, 4, 5))).toBe(false);
    const over = write(1, 1, 4, false);
    expect(holds(over, read(0, 5, 6), read(1, 7, 8))).toBe(false);
    expect(holds(over, read(1, 5, 6), read(1, 7, 8))).toBe(true);
  });

  it('says how far an order went and what could not follow', () => {
    const { stuck } = checkLinearizable(REGISTER, [write(1, 1, 2), read(0, 3, 4), read(1, 5, 6)]);
    expect(stuck).toMatchObject({ state: 1, done: 1, next: [{ output: 0 }] });
  });

  it('throws instead of guessing when there are too many orders', () => {
    const many = Array.from({ length: 24 }, (_, i) => write(i + 1, i, 100, false));
    const wide = [...many, read(99, 101, 102)];
    expect(() => checkLinearizable(REGISTER, wide, 1000)).toThrow('too wide');
  });

  it('judges each object by itself', () => {
    const parts = operationsByKey([write(1, 1, 2), read(1, 3, 4)], ({ client }) => client);
    expect([...parts.keys()]).toEqual(['w', 'r']);
  });
});

/** The same histories, for the search: messages are appended to a list. */
interface ListOutput {
  readonly from: number;
  readonly messages: readonly string[];
  readonly upToDate: boolean;
}
type ListStep = Operation<{ readonly append?: string }, ListOutput | 'ok'>;

const LIST: SequentialModel<readonly string[], { readonly append?: string }, ListOutput | 'ok'> = {
  initial: [],
  step(state, { input, output }) {
    if (input.append !== undefined) {
      const next = [...state, input.append];
      return output === undefined ? [state, next] : [next];
    }
    const { from, messages, upToDate } = output as ListOutput;
    const to = from + messages.length;
    const same = messages.every((message, i) => state[from + i] === message);
    return same && (upToDate ? to === state.length : to < state.length) ? [state] : [];
  },
  isRead: ({ input }) => input.append === undefined,
  key: (state) => state.join(),
};

function asStep(one: StreamObservation): ListStep {
  const { invoked, returned } = one;
  return one.kind === 'append'
    ? {
        client: 'a',
        input: { append: one.message },
        output: one.acknowledged ? 'ok' : undefined,
        invoked,
        returned,
      }
    : { client: 'r', input: {}, output: one, invoked, returned };
}

/** Both checkers on one history, with a last read of everything for the one that needs it. */
function verdicts(content: readonly string[], history: readonly StreamObservation[]): boolean[] {
  const quick = checkAppendOnly(content, history) === undefined;
  const last = { kind: 'read', from: 0, messages: content, upToDate: true } as const;
  const whole = [...history, { ...last, invoked: 1e9, returned: 1e9 + 1 }];
  return [quick, checkLinearizable(LIST, whole.map(asStep)).linearizable];
}

function append(
  message: string,
  invoked: number,
  returned: number,
  acknowledged = true,
): StreamObservation {
  return { kind: 'append', message, acknowledged, invoked, returned };
}

function seen(messages: string, invoked: number, returned: number, from = 0): StreamObservation {
  return {
    kind: 'read',
    from,
    messages: [...messages],
    upToDate: !messages.endsWith('…'),
    invoked,
    returned,
  };
}

describe('both checkers of streams', () => {
  const a = append('a', 1, 2);
  const b = append('b', 3, 4);
  const accepted: Record<string, [string, StreamObservation[]]> = {
    'two appends and their read': ['ab', [a, b, seen('ab', 5, 6)]],
    'a read beside an append, before it': ['ab', [a, append('b', 3, 6), seen('a', 4, 5)]],
    'a read beside an append, behind it': ['ab', [a, append('b', 3, 6), seen('ab', 4, 5)]],
    'an append nobody heard of, which is there': ['a', [append('a', 1, 2, false)]],
    'an append nobody heard of, which is not': ['', [append('a', 1, 2, false)]],
    'one that came late': ['ba', [append('a', 1, 9, false), b, seen('b', 5, 6)]],
  };
  const rejected: Record<string, [string, StreamObservation[]]> = {
    'swapped appends': ['ba', [a, b]],
    'an acknowledged append that is lost': ['a', [a, b]],
    'an append that is there twice': ['aa', [a]],
    'a message nobody sent': ['ax', [a]],
    'a stale read': ['ab', [a, b, seen('a', 5, 6)]],
    'a read of the future': ['ab', [a, seen('ab', 3, 4), append('b', 5, 6)]],
    'a read that a crash took back': ['a', [a, append('b', 3, 4, false), seen('ab', 5, 6)]],
    'a second read that is shorter': [
      'ab',
      [a, append('b', 3, 9), seen('ab', 4, 5), seen('a', 6, 7)],
    ],
    'a HEAD ahead of a later read': [
      'ab',
      [a, append('b', 3, 9), seen('', 4, 5, 2), seen('a', 6, 7)],
    ],
    'a read with a hole': ['abc', [a, b, append('c', 5, 6), seen('ac', 7, 8)]],
    'one that came after it was over': ['ba', [append('a', 1, 2, false), b, seen('', 3, 4)]],
  };

  for (const [name, [content, history]] of Object.entries(accepted)) {
    it(`take ${name}`, () => expect(verdicts([...content], history)).toEqual([true, true]));
  }
  for (const [name, [content, history]] of Object.entries(rejected)) {
    it(`refuse ${name}`, () => expect(verdicts([...content], history)).toEqual([false, false]));
  }

  it('say the same of 3000 random histories, most of them spoilt in one place', () => {
    const counts = { true: 0, false: 0 };
    for (let seed = 1; seed <= 3000; seed++) {
      const { content, history } = randomHistory(new SeededRandom(seed));
      const [quick, whole] = verdicts(content, history);
      expect(quick, `seed ${seed}`).toBe(whole);
      counts[String(quick) as 'true' | 'false']++;
    }
    expect(Math.min(counts.true, counts.false)).toBeGreaterThan(500);
  });
});

/** A real run of overlapping operations; two in three get a time or a value that is wrong. */
function randomHistory(random: SeededRandom): {
  content: string[];
  history: StreamObservation[];
} {
  const content: string[] = [];
  const history: StreamObservation[] = [];
  let now = 0;
  for (let i = 0; i < 12; i++) {
    now += random.between(1, 4);
    const invoked = now - random.integer(6) - random.integer(100) / 1000;
    const returned = now + random.integer(6) + random.integer(100) / 1000;
    if (random.chance(0.5)) {
      const acknowledged = random.chance(0.7);
      const message = `m${i}`;
      if (acknowledged || random.chance(0.5)) content.push(message);
      history.push({ kind: 'append', message, acknowledged, invoked, returned });
    } else {
      const from = random.integer(content.length + 1);
      const to = random.between(from, content.length);
      const messages = content.slice(from, to);
      history.push({
        kind: 'read',
        from,
        messages,
        upToDate: to === content.length,
        invoked,
        returned,
      });
    }
  }
  if (random.chance(0.66)) spoil(random, content, history);
  return { content, history };
}

function spoil(random: SeededRandom, content: string[], history: StreamObservation[]): void {
  const index = random.integer(history.length);
  const one = history[index] as StreamObservation;
  const by = random.pick([-9, -5, 5, 9]);
  const dice = random.integer(4);
  if (dice === 0 && content.length > 1) {
    const at = random.integer(content.length - 1);
    content.splice(at, 2, content[at + 1] as string, content[at] as string);
  } else if (dice === 1 && one.kind === 'read') {
    history[index] = { ...one, upToDate: !one.upToDate };
  } else {
    history[index] = { ...one, invoked: one.invoked + by, returned: one.returned + by };
  }
}
