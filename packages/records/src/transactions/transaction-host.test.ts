import { RECORD_LIMITS as L, SILENT } from '@holdfast/core';
import { openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { DESCRIPTOR, MEMBER, OWNER, SCHEMA, SECRET, STRANGER } from '../../test/sample-messages.ts';
import type { PeerId } from '../coordinate.ts';
import type { KeyPair } from '../key-pair.ts';
import { createProof } from '../member-proof.ts';
import type { BeginQuestion, TransactionCommand, TransactionId } from '../messages.ts';
import { createDescriptor, verifyDescriptor } from '../record-descriptor.ts';
import type { RecordId } from '../record-key.ts';
import type { RecordStore } from '../record-store.ts';
import { sequence } from '../sequence.ts';
import { createErasure, createValue, type SignedValue, verifyValue } from '../signed-value.ts';
import { openRecordStore } from '../store/index.ts';
import { SubkeySet } from '../subkey-set.ts';
import { type CommittedTransaction, TransactionHost } from './transaction-host.ts';

const record = DESCRIPTOR.id;
const SELF = 'self' as PeerId;
const A = 'peer-a' as PeerId;
const B = 'peer-b' as PeerId;
const INVALID = { type: 'invalid' };
const GONE = { type: 'command', status: 'gone' };
const OVER = { type: 'command', status: 'done', durationMs: 0, value: undefined };
const DONE = {
  type: 'command',
  status: 'done',
  durationMs: L.transactionIdleMs,
  value: undefined,
};
const random = new SeededRandom(11);

function write(subkey: number, number: number, writer: KeyPair = OWNER): SignedValue {
  const about = { record, subkey, sequence: sequence(number), writer };
  return createValue(about, SECRET, Buffer.from(`${subkey} ${number}`), random);
}

/** A host over a real store, whose calls a test may stop or fail. */
class World {
  readonly clock: SimClock = new SimClock(new SeededRandom(1));
  readonly commits: CommittedTransaction[] = [];
  store!: RecordStore;
  host!: TransactionHost;
  /** Runs before each write of the host. */
  beforeWrite: () => Promise<void> = () => Promise.resolve();

  static async open(settings: { maxRecords?: number; maxBytes?: number } = {}): Promise<World> {
    const world = new World();
    const { clock } = world;
    const kv = openMemoryKvStore({ clock }, { id: 'remote' });
    const nowMs = (): number => clock.now();
    const components = { kv, nowMs, logger: SILENT };
    world.store = await openRecordStore({ kind: 'remote', ...settings }, components);
    const store: RecordStore = Object.create(world.store, {
      write: {
        value: async (...args: Parameters<RecordStore['write']>) => {
          await world.beforeWrite();
          return world.store.write(...args);
        },
      },
      head: { value: (id: RecordId) => world.store.head(id) },
      peek: { value: (id: RecordId) => world.store.peek(id) },
      value: { value: (id: RecordId, subkey: number) => world.store.value(id, subkey) },
      floor: { value: (id: RecordId, subkey: number) => world.store.floor(id, subkey) },
    }) as RecordStore;
    const onCommitted = (commit: CommittedTransaction): void => void world.commits.push(commit);
    world.host = new TransactionHost({ self: SELF, store, clock, random, onCommitted });
    return world;
  }

  /** A plain set. */
  async put(...values: readonly (readonly [subkey: number, value: SignedValue])[]): Promise<void> {
    const verified = values.map(([subkey, value]) => verifyValue(value, DESCRIPTOR, subkey));
    await this.store.write(DESCRIPTOR, verified, { origin: B });
  }

  async begin(from = A, more: Partial<BeginQuestion> = {}): Promise<TransactionId> {
    const answer = await this.host.begin(from, { ...BEGIN, ...more }, []);
    if (answer.type !== 'begin' || answer.status !== 'begun') {
      throw new Error(`not begun: ${JSON.stringify(answer)}`);
    }
    return answer.transaction;
  }

  ask(transaction: TransactionId, command: TransactionCommand, from = A): Promise<unknown> {
    return this.host.command(from, { type: 'command', record, transaction, command });
  }

  set(transaction: TransactionId, subkey: number, value: SignedValue, from = A): Promise<unknown> {
    return this.ask(transaction, { kind: 'set', subkey, value }, from);
  }

  async numbers(): Promise<(number | undefined)[] | undefined> {
    const head = await this.store.peek(record);
    return head?.subkeys.map((subkey) => subkey?.sequence);
  }
}

const BEGIN: BeginQuestion = {
  type: 'begin',
  record,
  descriptor: DESCRIPTOR,
  wantDescriptor: false,
  proof: undefined,
};
const END = { kind: 'end' } as const;
const COMMIT = { kind: 'commit' } as const;
const KEEP = { kind: 'keep' } as const;
const ROLLBACK = { kind: 'rollback' } as const;

describe('a transaction begins', () => {
  it('with the numbers of all subkeys, and the descriptor where it is wanted', async () => {
    const world = await World.open();
    await world.put([1, write(1, 4)]);
    const peers = [{ id: B, addresses: [] }];
    const wanted = { ...BEGIN, descriptor: undefined, wantDescriptor: true };
    expect(await world.host.begin(A, wanted, peers)).toEqual({
      type: 'begin',
      status: 'begun',
      transaction: expect.stringMatching(/^[0-9a-f]{16}$/),
      durationMs: L.transactionIdleMs,
      sequences: [undefined, 4, undefined],
      descriptor: DESCRIPTOR,
      peers,
    });
  });

  it('on an unknown record with its descriptor only', async () => {
    const { host } = await World.open();
    const without = { ...BEGIN, descriptor: undefined };
    expect(await host.begin(A, without, [])).toMatchObject({ status: 'descriptor-wanted' });
    expect(await host.begin(A, BEGIN, [])).toMatchObject({
      status: 'begun',
      sequences: [undefined, undefined, undefined],
      descriptor: undefined,
    });
  });

  it('not with a descriptor that is forged, or of another record', async () => {
    const world = await World.open();
    const forged = { ...DESCRIPTOR, signature: Buffer.alloc(64) };
    expect(await world.host.begin(A, { ...BEGIN, descriptor: forged }, [])).toEqual(INVALID);
    const other = createDescriptor({ type: 'default', subkeys: 1 }, OWNER);
    expect(await world.host.begin(A, { ...BEGIN, descriptor: other }, [])).toEqual(INVALID);
    await world.put([0, write(0, 0)]);
    expect(await world.host.begin(A, { ...BEGIN, descriptor: other }, [])).toEqual(INVALID);
    expect(world.host.usage().transactions).toBe(0);
  });

  it('for a member beside those of the public, if the proof is for this call', async () => {
    const { host } = await World.open();
    const proof = createProof({ record, asking: A, answering: SELF }, MEMBER);
    for (let n = 0; n < L.maxPublicTransactions; n++) {
      const answer = await host.begin(`public-${n}` as PeerId, BEGIN, []);
      expect(answer).toMatchObject({ status: 'begun' });
    }
    expect(await host.begin(A, BEGIN, [])).toMatchObject({ status: 'busy' });
    const stranger = createProof({ record, asking: A, answering: SELF }, STRANGER);
    expect(await host.begin(A, { ...BEGIN, proof: stranger }, [])).toMatchObject({
      status: 'busy',
    });
    expect(await host.begin(B, { ...BEGIN, proof }, [])).toEqual(INVALID);
    const elsewhere = createProof({ record, asking: A, answering: B }, MEMBER);
    expect(await host.begin(A, { ...BEGIN, proof: elsewhere }, [])).toEqual(INVALID);
    expect(await host.begin(A, { ...BEGIN, proof }, [])).toMatchObject({ status: 'begun' });
    expect(await host.begin(A, { ...BEGIN, proof }, [])).toMatchObject({ status: 'busy' });
  });
});

describe('a transaction', () => {
  it('changes nothing before its commit, then everything at once', async () => {
    const world = await World.open();
    await world.put([0, write(0, 0)]);
    const id = await world.begin();
    expect(await world.set(id, 0, write(0, 1))).toEqual(DONE);
    expect(await world.set(id, 2, write(2, 5, MEMBER))).toEqual(DONE);
    expect(await world.ask(id, END)).toEqual(DONE);
    expect(await world.numbers()).toEqual([0, undefined, undefined]);
    expect(world.host.lockedBy(record)).toBe(id);
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    expect(await world.numbers()).toEqual([1, undefined, 5]);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(world.commits).toEqual([{ record, subkeys: SubkeySet.of(0, 2), from: A }]);
    expect(world.host.usage()).toEqual({ transactions: 0, bytes: 0 });
  });

  it('makes a record that was not there, with the descriptor it began with', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 1, write(1, 0));
    await world.ask(id, END);
    expect(await world.store.peek(record)).toBeUndefined();
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    const head = await world.store.peek(record);
    expect(head?.origin).toBe(A);
    expect(verifyDescriptor(head?.descriptor as never, record)).toEqual(DESCRIPTOR);
    expect(await world.numbers()).toEqual([undefined, 0, undefined]);
  });

  it('reads what was there when it began, not what it wrote', async () => {
    const world = await World.open();
    const before = write(0, 3);
    await world.put([0, before]);
    const id = await world.begin();
    await world.set(id, 0, write(0, 4));
    const get = { kind: 'get', subkey: 0 } as const;
    expect(await world.ask(id, get)).toMatchObject({ status: 'done', value: before });
    await world.ask(id, END);
    expect(await world.ask(id, get)).toMatchObject({ status: 'done', value: before });
    expect(await world.ask(id, { kind: 'get', subkey: 1 })).toEqual(DONE);
  });

  it('is told of a value that wins, and withdraws its own', async () => {
    const world = await World.open();
    const current = write(0, 3);
    await world.put([0, current]);
    const id = await world.begin();
    expect(await world.set(id, 0, write(0, 4))).toEqual(DONE);
    expect(await world.set(id, 0, write(0, 2))).toMatchObject({ status: 'done', value: current });
    expect(world.host.usage().bytes).toBe(0);
    expect(await world.set(id, 0, current)).toEqual(DONE);
    expect(await world.ask(id, END)).toEqual(OVER); // nothing is left to commit
    expect(await world.numbers()).toEqual([3, undefined, undefined]);
  });

  it('of one number decides as everybody does: the lower hash wins', async () => {
    const world = await World.open();
    const [low, high] = [write(0, 3), write(0, 3)].sort((a, b) =>
      Buffer.compare(a.digest, b.digest),
    ) as [SignedValue, SignedValue];
    await world.put([0, high]);
    const id = await world.begin();
    expect(await world.set(id, 0, low)).toEqual(DONE);
    await world.ask(id, END);
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    const next = await world.begin();
    expect(await world.set(next, 0, high)).toMatchObject({ status: 'done', value: low });
  });

  it('is told of the number of a value that is gone', async () => {
    const world = await World.open();
    const gone = write(0, 7);
    await world.put([0, gone]);
    await world.store.delete(record);
    const id = await world.begin();
    expect(await world.set(id, 0, write(0, 6))).toEqual({
      type: 'command',
      status: 'outdated',
      durationMs: L.transactionIdleMs,
      floor: 7,
    });
    expect(await world.set(id, 0, gone)).toEqual(DONE); // the very value may come back
    await world.ask(id, END);
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    expect(await world.numbers()).toEqual([7, undefined, undefined]);
  });

  it('takes its commands one after the other, awaited or not', async () => {
    const world = await World.open();
    const id = await world.begin();
    const replies = await Promise.all([
      world.set(id, 0, write(0, 1)),
      world.set(id, 1, write(1, 1)),
      world.ask(id, END),
      world.ask(id, COMMIT),
      world.ask(id, KEEP),
    ]);
    expect(replies).toEqual([DONE, DONE, DONE, OVER, GONE]);
    expect(await world.numbers()).toEqual([1, 1, undefined]);
  });

  it('that changed nothing ends with its end', async () => {
    const world = await World.open();
    const id = await world.begin();
    expect(await world.ask(id, END)).toEqual(OVER);
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(world.commits).toEqual([]);
  });

  it('that only read is told at its end whether that still holds', async () => {
    const world = await World.open();
    await world.put([0, write(0, 1)]);
    const [a, b] = [await world.begin(A), await world.begin(B)];
    await world.ask(a, { kind: 'get', subkey: 0 });
    await world.ask(b, { kind: 'get', subkey: 0 }, B);
    expect(await world.ask(a, END)).toEqual(OVER);
    await world.put([1, write(1, 1)]);
    expect(await world.ask(b, END, B)).toEqual(GONE);
  });

  it('ends by rollback, and gives its lock back', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    expect(await world.ask(id, ROLLBACK)).toEqual(OVER);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(await world.numbers()).toBeUndefined();
  });

  it('commits an erasure like any value', async () => {
    const world = await World.open();
    await world.put([0, write(0, 1)]);
    const id = await world.begin();
    const at = { record, subkey: 0, sequence: sequence(2), writer: OWNER };
    await world.set(id, 0, createErasure(at));
    await world.ask(id, END);
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    expect(await world.store.value(record, 0)).toMatchObject({ kind: 'erased', sequence: 2 });
  });
});

