import { RECORD_LIMITS } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { afterEach, describe, expect, test } from 'vitest';
import {
  ALL_SUBKEYS,
  type Answer,
  createValue,
  createKeyPair,
  type GetResult,
  keyOf,
  LAST_SEQUENCE,
  type Question,
  sequence,
  SubkeySet,
  verifyValue,
} from '../../src/index.ts';
import type { RecordPeer } from './record-peer.ts';
import { RecordWorld, type WorldRecord, type WorldSettings } from './record-world.ts';

let world: RecordWorld;
afterEach(() => world.close());

async function open(settings: Partial<WorldSettings> = {}): Promise<RecordWorld> {
  world = await RecordWorld.open({ seed: 1, peers: 24, ...settings });
  return world;
}

/** A record that was opened by these peers. */
async function opened(...peers: readonly number[]): Promise<WorldRecord> {
  const record = world.makeRecord();
  await world.openAt(record, ...peers.map((number) => world.peer(number)));
  return record;
}

function set(peer: RecordPeer, record: WorldRecord, text: string, more = {}) {
  const options = { writer: record.owner, ...more };
  return world.run(peer.engine.set(record.key, 0, Buffer.from(text), options));
}

function get(peer: RecordPeer, record: WorldRecord, more = {}): Promise<GetResult> {
  return world.run(peer.engine.get(record.key, 0, { forceRefresh: true, ...more }));
}

function textOf(result: GetResult): string | undefined {
  return result.status === 'value' ? Buffer.from(result.data).toString() : undefined;
}

async function textAt(peer: RecordPeer, record: WorldRecord): Promise<number | undefined> {
  return (await world.run(peer.remote.value(record.key.id, 0)))?.sequence;
}

/** As if so high a number had been there once. */
function usedUpTo(number: number) {
  return (question: Question): Promise<Answer | undefined> => {
    const isUsed = question.type === 'set' && question.value.sequence <= number;
    const floor = sequence(number);
    return Promise.resolve(
      isUsed ? { type: 'set', status: 'outdated', floor, peers: [] } : undefined,
    );
  };
}

function locked(question: Question): Promise<Answer | undefined> {
  const answer = { type: 'set', status: 'locked', peers: [] } as const;
  return Promise.resolve(question.type === 'set' ? answer : undefined);
}

