/** Notes on records, 3.5: what a server does on a set, row by row. */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import {
  ALL_SUBKEYS,
  compareValues,
  createDescriptor,
  createValue,
  decodeDescriptor,
  decodeMessage,
  decodeSignedValue,
  encodeDescriptor,
  encodeQuestion,
  encodeSignedValue,
  type RecordDescriptor,
  sequence,
  type SetAnswer,
  type SetQuestion,
  type SignedValue,
  type VerifiedValue,
  type WatchAnswer,
} from '../../src/index.ts';
import { SeededRandom } from '@holdfast/testkit';
import { DESCRIPTOR, MEMBER, OWNER, SECRET, STRANGER, VALUE } from '../sample-messages.ts';
import { descriptorOf, erasureOf, peer, valueOf } from '../store/made-records.ts';
import { bytesInRows, pictureOf } from '../store/store-life.ts';
import { peers, ServerLife } from './server-life.ts';

const A = descriptorOf(0);
const ALICE = peer('alice');
const BOB = peer('bob');
const WATCHER = peer('watcher');

function setOf(value: SignedValue, options: Partial<SetQuestion> = {}): SetQuestion {
  return { type: 'set', record: A.id, subkey: 0, value, descriptor: A, ...options };
}

async function watched(life: ServerLife): Promise<void> {
  await life.ask(peer('first'), setOf(valueOf(0, 3, 0), { subkey: 3 }));
  for (const from of [WATCHER, ALICE]) {
    const active = await life.ask(from, {
      type: 'watch',
      record: A.id,
      subkeys: ALL_SUBKEYS,
      durationMs: 0,
      count: undefined,
      watch: undefined,
      proof: undefined,
    });
    expect((active as WatchAnswer).status).toBe('active');
  }
  await life.after(5_000);
}

interface Row {
  readonly name: string;
  readonly one: VerifiedValue;
  readonly other: VerifiedValue;
  /** The first is sent, then the second. */
  readonly answers: readonly [SetAnswer['status'], SetAnswer['status']];
}

const fork = [valueOf(0, 0, 5, 'one'), valueOf(0, 0, 5, 'two')].sort(compareValues) as [
  VerifiedValue,
  VerifiedValue,
];

/** Whoever comes last, the same one is kept. */
const ROWS: readonly Row[] = [
  {
    name: 'a higher number after a lower one',
    one: valueOf(0, 0, 1),
    other: valueOf(0, 0, 2),
    answers: ['stored', 'superseded'],
  },
  {
    name: 'the first number of all after nothing, and again',
    one: valueOf(0, 0, 0),
    other: valueOf(0, 0, 0),
    answers: ['stored', 'stored'],
  },
  {
    name: 'the same number with another blob: the lower hash wins',
    one: fork[0],
    other: fork[1],
    answers: ['stored', 'superseded'],
  },
  {
    name: 'erased after written',
    one: valueOf(0, 0, 7),
    other: erasureOf(0, 0, 8),
    answers: ['stored', 'superseded'],
  },
  {
    name: 'written after erased',
    one: erasureOf(0, 0, 8),
    other: valueOf(0, 0, 9),
    answers: ['stored', 'superseded'],
  },
];