describe('of what is not allowed nothing comes:', () => {
  it.each([
    ['a value of another writer', 0, () => write(0, 1, MEMBER)],
    ['a value of a stranger', 2, () => write(2, 1, STRANGER)],
    ['a value for another subkey', 1, () => write(0, 1)],
    ['a forged value', 0, () => ({ ...write(0, 1), signature: Buffer.alloc(64) })],
    ['a value that is too large', 0, () => large()],
    ['a subkey that the schema has not', 3, () => write(3, 1)],
  ])('%s', async (_, subkey, make) => {
    const world = await World.open();
    await world.put([0, write(0, 0)]);
    const id = await world.begin();
    await world.set(id, 1, write(1, 9));
    expect(await world.set(id, subkey, make())).toEqual(INVALID);
    expect(await world.ask(id, END)).toEqual(GONE);
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(await world.numbers()).toEqual([0, undefined, undefined]);
    expect(world.host.usage()).toEqual({ transactions: 0, bytes: 0 });
  });

  it.each([
    ['a commit without an end', [COMMIT]],
    ['a set after the end', [END, { kind: 'set', subkey: 0, value: write(0, 2) }]],
    ['a read of no subkey', [{ kind: 'get', subkey: 3 }]],
  ] as const)('%s', async (_, commands) => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    let reply: unknown;
    for (const command of commands) reply = await world.ask(id, command);
    expect(reply).toEqual(INVALID);
    expect(await world.ask(id, KEEP)).toEqual(GONE);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.numbers()).toBeUndefined();
  });

  it('commands of another peer, or for another record', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    for (const command of [KEEP, COMMIT, ROLLBACK]) {
      expect(await world.ask(id, command, B)).toEqual(GONE);
    }
    const other = 'ab'.repeat(32) as RecordId;
    const question = { type: 'command', record: other, transaction: id, command: COMMIT } as const;
    expect(await world.host.command(A, question)).toEqual(GONE);
    expect(await world.ask('0'.repeat(15).concat('1') as TransactionId, COMMIT)).toEqual(GONE);
    expect(await world.ask(id, COMMIT)).toEqual(OVER); // nobody disturbed it
  });

  function large(): SignedValue {
    const about = { record, subkey: 0, sequence: sequence(1), writer: OWNER };
    return createValue(about, SECRET, Buffer.alloc(32 * 1024 + 1), random);
  }
});