describe('set and get', () => {
  test('a set is committed by the five nearest, and read from three of them', async () => {
    await open();
    const record = await opened(0, 1);
    const nearest = world.nearest(record.key.id);
    const done = await set(world.peer(0), record, 'hello');
    expect(done).toMatchObject({ status: 'committed', sequence: 0, degraded: false });
    const others = nearest.filter((peer) => peer !== world.peer(0)).slice(0, 5);
    expect(done.peers).toEqual(others.map(({ id }) => id));
    const read = await get(world.peer(1), record);
    expect(read).toMatchObject({ status: 'value', sequence: 0, source: 'network' });
    expect(textOf(read)).toBe('hello');
    expect(read.peers).toHaveLength(3);
    expect(world.peer(0).pending.all()).toEqual([]);
    expect(await world.run(world.peer(1).engine.get(record.key, 0))).toMatchObject({
      source: 'local',
      peers: [],
    });
  });

  test('what was erased is erased for everybody, and may be written again', async () => {
    await open();
    const record = await opened(0, 1);
    await set(world.peer(0), record, 'hello');
    const erase = () => world.peer(0).engine.erase(record.key, 0, { writer: record.owner });
    expect(await world.run(erase())).toMatchObject({ status: 'committed', sequence: 1 });
    expect(await world.run(erase())).toMatchObject({ status: 'committed', sequence: 1 });
    expect(await get(world.peer(1), record)).toMatchObject({ status: 'erased', sequence: 1 });
    expect(await set(world.peer(0), record, 'again')).toMatchObject({ sequence: 2 });
    expect(textOf(await get(world.peer(1), record))).toBe('again');
  });

  test('that nothing was ever written is known when everybody near was asked', async () => {
    await open();
    const record = await opened(0);
    const read = await get(world.peer(0), record);
    expect(read).toMatchObject({ status: 'absent', degraded: false });
    expect(read.peers).toHaveLength(10);
  });

  test('the same data by the same writer is no new write, and finds the peers it lacks', async () => {
    await open();
    const record = await opened(0);
    const first = await set(world.peer(0), record, 'hello');
    const value = await world.run(world.peer(0).local.value(record.key.id, 0));
    const again = await set(world.peer(0), record, 'hello');
    expect(again).toEqual(first);
    const after = await world.run(world.peer(0).local.value(record.key.id, 0));
    expect(after?.blob).toEqual(value?.blob);
    for (const id of first.peers.slice(0, 3)) world.network.crash(id);
    const found = await set(world.peer(0), record, 'hello');
    expect(found).toMatchObject({ status: 'committed', sequence: 0 });
    expect(found.peers).not.toEqual(first.peers);
  });

  test('a key without secret reads and writes nothing; a wrong one fails loudly', async () => {
    await open();
    const record = await opened(0);
    const { engine } = world.peer(0);
    const bare = keyOf(record.key.id, undefined);
    const writer = record.owner;
    const wrong = { code: 'RECORD_SECRET_WRONG' };
    await expect(world.run(engine.get(bare, 0))).rejects.toMatchObject(wrong);
    const data = Buffer.from('x');
    await expect(world.run(engine.set(bare, 0, data, { writer }))).rejects.toMatchObject(wrong);
    await set(world.peer(0), record, 'hello');
    const other = keyOf(record.key.id, Buffer.alloc(32, 1));
    await expect(world.run(engine.get(other, 0))).rejects.toMatchObject(wrong);
  });

  test('only the writer of a subkey writes it, and only records that are here', async () => {
    await open();
    const record = await opened(0);
    const writer = createKeyPair(new SeededRandom(9));
    await expect(set(world.peer(0), record, 'x', { writer })).rejects.toMatchObject({
      code: 'NOT_A_WRITER',
    });
    await expect(set(world.peer(1), record, 'x')).rejects.toMatchObject({
      code: 'RECORD_NOT_FOUND',
    });
    await expect(get(world.peer(1), record)).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND' });
    const { engine } = world.peer(1);
    await expect(world.run(engine.inspect(record.key))).rejects.toMatchObject({
      code: 'RECORD_NOT_FOUND',
    });
  });

  test('an answer that is too old is no answer', async () => {
    await open();
    const record = await opened(0, 1);
    await set(world.peer(0), record, 'hello');
    const minimumSequence = sequence(1);
    await expect(get(world.peer(1), record, { minimumSequence })).rejects.toMatchObject({
      code: 'PEERS_UNAVAILABLE',
    });
    const local = world.peer(1).engine.get(record.key, 0, { minimumSequence: sequence(0) });
    expect(await world.run(local)).toMatchObject({ source: 'local' });
  });

  test('a call whose signal ended is ABORTED, and its write stays queued', async () => {
    await open();
    const record = await opened(0);
    for (const peer of world.peers) world.network.conditionsOf(peer.id).silent = true;
    const abort = new AbortController();
    const options = { writer: record.owner, signal: abort.signal };
    const call = world.peer(0).engine.set(record.key, 0, Buffer.from('x'), options);
    const settled = call.catch((error: unknown) => error);
    await world.clock.advance(2_000);
    abort.abort();
    expect(await world.run(settled)).toMatchObject({ code: 'ABORTED' });
    expect(world.peer(0).pending.all()).toEqual([[record.key.id, 0]]);
  });
});

