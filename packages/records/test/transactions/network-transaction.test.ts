import { RECORD_LIMITS as L } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/coordinate.ts';
import { keyPairOfSeed } from '../../src/key-pair.ts';
import type { GetResult } from '../../src/records.ts';
import type { NetworkTransaction } from '../../src/transactions/index.ts';
import { OWNER } from '../sample-messages.ts';
import { subjectOf, TransactionWorld, valueOf, type WorldPeer } from './transaction-world.ts';

const FIRST = subjectOf(3);
const SECOND = subjectOf(5);
const gone = (effect: string) => expect.objectContaining({ code: 'TRANSACTION_GONE', effect });

function text(result: GetResult): string {
  return result.status === 'value' ? Buffer.from(result.data).toString() : result.status;
}
function write(
  world: TransactionWorld,
  transaction: NetworkTransaction,
  subject = FIRST,
  subkey = 0,
  data = 'new',
) {
  return world.run(transaction.set(subject.key, subkey, Buffer.from(data)));
}
/** Nobody holds a transaction or a lock any more. */
async function expectNothingLeft(world: TransactionWorld): Promise<void> {
  await world.clock.advance(L.transactionIdleMs);
  for (const { host } of world.peers) {
    expect(host.usage()).toEqual({ transactions: 0, bytes: 0 });
    for (const { key } of [FIRST, SECOND]) expect(host.lockedBy(key.id)).toBeUndefined();
  }
}