describe('of two that race', () => {
  it('the one that ends first wins, and the other is gone', async () => {
    const world = await World.open();
    await world.put([0, write(0, 0)]);
    const [a, b] = [await world.begin(A), await world.begin(B)];
    await world.set(a, 0, write(0, 1));
    await world.set(b, 1, write(1, 1), B);
    const ends = await Promise.all([world.ask(b, END, B), world.ask(a, END)]);
    expect(ends).toEqual([DONE, GONE]);
    expect(await world.host.begin(A, BEGIN, [])).toMatchObject({ status: 'busy' });
    expect(await world.ask(b, COMMIT, B)).toEqual(OVER);
    expect(await world.numbers()).toEqual([0, 1, undefined]);
  });

  it('the one that began before a commit finds out at its next step', async () => {
    for (const step of [
      { kind: 'get', subkey: 0 },
      { kind: 'set', subkey: 0, value: write(0, 9) },
      END,
    ] as const) {
      const world = await World.open();
      const [a, b] = [await world.begin(A), await world.begin(B)];
      await world.set(a, 0, write(0, 5));
      await world.set(b, 1, write(1, 1), B);
      await world.ask(b, END, B);
      await world.ask(b, COMMIT, B);
      expect(await world.ask(a, step)).toEqual(GONE);
      expect(await world.numbers()).toEqual([undefined, 1, undefined]);
    }
  });

  it('a plain set before the end wins', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 5));
    await world.put([1, write(1, 0)]);
    expect(await world.ask(id, END)).toEqual(GONE);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.numbers()).toEqual([undefined, 0, undefined]);
  });

  it('a set that slips in between end and commit wins: the commit is none, not half', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 5));
    await world.set(id, 1, write(1, 5));
    await world.ask(id, END);
    await world.put([1, write(1, 9)]);
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(await world.numbers()).toEqual([undefined, 9, undefined]);
    expect(world.commits).toEqual([]);
  });

  it('a plain set that is under way when it ends is seen by the end, not only by the commit', async () => {
    const world = await World.open();
    await world.put([0, write(0, 0)]);
    const id = await world.begin();
    await world.set(id, 0, write(0, 5));
    const put = world.put([1, write(1, 0)]);
    expect(await world.ask(id, END)).toEqual(GONE);
    await put;
    expect(await world.numbers()).toEqual([0, 0, undefined]);
  });

  it('a record that came and went meanwhile is not taken for the one that never was', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 5));
    await world.set(id, 1, write(1, 5));
    await world.ask(id, END);
    await world.put([1, write(1, 9)]);
    await world.store.delete(record);
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(await world.numbers()).toBeUndefined();
  });
});