describe('peers that lag behind', () => {
  test('of nine old values and one new one the new one is given, and the nine are repaired', async () => {
    await open();
    const record = await opened(0, 1);
    await set(world.peer(0), record, 'old');
    const secret = record.key.secret as Buffer;
    const nearest = world.nearest(record.key.id).slice(0, 10);
    const near = nearest.filter((peer) => peer !== world.peer(1));
    const at = (number: number, text: string) => {
      const place = { record: record.key.id, subkey: 0, writer: record.owner };
      const about = { ...place, sequence: sequence(number) };
      const made = createValue(about, secret, Buffer.from(text), world.random);
      return verifyValue(made, record.descriptor, 0);
    };
    const { descriptor } = record;
    const old = await world.run(world.peer(0).local.value(record.key.id, 0));
    const options = { origin: undefined };
    for (const peer of near) {
      if (old !== undefined) await world.run(peer.remote.write(descriptor, [old], options));
    }
    await world.run((near[1] as RecordPeer).remote.write(descriptor, [at(7, 'new')], options));
    const read = await get(world.peer(1), record);
    expect(textOf(read)).toBe('new');
    expect(read.peers).toEqual([near[1]?.id]);
    await world.run(world.peer(1).engine.idle());
    for (const peer of near) expect(await textAt(peer, record)).toBe(7);
    expect((await get(world.peer(1), record)).peers).toHaveLength(3);
  });

  test('a peer that does not keep what it lacks is given it no sooner than after a pause', async () => {
    await open();
    const record = await opened(0, 1);
    await set(world.peer(0), record, 'a');
    const [nearest] = world.nearest(record.key.id).filter((peer) => peer !== world.peer(1));
    let sets = 0;
    (nearest as RecordPeer).instead = (question) => {
      if (question.type === 'set') sets++;
      const nothing = { value: undefined, descriptor: undefined, peers: [] };
      return Promise.resolve(
        question.type === 'set'
          ? { type: 'set', status: 'stored', peers: [] }
          : question.type === 'get'
            ? { type: 'get', status: 'held', ...nothing }
            : undefined,
      );
    };
    for (let i = 0; i < 5; i++) await get(world.peer(1), record);
    await world.run(world.peer(1).engine.idle());
    expect(sets).toBe(1);
    await world.clock.advance(RECORD_LIMITS.readRepairPauseMs);
    await get(world.peer(1), record);
    await world.run(world.peer(1).engine.idle());
    expect(sets).toBe(2);
  });

  test('a set that meets something newer takes it, and brings it to all', async () => {
    await open();
    const record = await opened(0, 1);
    for (const text of ['a', 'b', 'c']) await set(world.peer(0), record, text);
    const lost = await set(world.peer(1), record, 'late');
    expect(lost).toMatchObject({ status: 'superseded', sequence: 2, degraded: false });
    expect(lost.peers).toHaveLength(5);
    if (lost.status !== 'superseded') throw new Error(lost.status);
    expect(Buffer.from(lost.value?.data ?? []).toString()).toBe('c');
    const local = await world.run(world.peer(1).engine.get(record.key, 0));
    expect(textOf(local)).toBe('c');
    expect(await set(world.peer(1), record, 'later')).toMatchObject({
      status: 'committed',
      sequence: 3,
    });
  });

  test('writers that race end with the same value, and one of them knows that it lost', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      await open({ seed });
      const record = await opened(0, 1, 2);
      const races = [0, 1].map((number) =>
        world
          .peer(number)
          .engine.set(record.key, 0, Buffer.from(`by ${number}`), { writer: record.owner }),
      );
      const results = await world.run(Promise.all(races));
      const statuses = results.map(({ status }) => status);
      const reads = [];
      for (const number of [0, 1, 2]) reads.push(textOf(await get(world.peer(number), record)));
      expect(new Set(reads).size, `seed ${seed}`).toBe(1);
      const winner = reads[0] === 'by 0' ? 0 : 1;
      expect(statuses[1 - winner], `seed ${seed}`).toBe('superseded');
      expect(statuses[winner], `seed ${seed}`).toBe('committed');
      const told = [0, 1].flatMap((number) => world.peer(number).conflicts);
      expect(told.length).toBeGreaterThan(0);
      if (seed < 6) await world.close();
    }
  });

  test('a writer that lost its memory takes a number that was not used', async () => {
    await open();
    const record = await opened(0, 1);
    for (const peer of world.peers) peer.instead = usedUpTo(41);
    const done = await set(world.peer(1), record, 'anew');
    expect(done).toMatchObject({ status: 'committed', sequence: 42 });
    expect(textOf(await get(world.peer(0), record))).toBe('anew');
  });

  test('a few peers cannot make a writer use up its numbers', async () => {
    await open();
    const record = await opened(0);
    for (const peer of world.nearest(record.key.id).slice(0, 4)) {
      peer.instead = usedUpTo(LAST_SEQUENCE - 1);
    }
    const done = await set(world.peer(0), record, 'hello');
    expect(done).toMatchObject({ status: 'committed', sequence: 0 });
  });

  test('too few peers that name a number are not believed', async () => {
    await open({ peers: 6 });
    const record = await opened(0);
    for (const peer of world.peers.slice(1, 3)) peer.instead = usedUpTo(41);
    const done = await set(world.peer(0), record, 'hello');
    expect(done).toMatchObject({ status: 'pending', sequence: 0 });
    expect(done.peers).toHaveLength(3);
  });

  test('no peer sees a value that is not here, and queued, already', async () => {
    await open();
    const record = await opened(0);
    const writer = world.peer(0);
    const before: unknown[] = [];
    for (const peer of world.peers) {
      peer.instead = async (question) => {
        if (question.type !== 'set') return undefined;
        const here = await writer.local.value(record.key.id, 0);
        const isQueued = writer.pending.of(record.key.id).has(0);
        before.push(isQueued && here?.blob.equals(question.value.blob));
        return undefined;
      };
    }
    await set(writer, record, 'a');
    await set(writer, record, 'b');
    expect(before.length).toBeGreaterThanOrEqual(10);
    expect(new Set(before)).toEqual(new Set([true]));
  });

  test('a locked record is left to the queue, or RECORD_LOCKED', async () => {
    await open();
    const record = await opened(0);
    await set(world.peer(0), record, 'a');
    for (const peer of world.peers) peer.instead = locked;
    expect(await set(world.peer(0), record, 'b')).toMatchObject({ status: 'pending', peers: [] });
    await expect(set(world.peer(0), record, 'c', { allowOffline: false })).rejects.toMatchObject({
      code: 'RECORD_LOCKED',
      effect: 'unknown',
    });
    for (const peer of world.peers) peer.instead = undefined;
    const pushed = await world.run(world.peer(0).engine.push(record.key.id, 0));
    expect(pushed?.outcome.kind).toBe('consensus');
    expect(world.peer(0).pending.all()).toEqual([]);
  });
});

