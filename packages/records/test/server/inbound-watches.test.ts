/** Notes on records, 3.6: watches that other peers have here. */
import { RECORD_LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  ALL_SUBKEYS,
  createDescriptor,
  createProof,
  createValue,
  keyPairOfSeed,
  type KeyPair,
  type MemberProof,
  type PeerId,
  sequence,
  type SetAnswer,
  SubkeySet,
  type WatchAnswer,
  type WatchId,
  type WatchQuestion,
} from '../../src/index.ts';
import { SeededRandom } from '@holdfast/testkit';
import { DESCRIPTOR, MEMBER, OWNER, SECRET, STRANGER } from '../sample-messages.ts';
import { peer } from '../store/made-records.ts';
import { peers, SELF, ServerLife, type Told } from './server-life.ts';

const ALICE = peer('alice');
const SETTER = peer('setter');
const record = DESCRIPTOR.id;
const { maxWatchMs, minWatchMs, watchIntervalMs, maxPublicWatches, maxMemberWatches } =
  RECORD_LIMITS;

const random = new SeededRandom(4);
const numbers = new Map<number, number>();

/** The next value of a subkey; the last one is a member's. */
async function set(life: ServerLife, subkey: number, from: PeerId = SETTER): Promise<void> {
  const number = (numbers.get(subkey) ?? 0) + 1;
  numbers.set(subkey, number);
  const writer = subkey === 2 ? MEMBER : OWNER;
  const about = { record, subkey, sequence: sequence(number), writer };
  const value = createValue(about, SECRET, Buffer.from(`${number}`), random);
  const question = { type: 'set', record, subkey, value, descriptor: DESCRIPTOR } as const;
  expect(((await life.ask(from, question)) as SetAnswer).status).toBe('stored');
}

function question(options: Partial<WatchQuestion> = {}): WatchQuestion {
  const any = { subkeys: ALL_SUBKEYS, durationMs: 0, count: undefined, watch: undefined };
  return { type: 'watch', record, ...any, proof: undefined, ...options };
}

async function watch(
  life: ServerLife,
  from: PeerId,
  options: Partial<WatchQuestion> = {},
): Promise<WatchAnswer> {
  const answer = await life.ask(from, question(options));
  if (answer.type === 'invalid') throw new Error('invalid');
  return answer;
}

async function active(
  life: ServerLife,
  from: PeerId,
  options: Partial<WatchQuestion> = {},
): Promise<WatchId> {
  const answer = await watch(life, from, options);
  if (answer.status !== 'active') throw new Error(answer.status);
  return answer.watch;
}

function proof(from: PeerId, member: KeyPair): MemberProof {
  return createProof({ record, asking: from, answering: SELF }, member);
}

async function opened(): Promise<ServerLife> {
  const life = await ServerLife.open();
  await set(life, 0);
  await life.after(watchIntervalMs);
  return life;
}

const shown = (told: readonly Told[]): string[] =>
  told.map(({ to, statement: { subkeys, count } }) =>
    [to.slice(5), [...subkeys].join('+'), count ?? 'on'].join(' '),
  );