describe('time and failures:', () => {
  it('one that is silent is gone, with its lock; one that is heard of is not', async () => {
    const world = await World.open();
    const [a, b] = [await world.begin(A), await world.begin(B)];
    await world.set(a, 0, write(0, 1));
    await world.ask(a, END);
    await world.clock.advance(L.transactionIdleMs - 1);
    expect(await world.ask(b, KEEP, B)).toEqual(DONE);
    await world.clock.advance(1);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.ask(a, COMMIT)).toEqual(GONE);
    await world.set(b, 0, write(0, 2), B);
    expect(await world.ask(b, END, B)).toEqual(DONE);
    expect(await world.ask(b, COMMIT, B)).toEqual(OVER);
  });

  it('nobody holds a lock beyond the life of a transaction', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    const step = L.transactionIdleMs / 2;
    for (let passed = step; passed < L.transactionLifeMs; passed += step) {
      await world.clock.advance(step);
      expect(await world.ask(id, KEEP)).toMatchObject({ status: 'done' });
      expect(world.host.lockedBy(record)).toBe(id);
    }
    await world.clock.advance(step);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.ask(id, KEEP)).toEqual(GONE);
  });

  it('a jump of the wall clock ends nothing', async () => {
    const world = await World.open();
    const id = await world.begin();
    world.clock.jumpWallClock(86_400_000);
    expect(await world.ask(id, KEEP)).toEqual(DONE);
    world.clock.jumpWallClock(-2 * 86_400_000);
    await world.clock.advance(L.transactionIdleMs);
    expect(await world.ask(id, KEEP)).toEqual(GONE);
  });

  it('a commit that is asked for again is answered again, to its peer, for a while', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    await world.ask(id, COMMIT);
    expect(await world.ask(id, COMMIT)).toEqual(OVER);
    expect(await world.ask(id, COMMIT, B)).toEqual(GONE);
    expect(await world.ask(id, ROLLBACK)).toEqual(GONE);
    expect(world.commits).toHaveLength(1);
    await world.clock.advance(L.transactionIdleMs);
    world.host.sweep();
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
  });

  it('a commit under way is not ended by time, and keeps its lock until it is done', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    let go = (): void => undefined;
    world.beforeWrite = () => new Promise((resolve) => (go = resolve));
    const commit = world.ask(id, COMMIT);
    await world.clock.advance(2 * L.transactionLifeMs);
    world.host.sweep();
    expect(world.host.lockedBy(record)).toBe(id);
    go();
    expect(await commit).toEqual(OVER);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(await world.numbers()).toEqual([1, undefined, undefined]);
  });

  it('a commit whose write fails is told, and gives its lock back', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    const failure = new Error('disk');
    world.beforeWrite = () => Promise.reject(failure);
    await expect(world.ask(id, COMMIT)).rejects.toBe(failure);
    expect(world.host.lockedBy(record)).toBeUndefined();
    expect(world.host.usage()).toEqual({ transactions: 0, bytes: 0 });
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(world.commits).toEqual([]);
  });

  it('a commit that finds no room is gone', async () => {
    const world = await World.open({ maxBytes: 64 });
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(await world.numbers()).toBeUndefined();
  });

  it('a host that was closed begins nothing and knows of nothing', async () => {
    const world = await World.open();
    const id = await world.begin();
    await world.set(id, 0, write(0, 1));
    await world.ask(id, END);
    world.host.close();
    expect(await world.host.begin(A, BEGIN, [])).toMatchObject({ status: 'busy' });
    expect(await world.ask(id, COMMIT)).toEqual(GONE);
    expect(world.host.lockedBy(record)).toBeUndefined();
  });
});