describe('small networks, and none', () => {
  test('with two peers two agree, and the result says `degraded`', async () => {
    await open({ peers: 3 });
    const record = await opened(0, 1);
    const done = await set(world.peer(0), record, 'hello');
    expect(done).toMatchObject({ status: 'committed', degraded: true });
    expect(done.peers).toHaveLength(2);
    const read = await get(world.peer(1), record);
    expect(textOf(read)).toBe('hello');
    expect(read.degraded).toBe(true);
  });

  test('alone, a set is queued and a get has no answer', async () => {
    await open({ peers: 1 });
    const record = await opened(0);
    const done = await set(world.peer(0), record, 'hello');
    expect(done).toMatchObject({ status: 'pending', peers: [], degraded: false });
    expect(textOf(await world.run(world.peer(0).engine.get(record.key, 0)))).toBe('hello');
    const none = { code: 'PEERS_UNAVAILABLE' };
    await expect(get(world.peer(0), record)).rejects.toMatchObject(none);
    const strict = set(world.peer(0), record, 'other', { allowOffline: false });
    await expect(strict).rejects.toMatchObject({ ...none, effect: 'none' });
    expect(textOf(await world.run(world.peer(0).engine.get(record.key, 0)))).toBe('hello');
    const { engine } = world.peer(0);
    const inspect = engine.inspect(record.key, { scope: 'get' });
    await expect(world.run(inspect)).rejects.toMatchObject(none);
    await expect(world.run(engine.findDescriptor(record.key.id))).rejects.toMatchObject(none);
  });

  test('a write made alone comes to the network when it is there', async () => {
    await open();
    const record = await opened(0, 1);
    world.network.partition(
      [world.peer(0).id],
      world.peers.slice(1).map(({ id }) => id),
    );
    expect(await set(world.peer(0), record, 'alone')).toMatchObject({ status: 'pending' });
    world.network.heal();
    await world.run(world.peer(0).refresh());
    for (const [id, subkey] of world.peer(0).pending.all()) {
      await world.run(world.peer(0).engine.push(id, subkey));
    }
    expect(world.peer(0).pending.all()).toEqual([]);
    expect(textOf(await get(world.peer(1), record))).toBe('alone');
  });
});

