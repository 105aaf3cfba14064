import { RECORD_LIMITS } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import {
  ALL_SUBKEYS,
  type GetAnswer,
  type InspectAnswer,
  NO_SUBKEYS,
  peerCoordinate,
  type PeerId,
  type SetQuestion,
  SubkeySet,
  type WatchId,
} from '../../src/index.ts';
import { FairTurns } from '../../src/server/fair-turns.ts';
import { STATEMENTS } from '../sample-messages.ts';
import { descriptorOf, peer, valueOf } from '../store/made-records.ts';
import { peers, ServerLife } from './server-life.ts';

const A = descriptorOf(0);
const ALICE = peer('alice');

function setOf(number: number, subkey = 0): SetQuestion {
  const value = valueOf(0, subkey, number);
  return { type: 'set', record: A.id, subkey, value, descriptor: A };
}

describe('a server of records', () => {
  const get = { type: 'get', record: A.id, subkey: 1, wantDescriptor: true } as const;
  const inspect = { type: 'inspect', record: A.id, wantDescriptor: true } as const;

  it('gives a value, with the descriptor if it is wanted', async () => {
    const life = await ServerLife.open();
    const none = { status: 'held', value: undefined, descriptor: undefined, peers: [] };
    expect(await life.ask(ALICE, get)).toEqual({ type: 'get', ...none });
    await life.ask(peer('b'), setOf(3, 1));
    const found = (await life.ask(ALICE, get)) as GetAnswer & { status: 'held' };
    expect(found.value).toMatchObject({ sequence: 3 });
    expect(found.descriptor).toEqual(A);
    const bare = await life.ask(ALICE, { ...get, wantDescriptor: false });
    expect((bare as typeof found).descriptor).toBeUndefined();
    for (const subkey of [0, 900]) {
      const empty = await life.ask(ALICE, { ...get, subkey });
      expect(empty).toMatchObject({ status: 'held', value: undefined, descriptor: A });
    }
  });

  it('tells the numbers of the subkeys that the record has among those asked for', async () => {
    const life = await ServerLife.open();
    const ask = async (subkeys: SubkeySet): Promise<unknown> => {
      const answer = (await life.ask(ALICE, { ...inspect, subkeys })) as InspectAnswer;
      return answer.status === 'held' ? answer.sequences : answer.status;
    };
    expect(await ask(ALL_SUBKEYS)).toBeUndefined();
    await life.ask(ALICE, setOf(3, 1));
    await life.ask(ALICE, setOf(0, 3));
    expect(await ask(ALL_SUBKEYS)).toEqual([undefined, 3, undefined, 0]);
    expect(await ask(SubkeySet.of(1, 2, 77))).toEqual([3, undefined]);
    expect(await ask(NO_SUBKEYS)).toEqual([]);
    expect(await ask(SubkeySet.range(4, 1023))).toEqual([]);
  });

  it('declines what is far from it, and names those who are nearer, whatever is asked', async () => {
    const life = await ServerLife.open();
    await life.ask(ALICE, setOf(0));
    life.nearer = peers(40);
    const named = peers(20);
    const far = { status: 'far', peers: named };
    const calls = life.kv.calls;
    const rest = { durationMs: 0, count: undefined, watch: undefined, proof: undefined };
    const about = { record: A.id, subkeys: ALL_SUBKEYS };
    const begin = { type: 'begin', record: A.id, descriptor: A, wantDescriptor: false } as const;
    for (const question of [
      get,
      setOf(1),
      { ...inspect, subkeys: ALL_SUBKEYS },
      { type: 'watch', ...about, ...rest } as const,
      { ...begin, proof: undefined },
    ]) {
      expect(await life.ask(ALICE, question)).toEqual({ type: question.type, ...far });
    }
    expect(life.kv.calls).toBe(calls);
    const find = { type: 'find', target: peerCoordinate(ALICE) } as const;
    expect(await life.ask(ALICE, find)).toEqual({ type: 'find', peers: named });
  });

  it('answers a ping, and gone for a transaction of nobody', async () => {
    const life = await ServerLife.open();
    expect(await life.ask(ALICE, { type: 'ping' })).toEqual({ type: 'ping' });
    const transaction = 'ab'.repeat(8) as never;
    const command = { kind: 'commit' } as const;
    const question = { type: 'command', record: A.id, transaction, command } as const;
    expect(await life.ask(ALICE, question)).toEqual({ type: 'command', status: 'gone' });
  });

  it('lets transactions go that nobody asks for any more', async () => {
    const life = await ServerLife.open();
    const begin = { type: 'begin', record: A.id, descriptor: A, wantDescriptor: false } as const;
    for (const nth of [0, 1, 2]) {
      expect(await life.ask(peer(nth), { ...begin, proof: undefined })).toMatchObject({
        status: 'begun',
      });
    }
    expect(life.server.usage().transactions).toBe(3);
    await life.after(RECORD_LIMITS.transactionIdleMs * 2);
    expect(life.server.usage().transactions).toBe(0);
  });

  it('hands statements on to whoever watches', async () => {
    const life = await ServerLife.open();
    const [statement] = STATEMENTS;
    if (statement === undefined) throw new Error('no statement');
    life.server.hear(ALICE, statement);
    expect(life.heard).toEqual([statement]);
  });

  it('waits at its end for what it serves, and serves nothing afterwards', async () => {
    const life = await ServerLife.open();
    const under = life.ask(ALICE, setOf(0));
    await life.server.close();
    await life.server.close();
    expect(await under).toMatchObject({ status: 'stored' });
    expect(await life.ask(ALICE, setOf(1))).toEqual({ type: 'invalid' });
    expect((await life.store.value(A.id, 0))?.sequence).toBe(0);
  });

  it('tells watches of changes that came by another way', async () => {
    const life = await ServerLife.open();
    await life.ask(ALICE, setOf(0));
    const rest = { durationMs: 0, count: undefined, watch: undefined, proof: undefined };
    const watch = { type: 'watch', record: A.id, subkeys: ALL_SUBKEYS, ...rest } as const;
    const answer = await life.ask(ALICE, watch);
    life.server.changed(A.id, SubkeySet.of(2, 900), undefined);
    const told = await life.after(RECORD_LIMITS.watchIntervalMs);
    expect(told.map(({ to, statement }) => [to, [...statement.subkeys]])).toEqual([[ALICE, [2]]]);
    expect(told[0]?.statement.watch).toBe((answer as { watch: WatchId }).watch);
  });
});