describe('whatever peers do, in any order,', () => {
  it.each(Array.from({ length: 30 }, (_, seed) => seed + 1))(
    'commits are whole, numbers only rise, and nothing is left behind (seed %d)',
    async (seed) => {
      const world = await World.open();
      const chance = new SeededRandom(seed);
      const peers = [A, B, 'peer-c' as PeerId];
      const open: { id: TransactionId; from: PeerId; writes: Map<number, number> }[] = [];
      let expected: (number | undefined)[] = [undefined, undefined, undefined];
      for (let step = 0; step < 60; step++) {
        const from = peers[chance.integer(3)] as PeerId;
        const subkey = chance.integer(3);
        const writer = subkey === 2 ? MEMBER : OWNER;
        const one = open[chance.integer(Math.max(1, open.length))];
        const roll = chance.integer(20);
        if (roll < 4 || one === undefined) {
          const answer = await world.host.begin(from, BEGIN, []);
          if (answer.type === 'begin' && answer.status === 'begun') {
            open.push({ id: answer.transaction, from, writes: new Map() });
          }
        } else if (roll < 11) {
          const reply = await world.set(one.id, subkey, write(subkey, step, writer), one.from);
          if ((reply as { status?: string }).status === 'done') one.writes.set(subkey, step);
        } else if (roll < 14) {
          await world.ask(one.id, END, one.from);
        } else if (roll < 17) {
          const reply = (await world.ask(one.id, COMMIT, one.from)) as typeof OVER;
          if (reply.status === 'done' && reply.durationMs === 0 && world.commits.length > 0) {
            expected = expected.map((number, at) => one.writes.get(at) ?? number);
            expect(await world.numbers()).toEqual(expected);
            one.writes.clear(); // it may be asked again
          }
        } else if (roll < 18) {
          await world.clock.advance(1 + chance.integer(6_000));
          world.host.sweep();
        } else if (world.host.lockedBy(record) === undefined) {
          await world.put([subkey, write(subkey, step, writer)]);
          expected[subkey] = step;
        }
        const known = (await world.numbers()) ?? [undefined, undefined, undefined];
        expect(known).toEqual(expected);
      }
      await world.clock.advance(L.transactionLifeMs);
      expect(world.host.usage()).toEqual({ transactions: 0, bytes: 0 });
      expect(world.host.lockedBy(record)).toBeUndefined();
    },
  );
});

it('the schema of these tests has an owner with two subkeys and a member with one', () => {
  expect(SCHEMA).toMatchObject({ ownerSubkeys: 2, members: [{ subkeys: 1 }] });
});