describe('a transaction over two records', () => {
  it('is in neither before the commit, then in both, at enough peers and here', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST, SECOND);
    const results = [
      await write(world, transaction, FIRST, 0, 'one'),
      await write(world, transaction, FIRST, 2, 'two'),
      await write(world, transaction, SECOND, 4, 'three'),
    ];
    for (const result of results) {
      expect(result).toMatchObject({ status: 'pending', sequence: 0, degraded: false });
      expect(result.peers.length).toBeGreaterThanOrEqual(L.setCount);
    }
    expect((await world.held(FIRST, 0)).size).toBe(0);
    await world.run(transaction.commit());
    for (const [subject, subkey, data] of [
      [FIRST, 0, 'one'],
      [FIRST, 2, 'two'],
      [SECOND, 4, 'three'],
    ] as const) {
      const held = await world.held(subject, subkey);
      expect(held.size).toBeGreaterThanOrEqual(L.setCount);
      expect(new Set(held.values())).toEqual(new Set([data]));
      const { local } = world.peers[0] as WorldPeer;
      expect((await local.value(subject.key.id, subkey))?.sequence).toBe(0);
    }
    await expectNothingLeft(world);
    await expect(world.run(transaction.get(FIRST.key, 0))).rejects.toEqual(gone('none'));
    await expect(world.run(transaction.commit())).rejects.toEqual(gone('none'));
  });

  it('reads what was there, and writes above it', async () => {
    const world = await TransactionWorld.open(14);
    const near = world.near(FIRST).slice(0, 9);
    await world.plant(valueOf(FIRST, 0, 6, 'old'), FIRST, near);
    await world.plant(valueOf(FIRST, 0, 5, 'older'), FIRST, near);
    await world.plant(valueOf(FIRST, 1, 3, undefined), FIRST, near);
    const transaction = await world.begin(0, FIRST);
    const read = await world.run(transaction.get(FIRST.key, 0));
    expect(read).toMatchObject({ status: 'value', sequence: 6, writer: OWNER.publicKey });
    expect(text(read)).toBe('old');
    expect(read.peers.length).toBeGreaterThanOrEqual(L.getCount);
    expect(await world.run(transaction.get(FIRST.key, 1))).toMatchObject({
      status: 'erased',
      sequence: 3,
    });
    expect(await world.run(transaction.get(FIRST.key, 2))).toMatchObject({ status: 'absent' });
    expect(await write(world, transaction)).toMatchObject({ status: 'pending', sequence: 7 });
    expect(await write(world, transaction)).toMatchObject({ status: 'pending', sequence: 8 });
    expect(text(await world.run(transaction.get(FIRST.key, 0)))).toBe('old');
    expect(await world.run(transaction.inspect(FIRST.key))).toMatchObject({
      agreed: true,
      degraded: false,
      states: [
        { subkey: 0, local: undefined, network: 6 },
        { subkey: 1, local: undefined, network: 3 },
        { subkey: 2, local: undefined, network: undefined },
      ],
    });
    await world.run(transaction.commit());
    expect(new Set((await world.held(FIRST, 0)).values())).toContain('new');
  });

  it('meets a value that it did not know of: that one wins, and is spread', async () => {
    const world = await TransactionWorld.open(14);
    const newer = valueOf(FIRST, 0, 9, 'theirs');
    // Here the floor is known to be 4, and of the peers only few have more.
    const { local } = world.peers[0] as WorldPeer;
    await local.write(FIRST.descriptor, [valueOf(FIRST, 0, 4, 'mine')], { origin: undefined });
    const [one] = world.near(FIRST);
    await world.plant(newer, FIRST, [one as WorldPeer]);
    // It says so only when something is set.
    (one as WorldPeer).lie = (_, honest) => {
      if (honest.type !== 'begin' || honest.status !== 'begun') return honest;
      return { ...honest, sequences: [undefined, undefined, undefined] };
    };
    const transaction = await world.begin(0, FIRST);
    const result = await write(world, transaction);
    expect(result).toMatchObject({ status: 'superseded', sequence: 9 });
    if (result.status !== 'superseded') throw new Error('superseded');
    expect(Buffer.from(result.value?.data ?? []).toString()).toBe('theirs');
    await world.run(transaction.commit());
    const held = await world.held(FIRST, 0);
    expect(held.size).toBeGreaterThanOrEqual(L.setCount);
    expect(new Set(held.values())).toEqual(new Set(['theirs']));
  });

  it('rolled back changes nothing, and so does one that is disposed', async () => {
    const world = await TransactionWorld.open(14);
    const rolled = await world.begin(0, FIRST);
    await write(world, rolled);
    await world.run(rolled.rollback());
    await world.run(rolled.rollback());
    await expect(write(world, rolled)).rejects.toEqual(gone('none'));
    const disposed = await world.begin(0, FIRST);
    await write(world, disposed);
    await world.run(disposed[Symbol.asyncDispose]());
    expect((await world.held(FIRST, 0)).size).toBe(0);
    await expectNothingLeft(world);
  });

  it('has arguments', async () => {
    const world = await TransactionWorld.open(10);
    await expect(world.begin(0)).rejects.toThrow(TypeError);
    await expect(world.begin(0, FIRST, FIRST)).rejects.toThrow(TypeError);
    const many = Array.from({ length: 33 }, (_, n) => subjectOf(n + 1));
    const tooMany = expect.objectContaining({ code: 'RECORD_TOO_LARGE' });
    await expect(world.begin(0, ...many)).rejects.toEqual(tooMany);
    const bare = { ...SECOND, key: { ...SECOND.key, secret: undefined }, writer: undefined };
    const transaction = await world.begin(0, FIRST, bare);
    const { key } = FIRST;
    const refusals = [
      [transaction.get(key, 3), 'INVALID_SUBKEY'],
      [transaction.set(key, -1, Buffer.of()), 'INVALID_SUBKEY'],
      [transaction.set(key, 0, Buffer.alloc(40_000)), 'RECORD_TOO_LARGE'],
      [transaction.get(bare.key, 0), 'RECORD_SECRET_WRONG'],
      [
        transaction.set(key, 0, Buffer.of(), { writer: keyPairOfSeed(Buffer.alloc(32, 7)) }),
        'NOT_A_WRITER',
      ],
    ] as const;
    for (const [call, code] of refusals) {
      await expect(world.run(call as Promise<unknown>)).rejects.toMatchObject({ code });
    }
    await expect(world.run(transaction.get(subjectOf(9).key, 0))).rejects.toThrow(TypeError);
    await world.run(transaction.rollback());
  });
});