describe('inspect', () => {
  test('here and in the network, by scope', async () => {
    await open();
    const record = world.makeRecord();
    const [reader, writer] = world.nearest(record.key.id).slice(-2) as [RecordPeer, RecordPeer];
    await world.openAt(record, writer, reader);
    await set(writer, record, 'a');
    await set(writer, record, 'b');
    const inspect = (peer: RecordPeer, more: object) =>
      world.run(peer.engine.inspect(record.key, more));
    expect(await inspect(writer, {})).toMatchObject({
      agreed: false,
      states: [
        { subkey: 0, local: 1, network: undefined, peers: 0 },
        { subkey: 1, local: undefined, network: undefined, peers: 0 },
      ],
    });
    for (const scope of ['get', 'set'] as const) {
      const report = await inspect(reader, { scope, subkeys: ALL_SUBKEYS });
      expect(report).toMatchObject({ agreed: true, degraded: false });
      expect(report.states.map(({ network }) => network)).toEqual([1, undefined]);
      expect(report.states[1]?.peers).toBeGreaterThanOrEqual(3);
    }
    const own = await inspect(writer, { scope: 'update-set', subkeys: SubkeySet.of(0, 1) });
    expect(own.states.map(({ network }) => network)).toEqual([2, 0]);
  });

  test('what was written here and reached too few peers is pending', async () => {
    await open({ peers: 1 });
    const record = await opened(0);
    await set(world.peer(0), record, 'a');
    const report = await world.run(world.peer(0).engine.inspect(record.key));
    expect([...report.pending]).toEqual([0]);
  });

  test('the descriptor of a record comes from the network, and none from nowhere', async () => {
    await open();
    const record = await opened(0);
    await set(world.peer(0), record, 'a');
    const { engine } = world.peer(5);
    const found = await world.run(engine.findDescriptor(record.key.id));
    expect(found?.owner).toBe(record.owner.publicKey);
    const other = world.makeRecord();
    expect(await world.run(engine.findDescriptor(other.key.id))).toBeUndefined();
  });
});

test('the last number is the last', async () => {
  await open();
  const record = await opened(0);
  const place = { record: record.key.id, subkey: 0, writer: record.owner };
  const secret = record.key.secret as Buffer;
  const value = createValue(
    { ...place, sequence: LAST_SEQUENCE },
    secret,
    Buffer.from('last'),
    world.random,
  );
  const verified = verifyValue(value, record.descriptor, 0);
  const options = { origin: undefined };
  await world.run(world.peer(0).local.write(record.descriptor, [verified], options));
  await expect(set(world.peer(0), record, 'more')).rejects.toMatchObject({
    code: 'SEQUENCE_EXHAUSTED',
  });
});