describe('a set at a server', () => {
  it.each(ROWS)('$name', async ({ one, other, answers }) => {
    for (const order of [[one, other] as const, [other, one] as const]) {
      const life = await ServerLife.open();
      await watched(life);
      const [first, second] = order;
      const wins = compareValues(second, first);
      expect(await life.ask(BOB, setOf(first))).toMatchObject({ status: 'stored' });
      expect(await life.after(1_000)).toHaveLength(2);
      const answer = (await life.ask(ALICE, setOf(second))) as SetAnswer;
      expect(answer.status).toBe(wins > 0 ? answers[0] : answers[1]);
      if (answer.status === 'superseded') {
        expect(encodeSignedValue(answer.value)).toEqual(encodeSignedValue(first));
      }
      const kept = await life.store.value(A.id, 0);
      expect(kept).toEqual(compareValues(one, other) > 0 ? one : other);
      // Only a change is told, and not to who made it.
      const told = await life.after(1_000);
      expect(told.map(({ to }) => to)).toEqual(wins > 0 ? [WATCHER] : []);
    }
  });

  it('of a record nobody knows here wants the descriptor, then keeps both', async () => {
    const life = await ServerLife.open();
    const bare = setOf(valueOf(0, 0, 0), { descriptor: undefined });
    expect(await life.ask(ALICE, bare)).toMatchObject({ status: 'descriptor-wanted' });
    expect(life.store.usage().records).toBe(0);
    expect(await life.ask(ALICE, setOf(bare.value))).toMatchObject({ status: 'stored' });
    expect(await life.ask(ALICE, bare)).toMatchObject({ status: 'stored' });
    const next = setOf(valueOf(0, 0, 1), { descriptor: undefined });
    expect(await life.ask(ALICE, next)).toMatchObject({ status: 'stored' });
    expect((await life.store.head(A.id))?.origin).toBe(ALICE);
  });

  it('far from the record reads and keeps nothing, and names who is nearer', async () => {
    const life = await ServerLife.open();
    for (const [count, status] of [
      [9, 'stored'],
      [10, 'far'],
      [30, 'far'],
    ] as const) {
      life.nearer = peers(count);
      const answer = await life.ask(ALICE, setOf(valueOf(0, 0, count)));
      expect(answer).toMatchObject({ status });
      expect((answer as SetAnswer).peers).toHaveLength(Math.min(count, 20));
    }
    expect((await life.store.head(A.id))?.subkeys[0]?.sequence).toBe(9);
  });

  it('names nobody to itself', async () => {
    const life = await ServerLife.open();
    life.nearer = [{ id: ALICE, addresses: ['/ip4/127.0.0.1/tcp/1'] }, ...peers(3)];
    const answer = (await life.ask(ALICE, setOf(valueOf(0, 0, 0)))) as SetAnswer;
    expect(answer.peers.map(({ id }) => id)).toEqual(peers(3).map(({ id }) => id));
  });

  it('older than what was evicted or deleted is outdated', async () => {
    const life = await ServerLife.open({ maxRecords: 1 });
    await life.ask(ALICE, setOf(valueOf(0, 0, 6)));
    const other = descriptorOf(1);
    await life.ask(BOB, setOf(valueOf(1, 0, 0), { record: other.id, descriptor: other }));
    const answer = await life.ask(ALICE, setOf(valueOf(0, 0, 5)));
    expect(answer).toMatchObject({ status: 'outdated', floor: 6 });
    expect(await life.ask(ALICE, setOf(valueOf(0, 0, 6)))).toMatchObject({ status: 'stored' });
  });

  it('of a peer that has too much here is declined, those of others are not', async () => {
    const life = await ServerLife.open({ maxRecordsOfPeer: 1 });
    const other = descriptorOf(1);
    const question = setOf(valueOf(1, 0, 0), { record: other.id, descriptor: other });
    await life.ask(ALICE, setOf(valueOf(0, 0, 0)));
    expect(await life.ask(ALICE, question)).toMatchObject({ status: 'full' });
    expect(await life.ask(BOB, question)).toMatchObject({ status: 'stored' });
  });

  it('waits for a transaction that is about to commit, and nothing else of the record does', async () => {
    const life = await ServerLife.open();
    await life.ask(ALICE, setOf(valueOf(0, 0, 0)));
    const begin = { type: 'begin', record: A.id, descriptor: undefined } as const;
    const begun = await life.ask(BOB, { ...begin, wantDescriptor: false, proof: undefined });
    if (begun.type !== 'begin' || begun.status !== 'begun') throw new Error('not begun');
    const command = { type: 'command', record: A.id, transaction: begun.transaction } as const;
    const set = { kind: 'set', subkey: 1, value: valueOf(0, 1, 0) } as const;
    expect(await life.ask(BOB, { ...command, command: set })).toMatchObject({ status: 'done' });
    expect(await life.ask(BOB, { ...command, command: { kind: 'end' } })).toMatchObject({
      status: 'done',
    });
    const next = setOf(valueOf(0, 0, 1));
    expect(await life.ask(ALICE, next)).toMatchObject({ status: 'locked' });
    expect(await life.ask(ALICE, setOf(valueOf(0, 0, 0)))).toMatchObject({ status: 'stored' });
    const get = { type: 'get', record: A.id, subkey: 0, wantDescriptor: false } as const;
    expect(await life.ask(ALICE, get)).toMatchObject({ value: { sequence: 0 } });
    await life.ask(BOB, { ...command, command: { kind: 'commit' } });
    expect(await life.ask(ALICE, next)).toMatchObject({ status: 'stored' });
    expect((await life.store.value(A.id, 1))?.sequence).toBe(0);
  });

  it('that the store cannot do is invalid, is logged, and may come again', async () => {
    const life = await ServerLife.open();
    life.kv.fail(1, 'refused');
    expect(await life.ask(ALICE, setOf(valueOf(0, 0, 0)))).toEqual({ type: 'invalid' });
    expect(life.logged).toEqual(['record-question-failed']);
    expect(await life.ask(ALICE, setOf(valueOf(0, 0, 0)))).toMatchObject({ status: 'stored' });
  });
});