describe('of two that race', () => {
  it.each(Array.from({ length: 20 }, (_, seed) => seed + 1))(
    'one wins, and no peer has half of either (seed %d)',
    async (seed) => {
      const world = await TransactionWorld.open(14, seed);
      // The public has room for several at each peer.
      const open = [subjectOf(3), subjectOf(5)].map((subject) => ({
        ...subject,
        writer: undefined,
      }));
      const [first, second] = open as [typeof FIRST, typeof FIRST];
      const run = async (from: number): Promise<string> => {
        try {
          const transaction = await world.beginBeside(from, first, second);
          for (const { key } of [first, second]) {
            await transaction.set(key, 0, Buffer.from(`from ${from}`), { writer: OWNER });
          }
          await transaction.commit();
          return 'won';
        } catch (error) {
          return (error as { code: string }).code;
        }
      };
      const ends = await world.run(Promise.all([run(1), run(2)]));
      const won = ends.filter((end) => end === 'won').length;
      expect(won).toBe(1);
      for (const end of ends) {
        expect(['won', 'TRANSACTION_GONE', 'RECORD_LOCKED', 'PEERS_UNAVAILABLE']).toContain(end);
      }
      const winner = ends.indexOf('won') + 1;
      for (const subject of [first, second]) {
        const held = await world.held(subject, 0);
        expect(held.size).toBeGreaterThanOrEqual(won * L.setCount);
        expect(new Set(held.values())).toEqual(new Set(won === 0 ? [] : [`from ${winner}`]));
      }
      await expectNothingLeft(world);
    },
  );

  it('of one member the second does not begin, until the first is over', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(1, FIRST);
    const locked = expect.objectContaining({ code: 'RECORD_LOCKED' });
    await expect(world.begin(2, FIRST)).rejects.toEqual(locked);
    await expect(world.begin(2, SECOND, FIRST)).rejects.toEqual(locked);
    await world.run(transaction.rollback());
    const next = await world.begin(2, SECOND, FIRST);
    await write(world, next);
    await world.run(next.commit());
  });

  it('a plain set in between wins', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    await write(world, transaction);
    await world.plant(valueOf(FIRST, 1, 0, 'plain'), FIRST, world.near(FIRST).slice(0, 8));
    await expect(world.run(transaction.commit())).rejects.toEqual(gone('none'));
    expect((await world.held(FIRST, 0)).size).toBe(0);
    await expectNothingLeft(world);
  });

  it('what was only read and changed meanwhile ends the commit of the rest', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST, SECOND);
    await world.run(transaction.get(FIRST.key, 0));
    await write(world, transaction, SECOND);
    await world.plant(valueOf(FIRST, 1, 0, 'plain'), FIRST, world.near(FIRST).slice(0, 8));
    await expect(world.run(transaction.commit())).rejects.toEqual(gone('none'));
    expect((await world.held(SECOND, 0)).size).toBe(0);
  });
});

