/** Records as applications have them, between simulated peers, in virtual time. */
import { RECORD_LIMITS } from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createKeyPair,
  type GetResult,
  keyOf,
  NO_SUBKEYS,
  type PeerRecords,
  recordKey,
  SubkeySet,
} from '../../src/index.ts';
import { RecordsLife } from './records-life.ts';

const SCHEMA = { type: 'default', subkeys: 3 } as const;
const bytes = (text: string): Buffer => Buffer.from(text);

let life: RecordsLife;
afterEach(() => life.close());

async function open(): Promise<{ a: PeerRecords; b: PeerRecords }> {
  life = await RecordsLife.open();
  return { a: await life.records(0), b: await life.records(1) };
}

function textOf(result: GetResult): string | undefined {
  return result.status === 'value' ? Buffer.from(result.data).toString() : undefined;
}

const code = (name: string) => ({ code: name });

describe('records', () => {
  it('are made here, set, opened elsewhere by their key, read, and erased', async () => {
    const { a, b } = await open();
    const made = await life.run(a.create(SCHEMA));
    expect(made).toMatchObject({ schema: SCHEMA, owner: made.ownerKeys.publicKey });
    expect(made.key).toEqual(recordKey(SCHEMA, made.owner, made.key.secret));
    await expect(life.run(b.open(made.key))).rejects.toMatchObject(code('RECORD_NOT_FOUND'));
    const set = await life.run(a.set(made.key, 1, bytes('hello')));
    expect(set).toMatchObject({ status: 'committed', sequence: 0 });
    const opened = await life.run(b.open(made.key));
    expect(opened).toEqual({ key: made.key, owner: made.owner, schema: SCHEMA, writer: undefined });
    expect(textOf(await life.run(b.get(made.key, 1)))).toBe('hello');
    await expect(b.set(made.key, 1, bytes('no'))).rejects.toMatchObject(code('NOT_A_WRITER'));
    const { ownerKeys: writer } = made;
    expect(await life.run(b.erase(made.key, 1, { writer }))).toMatchObject({ sequence: 1 });
    const read = await life.run(a.get(made.key, 1, { forceRefresh: true }));
    expect(read).toMatchObject({ status: 'erased', sequence: 1, source: 'network' });
  });

  it('are there once: the same owner and schema are the same record', async () => {
    const { a } = await open();
    const { ownerKeys: owner, key } = await life.run(a.create(SCHEMA));
    await expect(life.run(a.create(SCHEMA, { owner }))).rejects.toMatchObject(
      code('RECORD_EXISTS'),
    );
    const secret = Buffer.alloc(32, 5);
    const other = await life.run(a.create({ type: 'default', subkeys: 4 }, { owner, secret }));
    expect(other.key.secret).toEqual(secret);
    expect(other.key.id).not.toBe(key.id);
    const short = { secret: Buffer.alloc(31) };
    await expect(a.create(SCHEMA, short)).rejects.toMatchObject(code('INVALID_RECORD_KEY'));
  });

  it('are closed as often as they were opened, and then neither read nor written', async () => {
    const { a } = await open();
    const { key, ownerKeys } = await life.run(a.create(SCHEMA));
    await life.run(a.open(key));
    await life.run(a.close(key));
    expect(await life.run(a.set(key, 0, bytes('x')))).toMatchObject({ status: 'committed' });
    await life.run(a.close(key));
    const calls = [
      () => a.get(key, 0),
      () => a.set(key, 0, bytes('y')),
      () => a.erase(key, 0),
      () => a.flush(key),
      () => a.inspect(key),
      () => a.transact([key]),
      () => a.close(key),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(code('RECORD_NOT_OPEN'));
    expect(await life.run(a.open(key))).toMatchObject({ writer: ownerKeys.publicKey });
    expect(textOf(await life.run(a.get(key, 0)))).toBe('x');
  });

  it('are open by their whole key: another secret is refused before anything is written', async () => {
    const { a } = await open();
    const { key } = await life.run(a.create(SCHEMA));
    await life.run(a.set(key, 0, bytes('x')));
    const wrong = keyOf(key.id, Buffer.alloc(32, 1));
    const bare = keyOf(key.id, undefined);
    await expect(a.set(wrong, 0, bytes('y'))).rejects.toMatchObject(code('RECORD_SECRET_WRONG'));
    await expect(life.run(a.open(wrong))).rejects.toMatchObject(code('RECORD_SECRET_WRONG'));
    expect(textOf(await life.run(a.get(bare, 0)))).toBe('x');
    await life.run(a.close(key));
    await life.run(a.open(bare));
    await expect(life.run(a.get(bare, 0))).rejects.toMatchObject(code('RECORD_SECRET_WRONG'));
    expect((await life.run(a.inspect(bare))).states[0]).toMatchObject({ local: 0 });
    await life.run(a.open(key));
    expect(textOf(await life.run(a.get(bare, 0)))).toBe('x');
  });

  it('are deleted here alone, with what was queued of them', async () => {
    const { a, b } = await open();
    const { key } = await life.run(a.create(SCHEMA));
    await life.run(a.set(key, 0, bytes('x')));
    life.isolate(0);
    expect(await life.run(a.set(key, 1, bytes('y')))).toMatchObject({ status: 'pending' });
    await life.run(a.delete(key));
    await expect(a.get(key, 0)).rejects.toMatchObject(code('RECORD_NOT_OPEN'));
    await expect(life.run(a.delete(key))).rejects.toMatchObject(code('RECORD_NOT_FOUND'));
    life.world.network.heal();
    await life.world.clock.advance(120_000);
    await life.run(b.open(key));
    expect(textOf(await life.run(b.get(key, 0)))).toBe('x');
    expect(await life.run(b.get(key, 1, { forceRefresh: true }))).toMatchObject({
      status: 'absent',
    });
    for await (const record of a.local()) expect(record).toBeUndefined();
  });

  it('are listed, closed or open, with what is queued; closed ones without their secret', async () => {
    const { a } = await open();
    const first = await life.run(a.create(SCHEMA));
    const second = await life.run(a.create(SCHEMA));
    life.isolate(0);
    await life.run(a.set(first.key, 2, bytes('x')));
    await life.run(a.close(second.key));
    const listed = new Map<string, unknown>();
    for await (const record of a.local()) listed.set(record.key.id, record);
    const more = { schema: SCHEMA };
    expect(listed.get(first.key.id)).toEqual({
      ...more,
      key: first.key,
      owner: first.owner,
      open: true,
      pending: SubkeySet.of(2),
    });
    const bare = keyOf(second.key.id, undefined);
    const rest = { owner: second.owner, open: false, pending: NO_SUBKEYS };
    expect(listed.get(second.key.id)).toEqual({ ...more, key: bare, ...rest });
  });
});

describe('a set without enough peers', () => {
  it('is pending, survives that its process is killed, and is told once it found its peers', async () => {
    const { a, b } = await open();
    const { key, ownerKeys } = await life.run(a.create(SCHEMA));
    life.isolate(0);
    const set = await life.run(a.set(key, 0, bytes('offline')));
    expect(set).toMatchObject({ status: 'pending', sequence: 0, peers: [] });
    expect((await life.run(a.inspect(key))).pending).toEqual(SubkeySet.of(0));
    const waited = await life.run(a.flush(key, { timeoutMs: 15_000 }));
    expect(waited).toEqual({ status: 'pending', subkeys: SubkeySet.of(0) });
    const again = await life.restart(0);
    await life.run(again.open(key, { writer: ownerKeys }));
    life.world.network.heal();
    expect(await life.run(again.flush(key))).toEqual({ status: 'flushed' });
    expect(life.eventsOf(0)).toContainEqual({ type: 'committed', key, subkey: 0 });
    await life.run(b.open(key));
    expect(textOf(await life.run(b.get(key, 0)))).toBe('offline');
    expect((await life.run(again.inspect(key))).pending).toEqual(NO_SUBKEYS);
  });

  it('is refused and not queued with allowOffline false', async () => {
    const { a } = await open();
    const { key } = await life.run(a.create(SCHEMA));
    life.isolate(0);
    const set = life.run(a.set(key, 0, bytes('now'), { allowOffline: false }));
    await expect(set).rejects.toMatchObject(code('PEERS_UNAVAILABLE'));
    expect(await a.flush(key)).toEqual({ status: 'flushed' });
  });

  it('sends the newest value when its turn comes, and says what won where another one did', async () => {
    const { a, b } = await open();
    const { key, ownerKeys: writer } = await life.run(a.create(SCHEMA));
    await life.run(a.set(key, 0, bytes('first')));
    await life.run(b.open(key, { writer }));
    await life.run(b.get(key, 0));
    life.isolate(0);
    await life.run(a.set(key, 0, bytes('mine')));
    for (const text of ['theirs', 'theirs, newer']) await life.run(b.set(key, 0, bytes(text)));
    life.world.network.heal();
    await life.run(a.flush(key));
    expect(textOf(await life.run(a.get(key, 0)))).toBe('theirs, newer');
    const change = { key, subkeys: SubkeySet.of(0), value: { data: bytes('theirs, newer') } };
    expect(life.eventsOf(0)).toMatchObject([
      { type: 'offline' },
      { type: 'online' },
      { type: 'change', change },
    ]);
  });

  it('is not lost with a damaged row of the queue: all of its record is queued', async () => {
    const { a } = await open();
    const { key } = await life.run(a.create(SCHEMA));
    life.isolate(0);
    await life.run(a.set(key, 0, bytes('x')));
    await life.run(a.set(key, 2, bytes('y')));
    await life.run(life.metadata(0).put(`q-${key.id}`, bytes('damaged')));
    const again = await life.restart(0);
    await life.run(again.open(key));
    expect((await life.run(again.inspect(key))).pending).toEqual(SubkeySet.of(0, 2));
    life.world.network.heal();
    expect(await life.run(again.flush(key))).toEqual({ status: 'flushed' });
  });
});

describe('a transaction', () => {
  async function twoRecords(records: PeerRecords) {
    const first = await life.run(records.create(SCHEMA));
    const second = await life.run(records.create(SCHEMA));
    for (const { key } of [first, second]) await life.run(records.set(key, 0, bytes('old')));
    return [first.key, second.key] as const;
  }

  it('changes its records together, and locks them against plain sets meanwhile', async () => {
    const { a, b } = await open();
    const [first, second] = await twoRecords(a);
    const transaction = await life.run(a.transact([first, second]));
    await life.run(transaction.set(first, 0, bytes('new')));
    await life.run(transaction.set(second, 0, bytes('new')));
    const calls: (() => Promise<unknown>)[] = [
      () => a.set(first, 0, bytes('no')),
      () => a.erase(second, 1),
      () => a.delete(first),
      () => a.transact([second]),
    ];
    for (const call of calls) {
      await expect(life.run(call())).rejects.toMatchObject(code('RECORD_LOCKED'));
    }
    expect(textOf(await life.run(a.get(first, 0)))).toBe('old');
    await life.run(transaction.commit());
    for (const key of [first, second]) {
      await life.run(b.open(key));
      expect(textOf(await life.run(b.get(key, 0)))).toBe('new');
    }
    expect(await life.run(a.set(first, 0, bytes('newer')))).toMatchObject({ sequence: 2 });
  });

  it.each(['rollback', 'close', 'dispose'] as const)('is ended by %s', async (how) => {
    const { a } = await open();
    const [first, second] = await twoRecords(a);
    const transaction = await life.run(a.transact([first, second]));
    await life.run(transaction.set(first, 0, bytes('new')));
    if (how === 'rollback') await life.run(transaction.rollback());
    if (how === 'close') await life.run(a.close(first));
    if (how === 'dispose') await life.run(a.dispose());
    await expect(life.run(transaction.commit())).rejects.toMatchObject(code('TRANSACTION_GONE'));
    const records = how === 'dispose' ? await life.records(0) : a;
    const { writer } = await life.run(records.open(first));
    expect(writer === undefined).toBe(how === 'dispose');
    expect(textOf(await life.run(records.get(first, 0, { forceRefresh: true })))).toBe('old');
    if (how === 'dispose') return;
    expect(await life.run(a.set(second, 0, bytes('plain')))).toMatchObject({ sequence: 1 });
  });

  it('that is forgotten locks its records no longer than it can live', async () => {
    const { a } = await open();
    const [first] = await twoRecords(a);
    await life.run(a.transact([first]));
    await life.world.clock.advance(RECORD_LIMITS.transactionLifeMs);
    await life.world.clock.advance(RECORD_LIMITS.rpcTimeoutMs);
    expect(await life.run(a.set(first, 0, bytes('after')))).toMatchObject({ status: 'committed' });
  });

  it('begins only where nothing is queued, and locks nothing where it cannot begin', async () => {
    const { a } = await open();
    const [first, second] = await twoRecords(a);
    const late = a.set(second, 1, bytes('under way'));
    const begun = life.run(a.transact([first, second]));
    expect(await life.run(late)).toMatchObject({ status: 'committed' });
    await life.run((await begun).rollback());
    life.isolate(0);
    await life.run(a.set(second, 0, bytes('queued')));
    await expect(life.run(a.transact([first, second]))).rejects.toMatchObject(
      code('RECORD_LOCKED'),
    );
    await expect(life.run(a.transact([first]))).rejects.toMatchObject(code('PEERS_UNAVAILABLE'));
    await expect(life.run(a.transact([first, first]))).rejects.toThrow(TypeError);
    expect(await life.run(a.set(first, 0, bytes('plain')))).toMatchObject({ status: 'pending' });
  });
});

describe('calls beside each other', () => {
  it('of delete, open, get and set leave a record whole or gone', async () => {
    const { a } = await open();
    const { key, ownerKeys: writer } = await life.run(a.create(SCHEMA));
    await life.run(a.set(key, 0, bytes('x')));
    const calls = [a.set(key, 0, bytes('y')), a.delete(key), a.get(key, 0, { forceRefresh: true })];
    const [set, , get] = await life.run(Promise.allSettled(calls));
    expect(set).toMatchObject({ status: 'fulfilled', value: { status: 'committed' } });
    expect(get).toMatchObject({ status: 'rejected', reason: code('RECORD_NOT_FOUND') });
    expect(await life.run(life.world.peer(0).local.peek(key.id))).toBeUndefined();
    await life.run(Promise.all([a.open(key, { writer }), a.open(key)]));
    expect(textOf(await life.run(a.get(key, 0)))).toBe('y');
  });

  it('end as CLOSED once records are disposed of, and disposing twice is disposing', async () => {
    const { a } = await open();
    const { key } = await life.run(a.create(SCHEMA));
    await life.run(Promise.all([a.dispose(), a.dispose()]));
    const owner = createKeyPair(life.world.random);
    const calls = [
      () => a.create(SCHEMA, { owner }),
      () => a.open(key),
      () => a.get(key, 0),
      () => a.set(key, 0, bytes('x')),
      () => a.delete(key),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(code('CLOSED'));
  });

  it('a listener that throws disturbs nobody', async () => {
    const { a } = await open();
    a.on(() => {
      throw new Error('planned');
    });
    let heard = 0;
    const listening = a.on(() => heard++);
    life.isolate(0);
    await life.world.clock.advance(1_000);
    expect(heard).toBe(1);
    listening.cancel();
    life.world.network.heal();
    await life.world.clock.advance(120_000);
    expect(heard).toBe(1);
  });
});