describe('a set that no peer sends that keeps to the contract changes nothing', () => {
  const random = new SeededRandom(9);
  const about = { record: DESCRIPTOR.id, subkey: 0, sequence: sequence(8), writer: OWNER };
  const good = createValue(about, SECRET, Buffer.from('next'), random);
  const otherSchema = createDescriptor({ type: 'default', subkeys: 2 }, OWNER);
  const flip = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    copy[3] = (copy[3] as number) ^ 1;
    return copy;
  };
  const large = (bytes: number): SignedValue =>
    createValue(about, SECRET, Buffer.alloc(bytes), random);

  const cases: readonly [name: string, question: Partial<SetQuestion>][] = [
    ['a signature that is none', { value: { ...good, signature: flip(good.signature) } }],
    [
      'another writer of the record',
      { value: createValue({ ...about, writer: MEMBER }, SECRET, Buffer.from('x'), random) },
    ],
    [
      'a stranger',
      { value: createValue({ ...about, writer: STRANGER }, SECRET, Buffer.from('x'), random) },
    ],
    [
      'the owner in the subkey of a member',
      { subkey: 2, value: createValue({ ...about, subkey: 2 }, SECRET, Buffer.from('x'), random) },
    ],
    ['a value of another subkey', { subkey: 1, value: good }],
    [
      'a subkey that the schema has not',
      { subkey: 3, value: createValue({ ...about, subkey: 3 }, SECRET, Buffer.from('x'), random) },
    ],
    [
      'a value of another record',
      {
        value: createValue({ ...about, record: otherSchema.id }, SECRET, Buffer.from('x'), random),
      },
    ],
    ['a byte more than a value may have', { value: large(32 * 1024 + 1) }],
    ['the descriptor of another record', { descriptor: otherSchema }],
  ];

  it.each(cases)('%s', async (_name, wrong) => {
    for (const known of [false, true]) {
      const life = await ServerLife.open();
      const question = { type: 'set', record: DESCRIPTOR.id, subkey: 0, value: VALUE } as const;
      if (known) await life.ask(ALICE, { ...question, descriptor: DESCRIPTOR });
      const before = await pictureOf(life.store);
      const usage = life.store.usage();
      const sent: SetQuestion = { ...question, value: good, descriptor: DESCRIPTOR, ...wrong };
      expect(await life.ask(BOB, sent)).toEqual({ type: 'invalid' });
      expect(await pictureOf(life.store)).toEqual(before);
      expect(life.store.usage()).toEqual(usage);
    }
  });

  it('and as many bytes as a value may have are taken', async () => {
    const life = await ServerLife.open();
    const question = { type: 'set', record: DESCRIPTOR.id, subkey: 0 } as const;
    const value = large(32 * 1024);
    const answer = await life.ask(BOB, { ...question, value, descriptor: DESCRIPTOR });
    expect(answer).toMatchObject({ status: 'stored' });
  });

  it('a descriptor that its owner did not sign makes no record', async () => {
    const life = await ServerLife.open();
    const forged: RecordDescriptor = { ...DESCRIPTOR, signature: flip(DESCRIPTOR.signature) };
    const question = { type: 'set', record: DESCRIPTOR.id, subkey: 0, value: VALUE } as const;
    expect(await life.ask(BOB, { ...question, descriptor: forged })).toEqual({ type: 'invalid' });
    expect(life.store.usage().records).toBe(0);
  });

  it('whatever bits are turned in it: what is kept was signed, and wins', async () => {
    const question: SetQuestion = {
      type: 'set',
      record: DESCRIPTOR.id,
      subkey: 0,
      value: good,
      descriptor: DESCRIPTOR,
    };
    const bytes = encodeQuestion(1, question);
    const turned = fc.array(fc.nat(bytes.length * 8 - 1), { minLength: 1, maxLength: 3 });
    const life = await ServerLife.open();
    await life.ask(ALICE, { ...question, value: VALUE });
    const before = await pictureOf(life.store);
    let asked = 0;
    await fc.assert(
      fc.asyncProperty(turned, async (bits) => {
        const mutant = Buffer.from(bytes);
        for (const bit of bits) {
          mutant[bit >> 3] = (mutant[bit >> 3] as number) ^ (1 << (bit & 7));
        }
        if (mutant.equals(bytes)) return;
        let wrong: SetQuestion;
        try {
          const message = decodeMessage(mutant);
          if (message.kind !== 'question' || message.question?.type !== 'set') return;
          wrong = message.question;
        } catch {
          return;
        }
        const sameValue = encodeSignedValue(wrong.value).equals(encodeSignedValue(good));
        const genuine = sameValue && wrong.subkey === 0 && wrong.record === DESCRIPTOR.id;
        // Of a record that is known here the descriptor matters only by its id.
        if (genuine && (wrong.descriptor?.id ?? wrong.record) === wrong.record) return;
        asked++;
        const answer = await life.server.answer(BOB, wrong);
        if (answer.type === 'set') {
          expect(['descriptor-wanted', 'superseded', 'stored']).toContain(answer.status);
        }
        expect(await pictureOf(life.store)).toEqual(before);
      }),
      { numRuns: 600, seed: 7 },
    );
    expect(asked).toBeGreaterThan(100);
    expect(await bytesInRows(life.kv.store)).toBe(life.store.usage().storedBytes);
  });

  it('nor does any value that decodes: signed values and descriptors of garbage', async () => {
    const life = await ServerLife.open();
    const asked = fc.record({
      head: fc.uint8Array({ minLength: 64, maxLength: 64 }),
      rest: fc.uint8Array({ maxLength: 200 }),
      subkey: fc.nat(1023),
    });
    await fc.assert(
      fc.asyncProperty(asked, async ({ head, rest, subkey }) => {
        const blob = Buffer.concat([Buffer.of(1, 1), good.blob.subarray(2, 90), rest]);
        const value = decodeSignedValue(Buffer.concat([head, blob]));
        const descriptor = decodeDescriptor(encodeDescriptor(DESCRIPTOR));
        const question = { type: 'set', record: DESCRIPTOR.id, subkey, value, descriptor } as const;
        expect(await life.server.answer(BOB, question)).toEqual({ type: 'invalid' });
        expect(life.store.usage()).toMatchObject({ records: 0, storedBytes: 0, floors: 0 });
      }),
      { numRuns: 200, seed: 7 },
    );
  });
});