describe('peers', () => {
  it('that die leave it standing, as long as enough are there', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    const { peers } = await write(world, transaction);
    expect(peers.length).toBeGreaterThanOrEqual(L.setCount + 2);
    for (const id of peers.slice(0, 2)) world.network.crash(id);
    await write(world, transaction, FIRST, 1, 'more');
    await world.run(transaction.commit());
    const alive = new Set(peers.slice(2));
    const held = [...(await world.held(FIRST, 1)).keys()].filter((id) => alive.has(id));
    expect(held.length).toBeGreaterThanOrEqual(L.setCount);
  });

  it('that die one by one end it, and nothing is changed', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST, SECOND);
    const { peers } = await write(world, transaction);
    await write(world, transaction, SECOND);
    for (const id of peers.slice(0, 5)) world.network.crash(id);
    await expect(world.run(transaction.commit())).rejects.toEqual(gone('none'));
    expect((await world.held(FIRST, 0)).size + (await world.held(SECOND, 0)).size).toBe(0);
    await expectNothingLeft(world);
  });

  it('that are lost between end and commit leave an unknown effect', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    const { peers } = await write(world, transaction);
    for (const id of peers.slice(0, 5)) {
      world.peer(id).before = (question) => {
        const isCommit = question.type === 'command' && question.command.kind === 'commit';
        if (isCommit) world.network.crash(id);
      };
    }
    await expect(world.run(transaction.commit())).rejects.toEqual(gone('unknown'));
    const { local } = world.peers[0] as WorldPeer;
    expect(await local.peek(FIRST.key.id)).toBeUndefined();
  });

  it('whose answer to the commit is lost are asked again', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    const { peers } = await write(world, transaction);
    for (const id of peers) {
      const peer = world.peer(id);
      peer.before = (question) => {
        const isCommit = question.type === 'command' && question.command.kind === 'commit';
        if (!isCommit) return;
        peer.before = undefined;
        const conditions = world.network.conditionsOf(id);
        conditions.silent = true;
        world.clock.after(1_000, () => (conditions.silent = false));
      };
    }
    await world.run(transaction.commit());
    expect((await world.held(FIRST, 0)).size).toBeGreaterThanOrEqual(L.setCount);
  });

  it('that are silent are not waited for longer than a question takes', async () => {
    const world = await TransactionWorld.open(14);
    for (const { id } of world.near(FIRST).slice(0, 2)) {
      world.network.conditionsOf(id).silent = true;
    }
    const transaction = await world.begin(0, FIRST);
    await write(world, transaction);
    await world.run(transaction.commit());
    expect((await world.held(FIRST, 0)).size).toBeGreaterThanOrEqual(L.setCount);
  });

  it('that miss a change take no part in the commit', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    const { peers } = await write(world, transaction, FIRST, 0, 'first');
    const deaf = peers[0] as PeerId;
    world.network.conditionsOf(deaf).silent = true;
    await write(world, transaction, FIRST, 1, 'second');
    world.network.conditionsOf(deaf).silent = false;
    await world.run(transaction.commit());
    await world.clock.advance(5_000);
    const [a, b] = [await world.held(FIRST, 0), await world.held(FIRST, 1)];
    expect([...a.keys()]).toEqual([...b.keys()]);
    expect(a.has(deaf)).toBe(false);
  });

  it('that are quick and behind do not hide what was committed', async () => {
    const world = await TransactionWorld.open(14);
    const near = world.near(FIRST).slice(0, 10);
    const [behind, ahead] = [near.slice(0, 5), near.slice(5)];
    await world.plant(valueOf(FIRST, 0, 1, 'old'), FIRST, near);
    await world.plant(valueOf(FIRST, 0, 2, 'committed'), FIRST, ahead);
    const transaction = await world.begin(0, FIRST);
    for (const { id } of ahead) world.network.conditionsOf(id).slowMs = 2_000;
    expect(behind.length).toBeGreaterThanOrEqual(L.getCount);
    expect(text(await world.run(transaction.get(FIRST.key, 0)))).toBe('committed');
    for (const { id } of ahead) world.network.conditionsOf(id).slowMs = 0;
    expect(await write(world, transaction)).toMatchObject({ status: 'pending', sequence: 3 });
    await world.run(transaction.commit());
  });

  it('that lie about numbers or values take no part, and decide nothing', async () => {
    const world = await TransactionWorld.open(14);
    const near = world.near(FIRST);
    const [boaster, forger] = near as [WorldPeer, WorldPeer];
    await world.plant(valueOf(FIRST, 0, 2, 'true'), FIRST, near.slice(0, 10));
    boaster.lie = (_, honest) => {
      if (honest.type !== 'begin' || honest.status !== 'begun') return honest;
      return { ...honest, sequences: honest.sequences.map(() => 999 as never) };
    };
    forger.lie = (question, honest) => {
      if (question.type !== 'command' || question.command.kind !== 'get') return honest;
      const forged = { ...valueOf(FIRST, 0, 2, 'false'), signature: Buffer.alloc(64) };
      return { type: 'command', status: 'done', durationMs: 10_000, value: forged };
    };
    const transaction = await world.begin(0, FIRST);
    const read = await world.run(transaction.get(FIRST.key, 0));
    expect(text(read)).toBe('true');
    expect(read.peers).not.toContain(boaster.id);
    const result = await write(world, transaction);
    expect(result).toMatchObject({ status: 'pending', sequence: 3 });
    expect(result.peers).not.toContain(boaster.id);
    expect(result.peers).not.toContain(forger.id);
    await world.run(transaction.commit());
  });

  it('that say of all transactions that they are over, stop none', async () => {
    const world = await TransactionWorld.open(14);
    for (const peer of world.near(FIRST).slice(0, 2)) {
      peer.lie = (question, honest) => {
        const isEnd = question.type === 'command' && question.command.kind === 'end';
        return isEnd ? { type: 'command', status: 'gone' } : honest;
      };
    }
    const transaction = await world.begin(0, FIRST);
    await write(world, transaction);
    await world.run(transaction.commit());
    expect((await world.held(FIRST, 0)).size).toBeGreaterThanOrEqual(L.setCount);
  });

  it('are too few: it is degraded with three, and does not begin with none', async () => {
    const world = await TransactionWorld.open(4);
    const transaction = await world.begin(0, FIRST);
    expect(await write(world, transaction)).toMatchObject({ status: 'pending', degraded: true });
    await world.run(transaction.commit());
    expect((await world.held(FIRST, 0)).size).toBe(3);
    const alone = await TransactionWorld.open(1);
    await expect(alone.begin(0, FIRST)).rejects.toMatchObject({ code: 'PEERS_UNAVAILABLE' });
  });
});