describe('places of peers', () => {
  it('are given to each peer in its turn, however much one asks', async () => {
    const turns = new FairTurns(2);
    const order: PeerId[] = [];
    const ends: (() => void)[] = [];
    const ask = (from: PeerId): Promise<void> =>
      turns.run(from, async () => {
        order.push(from);
        await new Promise<void>((resolve) => ends.push(resolve));
      });
    const [greedy, b, c] = [peer('greedy'), peer('b'), peer('c')];
    const all = [...Array.from({ length: 6 }, () => greedy), b, b, c].map(ask);
    for (let ended = 0; ended < all.length; ended++) {
      expect(turns.underWay).toBeLessThanOrEqual(2);
      while (ends.length === 0) await Promise.resolve();
      ends.shift()?.();
      for (let i = 0; i < 5; i++) await Promise.resolve();
    }
    await Promise.all(all);
    expect(order).toEqual([greedy, greedy, greedy, b, c, greedy, b, greedy, greedy]);
    expect(turns.underWay).toBe(0);
  });

  it('come back from work that failed', async () => {
    const turns = new FairTurns(1);
    const failing = turns.run(ALICE, () => Promise.reject(new Error('failed')));
    const next = turns.run(peer('b'), () => Promise.resolve('done'));
    await expect(failing).rejects.toThrow('failed');
    expect(await next).toBe('done');
    expect(turns.underWay).toBe(0);
  });

  it('a peer with hundreds of questions keeps another one waiting for one of them', async () => {
    const life = await ServerLife.open();
    await life.ask(ALICE, setOf(0));
    const { maxQuestionsServed } = RECORD_LIMITS;
    const answered: string[] = [];
    const ask = async (from: PeerId): Promise<void> => {
      const get = { type: 'get', record: A.id, subkey: 0, wantDescriptor: false } as const;
      await life.server.answer(from, get);
      answered.push(from);
    };
    const flood = Array.from({ length: 3 * maxQuestionsServed }, () => ask(ALICE));
    await Promise.all([...flood, ask(peer('b'))]);
    expect(answered.indexOf('peer-b')).toBeLessThan(maxQuestionsServed + 10);
  });
});