describe('a watch', () => {
  it('tells of changes within it, one message for all of a second, with the first value', async () => {
    const life = await opened();
    const id = await active(life, ALICE, { subkeys: SubkeySet.of(0, 2) });
    await active(life, peer('other'), { subkeys: SubkeySet.of(1) });
    for (const subkey of [2, 0, 2]) await set(life, subkey);
    expect(await life.after(watchIntervalMs - 1)).toEqual([]);
    const told = await life.after(1);
    expect(shown(told)).toEqual(['alice 0+2 on']);
    expect(told[0]?.statement).toMatchObject({ record, watch: id });
    expect(told[0]?.statement.value).toMatchObject({ sequence: numbers.get(0) });
    expect(await life.after(60_000)).toEqual([]);
    await set(life, 2);
    expect(shown(await life.after(watchIntervalMs))).toEqual(['alice 2 on']);
  });

  it('is not told what its own peer changed', async () => {
    const life = await opened();
    await active(life, ALICE);
    await set(life, 1, ALICE);
    expect(await life.after(5_000)).toEqual([]);
  });

  it('is told of what a transaction committed, in one message', async () => {
    const life = await opened();
    await active(life, ALICE);
    const begin = { type: 'begin', record, descriptor: undefined, wantDescriptor: false } as const;
    const begun = await life.ask(SETTER, { ...begin, proof: undefined });
    if (begun.type !== 'begin' || begun.status !== 'begun') throw new Error('not begun');
    const command = { type: 'command', record, transaction: begun.transaction } as const;
    for (const subkey of [0, 1]) {
      const about = { record, subkey, sequence: sequence(1_000), writer: OWNER };
      const value = createValue(about, SECRET, Buffer.from('x'), random);
      await life.ask(SETTER, { ...command, command: { kind: 'set', subkey, value } });
    }
    await life.ask(SETTER, { ...command, command: { kind: 'end' } });
    expect(await life.after(watchIntervalMs)).toEqual([]);
    await life.ask(SETTER, { ...command, command: { kind: 'commit' } });
    expect(shown(await life.after(watchIntervalMs))).toEqual(['alice 0+1 on']);
  });

  it('of a record that nobody knows here is refused, and so is one of no subkey of it', async () => {
    const life = await ServerLife.open();
    expect((await watch(life, ALICE)).status).toBe('refused');
    expect((await watch(life, ALICE, { watch: 'ab'.repeat(8) as WatchId })).status).toBe('ended');
    await set(life, 0);
    const beyond = { subkeys: SubkeySet.of(3, 1_000) };
    expect((await watch(life, ALICE, beyond)).status).toBe('refused');
    life.nearer = peers(10);
    expect((await watch(life, ALICE)).status).toBe('far');
    expect(life.server.usage().watches).toBe(0);
  });

  it('lives as long as was asked for, at most and at least so long, on the dot', async () => {
    const life = await opened();
    const durations = async (durationMs: number): Promise<unknown> => {
      const answer = await watch(life, ALICE, { durationMs });
      return answer.status === 'active' ? answer.durationMs : answer.status;
    };
    expect(await durations(0)).toBe(maxWatchMs);
    expect(await durations(maxWatchMs + 1)).toBe(maxWatchMs);
    expect(await durations(maxWatchMs)).toBe(maxWatchMs);
    expect(await durations(minWatchMs - 1)).toBe('refused');
    expect(await durations(minWatchMs)).toBe(minWatchMs);
    await life.after(minWatchMs - watchIntervalMs - 1);
    await set(life, 0);
    expect(await life.after(watchIntervalMs)).toHaveLength(1);
    await set(life, 0);
    expect(await life.after(60_000)).toEqual([]);
    expect(life.server.usage().watches).toBe(0);
  });

  it('that was made narrower does not tell what it had to tell beside it', async () => {
    const life = await opened();
    const watch = await active(life, ALICE);
    await set(life, 0);
    await active(life, ALICE, { watch, subkeys: SubkeySet.of(1, 2) });
    expect(await life.after(5_000)).toEqual([]);
    await set(life, 1);
    expect(shown(await life.after(watchIntervalMs))).toEqual(['alice 1 on']);
  });

  it('is gone from memory after its time, also when nobody asks', async () => {
    const life = await opened();
    for (let nth = 0; nth < 10; nth++) {
      await active(life, peer(nth), { durationMs: minWatchMs + nth * 1_000 });
    }
    await life.after(minWatchMs + 9_000 + RECORD_LIMITS.watchRenewalMs);
    expect(life.server.usage().watches).toBe(0);
  });

  it('is renewed and changed under its id by its own peer only', async () => {
    const life = await opened();
    const id = await active(life, ALICE, { durationMs: minWatchMs, count: 1 });
    const other = peer('other');
    expect((await watch(life, other, { watch: id })).status).toBe('ended');
    expect((await watch(life, ALICE, { watch: id, proof: proof(ALICE, MEMBER) })).status).toBe(
      'ended',
    );
    await life.after(minWatchMs - 1);
    const narrow = { watch: id, subkeys: SubkeySet.of(1), count: 2 };
    expect(await active(life, ALICE, narrow)).toBe(id);
    await life.after(minWatchMs);
    await set(life, 0);
    await set(life, 1);
    expect(shown(await life.after(watchIntervalMs))).toEqual(['alice 1 1']);
    await life.after(maxWatchMs);
    expect((await watch(life, ALICE, { watch: id })).status).toBe('ended');
  });

  it('renewed for too short, or for no subkey, ends', async () => {
    const life = await opened();
    for (const options of [{ durationMs: minWatchMs - 1 }, { subkeys: SubkeySet.of(9) }]) {
      const id = await active(life, ALICE);
      expect((await watch(life, ALICE, { watch: id, ...options })).status).toBe('ended');
      expect(life.server.usage().watches).toBe(0);
    }
  });

  it('ends with its count, and the last message says so', async () => {
    const life = await opened();
    await active(life, ALICE, { count: 2 });
    for (const left of ['1', '0']) {
      await set(life, 0);
      await set(life, 1);
      expect(shown(await life.after(watchIntervalMs))).toEqual([`alice 0+1 ${left}`]);
    }
    await set(life, 0);
    expect(await life.after(5_000)).toEqual([]);
    expect(life.server.usage().watches).toBe(0);
  });

  it('is cancelled by its id, by its own peer, at any distance; without an id that is invalid', async () => {
    const life = await opened();
    const id = await active(life, ALICE);
    await set(life, 0);
    life.nearer = peers(10);
    const cancel = { watch: id, count: 0 };
    expect((await watch(life, peer('other'), cancel)).status).toBe('ended');
    expect(life.server.usage().watches).toBe(1);
    expect((await watch(life, ALICE, cancel)).status).toBe('ended');
    expect((await watch(life, ALICE, cancel)).status).toBe('ended');
    expect(await life.after(5_000)).toEqual([]);
    expect(await life.ask(ALICE, question({ count: 0 }))).toEqual({ type: 'invalid' });
  });

  it('is one for each peer: a newer one takes its place, and what it had to tell', async () => {
    const life = await opened();
    const first = await active(life, ALICE);
    await set(life, 0);
    await set(life, 1);
    const second = await active(life, ALICE, { subkeys: SubkeySet.of(1) });
    expect(second).not.toBe(first);
    const told = await life.after(watchIntervalMs);
    expect(shown(told)).toEqual(['alice 1 on']);
    expect(told[0]?.statement.watch).toBe(second);
    expect(life.server.usage().watches).toBe(1);
    // A member is somebody else.
    await active(life, ALICE, { proof: proof(ALICE, MEMBER) });
    expect(life.server.usage().watches).toBe(2);
  });

  it('keeps what it cannot tell until its peer connects again', async () => {
    const life = await opened();
    await active(life, ALICE, { count: 3 });
    life.gone.add(ALICE);
    await set(life, 0);
    expect(await life.after(10_000)).toEqual([]);
    await set(life, 1);
    expect(await life.after(10_000)).toEqual([]);
    life.connect(ALICE);
    expect(shown(await life.after(watchIntervalMs))).toEqual(['alice 0+1 2']);
  });

  it('hears that it is over when the server closes, and nothing afterwards', async () => {
    const life = await opened();
    await active(life, ALICE);
    await set(life, 0);
    await life.server.close();
    expect(shown(life.told.splice(0))).toEqual(['alice  0']);
    expect(await life.after(60_000)).toEqual([]);
  });

  it('is not there after a restart', async () => {
    const life = await opened();
    const id = await active(life, ALICE);
    life.serve();
    expect((await watch(life, ALICE, { watch: id })).status).toBe('ended');
    await set(life, 0);
    expect(await life.after(5_000)).toEqual([]);
  });

  it('tells without a value what cannot be read, and counts it', async () => {
    const life = await opened();
    await active(life, ALICE, { count: 1 });
    await set(life, 0);
    await life.store.delete(record);
    const told = await life.after(watchIntervalMs);
    expect(shown(told)).toEqual(['alice 0 0']);
    expect(told[0]?.statement.value).toBeUndefined();
  });
});