describe('time', () => {
  it('does not end one that is open, for as long as a transaction may live', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(0, FIRST);
    await write(world, transaction);
    await world.clock.advance(L.transactionLifeMs - 5_000);
    await world.run(transaction.commit());
    const second = await world.begin(0, FIRST);
    await write(world, second);
    await world.clock.advance(L.transactionLifeMs + L.transactionIdleMs);
    await expect(world.run(second.commit())).rejects.toEqual(gone('none'));
    await expectNothingLeft(world);
  });

  it('ends those of a peer that was killed, also in the middle of its commit', async () => {
    const world = await TransactionWorld.open(14);
    const transaction = await world.begin(1, FIRST);
    await write(world, transaction);
    const { id } = world.peers[1] as WorldPeer;
    let ended = 0;
    for (const peer of world.peers) {
      peer.before = (question) => {
        const isEnd = question.type === 'command' && question.command.kind === 'end';
        if (isEnd && ++ended === L.setCount) world.network.crash(id);
      };
    }
    transaction.commit().catch(() => undefined);
    await world.clock.advance(1_000);
    expect(world.peers.some(({ host }) => host.lockedBy(FIRST.key.id) !== undefined)).toBe(true);
    await expect(world.begin(2, FIRST)).rejects.toMatchObject({ code: 'RECORD_LOCKED' });
    await expectNothingLeft(world);
    expect((await world.held(FIRST, 0)).size).toBe(0);
    const next = await world.begin(2, FIRST);
    await write(world, next, FIRST, 0, 'next');
    await world.run(next.commit());
  });
});

it('one seed gives one history', async () => {
  const history = async (): Promise<string[]> => {
    const world = await TransactionWorld.open(12, 7);
    const transaction = await world.begin(0, FIRST, SECOND);
    await write(world, transaction);
    await world.run(transaction.commit());
    return world.lines;
  };
  const [a, b] = [await history(), await history()];
  expect(a.length).toBeGreaterThan(50);
  expect(a).toEqual(b);
});