describe('the bounds of watches', () => {
  it('let so many of the public watch one record, and a member nevertheless', async () => {
    const life = await opened();
    for (let nth = 0; nth < maxPublicWatches; nth++)
      await active(life, peer(nth), { durationMs: 6_000 });
    expect((await watch(life, ALICE)).status).toBe('refused');
    // Who watches already may watch anew.
    await active(life, peer(0), { durationMs: 6_000 });
    for (const keys of [OWNER, MEMBER]) await active(life, ALICE, { proof: proof(ALICE, keys) });
    // Nobody becomes a member by any key.
    const stranger = await watch(life, ALICE, { proof: proof(ALICE, STRANGER) });
    expect(stranger.status).toBe('refused');
    await life.after(6_000);
    await active(life, ALICE);
  });

  it('let so many peers watch one record for one member', async () => {
    const life = await opened();
    for (let nth = 0; nth < maxMemberWatches; nth++) {
      await active(life, peer(nth), { proof: proof(peer(nth), MEMBER) });
    }
    const one = { proof: proof(ALICE, MEMBER) };
    expect((await watch(life, ALICE, one)).status).toBe('refused');
    await active(life, ALICE, { proof: proof(ALICE, OWNER) });
    await active(life, ALICE);
  });

  it('take no proof that was made for another peer, record or server', async () => {
    const life = await opened();
    const scope = { record, asking: ALICE, answering: SELF };
    const other = createDescriptor({ type: 'default', subkeys: 9 }, OWNER).id;
    const wrong = [{ asking: peer('b') }, { answering: peer('b') }, { record: other }];
    for (const part of wrong) {
      const stolen = createProof({ ...scope, ...part }, MEMBER);
      expect(await life.ask(ALICE, question({ proof: stolen }))).toEqual({ type: 'invalid' });
    }
    expect(life.server.usage().watches).toBe(0);
  });

  it('hold over all records for one peer, and for all', async () => {
    const { maxWatchesOfPeer } = RECORD_LIMITS;
    const life = await ServerLife.open();
    const owner = keyPairOfSeed(Buffer.alloc(32, 5));
    const made: (typeof record)[] = [];
    for (let nth = 0; nth <= maxWatchesOfPeer; nth++) {
      const subkeys = 1 + (nth % 1024);
      const schema =
        nth < 1024
          ? ({ type: 'default', subkeys } as const)
          : ({ type: 'multi-writer', ownerSubkeys: 1, members: [] } as const);
      const descriptor = createDescriptor(schema, owner);
      await life.store.create(descriptor);
      made.push(descriptor.id);
    }
    const last = made.pop() as typeof record;
    const durationMs = minWatchMs;
    for (const id of made) await active(life, ALICE, { record: id, durationMs });
    expect((await watch(life, ALICE, { record: last })).status).toBe('refused');
    await active(life, peer('other'), { record: last });
    await life.after(minWatchMs);
    await active(life, ALICE, { record: last });
    expect(life.server.usage().watches).toBe(2);
  }, 60_000);

  it('hold under a flood: memory, messages and timers do not grow with it', async () => {
    const life = await opened();
    for (let round = 0; round < 20; round++) {
      for (let nth = 0; nth < 100; nth++) {
        const id = await watch(life, peer(nth));
        const { length } = id.status === 'active' ? id.watch : '';
        if (length > 0) await watch(life, peer(nth), { watch: (id as { watch: WatchId }).watch });
      }
      await set(life, round % 3);
      expect(life.server.usage().watches).toBe(maxPublicWatches);
      life.nearer = [];
    }
    // Two thousand questions and twenty changes within one second: one message for each watch.
    expect(await life.after(watchIntervalMs)).toHaveLength(maxPublicWatches);
    expect(await life.after(maxWatchMs + RECORD_LIMITS.watchRenewalMs)).toEqual([]);
    expect(life.server.usage().watches).toBe(0);
  });
});
