/** Watches as applications have them, between simulated peers, in virtual time. */
import { RECORD_LIMITS } from '@holdfast/core';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type CreatedRecord,
  keyOf,
  type PeerId,
  type PeerRecords,
  type RecordChange,
  sequence,
  type SignedValue,
  type Statement,
  SubkeySet,
  type WatchId,
  type WatchOptions,
} from '../../src/index.ts';
import { RecordsLife } from '../open-records/records-life.ts';
import type { RecordPeer } from '../sim/record-peer.ts';

const SCHEMA = { type: 'default', subkeys: 4 } as const;
const { watchInspectMs, maxWatchMs, watchIntervalMs } = RECORD_LIMITS;
/** Until a change was told. */
const TELLING_MS = 2 * watchIntervalMs;

let life: RecordsLife;
afterEach(() => life.close());

interface Watched {
  readonly writer: PeerRecords;
  readonly reader: PeerRecords;
  readonly made: CreatedRecord;
  readonly told: string[];
}

/** What a watch tells, as `subkey:sequence:text`, and how it ended. */
function read(changes: AsyncIterable<RecordChange>): string[] {
  const told: string[] = [];
  const reading = async (): Promise<void> => {
    for await (const { subkeys, value } of changes) {
      const text = value === undefined ? '-' : Buffer.from(value.data).toString();
      told.push(`${[...subkeys].join()}:${value?.sequence}:${text}`);
    }
    told.push('end');
  };
  void reading().catch((error: unknown) => told.push((error as { code: string }).code));
  return told;
}

async function set({ writer, made }: Watched, subkey: number, text: string): Promise<void> {
  const done = await life.run(writer.set(made.key, subkey, Buffer.from(text)));
  expect(done.status).toBe('committed');
}

async function watched(options: WatchOptions = {}, loss = 0): Promise<Watched> {
  life = await RecordsLife.open({ loss });
  const writer = await life.records(0);
  const reader = await life.records(1);
  const made = await life.run(writer.create(SCHEMA));
  await life.run(writer.set(made.key, 0, Buffer.from('old')));
  await life.run(reader.open(made.key));
  await life.run(reader.get(made.key, 0));
  const told = read(reader.watch(made.key, options));
  await life.world.clock.advance(TELLING_MS);
  expect(told).toEqual([]);
  return { writer, reader, made, told };
}

function holders(made: CreatedRecord): RecordPeer[] {
  const mine = [life.world.peer(0), life.world.peer(1)];
  return life.world.nearest(made.key.id).filter((peer) => !mine.includes(peer));
}

describe('a watch', () => {
  it('tells each change once, though several peers tell it', async () => {
    const all = await watched();
    await set(all, 0, 'new');
    await life.world.clock.advance(TELLING_MS);
    await set(all, 2, 'two');
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['0:1:new', '2:0:two']);
    await life.world.clock.advance(3 * watchInspectMs);
    expect(all.told).toHaveLength(2);
    const { change } = life.eventsOf(1)[0] as { change: RecordChange };
    expect(change).toMatchObject({ key: all.made.key, count: undefined });
    const kept = await life.run(all.reader.get(all.made.key, 0));
    expect(kept).toMatchObject({ sequence: 1, source: 'local' });
  });

  it('tells several subkeys that changed together, each with its value', async () => {
    const all = await watched();
    const { writer, made } = all;
    const sets = [0, 1, 3].map((subkey) => writer.set(made.key, subkey, Buffer.from(`s${subkey}`)));
    await life.run(Promise.all(sets));
    await life.world.clock.advance(2 * TELLING_MS);
    expect(all.told.toSorted()).toEqual(['0:1:s0', '1:0:s1', '3:0:s3']);
  });

  it('tells nothing of subkeys it is not for, nor of what was written here', async () => {
    const all = await watched({ subkeys: SubkeySet.of(1) });
    await set(all, 0, 'new');
    const { reader, made } = all;
    const options = { writer: made.ownerKeys };
    await life.run(reader.set(made.key, 1, Buffer.from('mine'), options));
    const transaction = await life.run(reader.transact([made.key], options));
    await life.run(transaction.set(made.key, 1, Buffer.from('mine, too')));
    await life.run(transaction.commit());
    await life.world.clock.advance(2 * watchInspectMs);
    expect(all.told).toEqual([]);
  });

  it('tells what the network has and this peer had not when it began', async () => {
    const all = await watched();
    const { reader, made, writer } = all;
    await life.run(reader.cancelWatch(made.key));
    await life.run(writer.set(made.key, 3, Buffer.from('meanwhile')));
    const told = read(reader.watch(made.key));
    await life.world.clock.advance(TELLING_MS);
    expect(told).toEqual(['3:0:meanwhile']);
  });

  it('comes without data for a key without the secret', async () => {
    const all = await watched();
    const { reader, made } = all;
    await life.run(reader.close(made.key));
    const bare = keyOf(made.key.id, undefined);
    await life.run(reader.open(bare));
    const told = read(reader.watch(bare));
    await set(all, 1, 'unseen');
    await life.world.clock.advance(TELLING_MS);
    await life.world.clock.advance(watchInspectMs);
    expect(told).toEqual(['1:undefined:-']);
  });

  it('goes on beyond what peers grant: it is renewed', async () => {
    const all = await watched();
    await life.world.clock.advance(3 * maxWatchMs);
    const heard = countStatements(1);
    await set(all, 0, 'late');
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['0:1:late']);
    expect(heard()).toBeGreaterThanOrEqual(1);
  });

  it('finds other peers when those that kept it are gone', async () => {
    const all = await watched();
    for (const peer of holders(all.made).slice(0, 3)) peer.crash();
    await life.world.clock.advance(30_000);
    const heard = countStatements(1);
    await set(all, 0, 'new');
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['0:1:new']);
    expect(heard()).toBeGreaterThanOrEqual(1);
  });

  it('finds what it missed while it was away, and what no peer told', async () => {
    const all = await watched();
    life.isolate(1);
    await life.world.clock.advance(1_000);
    await set(all, 0, 'missed');
    life.world.network.heal();
    await life.world.clock.advance(2 * watchInspectMs);
    expect(all.told).toEqual(['0:1:missed']);
    life.world.peer(1).behave((honest) => ({
      answer: (from, question) => honest.answer(from, question),
      hear: () => undefined,
    }));
    await set(all, 0, 'untold');
    await life.world.clock.advance(2 * watchInspectMs);
    expect(all.told).toEqual(['0:1:missed', '0:2:untold']);
  });

  it('tells no change twice and misses none where messages are lost', async () => {
    const all = await watched({}, 0.05);
    const texts = Array.from({ length: 6 }, (_, i) => `text ${i}`);
    for (const text of texts) {
      await life.run(all.writer.set(all.made.key, 1, Buffer.from(text)));
      await life.world.clock.advance(2 * watchInspectMs);
    }
    expect(all.told).toEqual(texts.map((text, i) => `1:${i}:${text}`));
  });
});

describe('a watch ends', () => {
  it('with its count', async () => {
    const all = await watched({ count: 2 });
    for (const text of ['one', 'two', 'three']) {
      await set(all, 0, text);
      await life.world.clock.advance(TELLING_MS);
    }
    expect(all.told).toEqual(['0:1:one', '0:2:two', 'end']);
    expect(countsOf(1)).toEqual([1, 0]);
    expect(life.eventsOf(1).at(-1)).toEqual({ type: 'watch-ended', key: all.made.key });
  });

  it('with its time, whether it was told anything or not', async () => {
    life = await RecordsLife.open();
    const records = await life.records(0);
    const { key } = await life.run(records.create(SCHEMA));
    const { clock } = life.world;
    const told = read(records.watch(key, { expiresAtMs: clock.now() + 50_000 }));
    const late = read(records.watch(key, { expiresAtMs: clock.now() + 60_000 }));
    await clock.advance(59_000);
    expect(told).toEqual(['end']);
    expect(late).toEqual([]);
    await clock.advance(2_000);
    expect(late).toEqual(['end']);
  });

  it('by cancelWatch, of some subkeys or all; at the peers, too', async () => {
    const all = await watched();
    const { reader, made } = all;
    const some = await reader.cancelWatch(made.key, { subkeys: SubkeySet.of(0, 1) });
    expect(some).toEqual({ status: 'active', subkeys: SubkeySet.of(2, 3) });
    await life.world.clock.advance(TELLING_MS);
    await set(all, 0, 'no');
    await set(all, 2, 'yes');
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['2:0:yes']);
    expect(watchesAtPeers()).toBeGreaterThanOrEqual(3);
    expect(await reader.cancelWatch(made.key)).toEqual({ status: 'none' });
    expect(await reader.cancelWatch(made.key)).toEqual({ status: 'none' });
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['2:0:yes', 'end']);
    expect(watchesAtPeers()).toBe(0);
  });

  it('with close, with delete, and with break', async () => {
    const all = await watched();
    const { reader, made } = all;
    await life.run(reader.close(made.key));
    await life.world.clock.advance(1_000);
    expect(all.told).toEqual(['end']);
    await life.run(reader.open(made.key));
    const feed = reader.watch(made.key);
    await life.world.clock.advance(TELLING_MS);
    expect(watchesAtPeers()).toBeGreaterThanOrEqual(3);
    await feed[Symbol.asyncIterator]().return?.();
    await life.world.clock.advance(1_000);
    expect(watchesAtPeers()).toBe(0);
    const told = read(reader.watch(made.key));
    await life.run(reader.delete(made.key));
    await life.world.clock.advance(1_000);
    expect(told).toEqual(['end']);
  });

  it('with its signal as ABORTED, and does not begin where it cannot', async () => {
    const all = await watched();
    const { reader, made } = all;
    const abort = new AbortController();
    const told = read(reader.watch(made.key, { signal: abort.signal }));
    abort.abort();
    const calls = [
      read(reader.watch(made.key, { signal: abort.signal })),
      read(reader.watch(made.key, { subkeys: SubkeySet.of(9) })),
      read(reader.watch(keyOf(made.key.id.replace(/./g, '0') as typeof made.key.id, undefined))),
    ];
    await life.world.clock.advance(1_000);
    expect([told, ...calls]).toEqual([
      ['ABORTED'],
      ['ABORTED'],
      ['INVALID_SUBKEY'],
      ['RECORD_NOT_OPEN'],
    ]);
    expect(all.told).toEqual(['end']);
  });
});

describe('a process that is killed', () => {
  it('goes on with its watches once their records are open again, and tells what it missed', async () => {
    const all = await watched({ count: 5 });
    await set(all, 0, 'one');
    await life.world.clock.advance(TELLING_MS);
    const again = await life.restart(1);
    await set(all, 0, 'two');
    await life.run(again.open(all.made.key));
    await life.world.clock.advance(TELLING_MS);
    await set(all, 1, 'three');
    await life.world.clock.advance(TELLING_MS);
    expect(countsOf(1)).toEqual([3, 2]);
    await life.run(again.close(all.made.key));
    const third = await life.restart(1);
    await life.run(third.open(all.made.key));
    await set(all, 1, 'four');
    await life.world.clock.advance(2 * watchInspectMs);
    expect(countsOf(1)).toEqual([]);
  });
});

describe('a peer that lies', () => {
  it('is not believed: a watch of others, forged values, and hints that are wrong', async () => {
    const all = await watched();
    const { made, reader } = all;
    const heard: [PeerId, Statement][] = [];
    life.onHear(1, (from, statement) => void heard.push([from, statement]));
    await set(all, 0, 'true');
    await life.world.clock.advance(TELLING_MS);
    const [from, statement] = heard[0] as [PeerId, Statement];
    const value = statement.value as SignedValue;
    const signature = Buffer.from(value.signature.map((byte) => byte ^ 1));
    const forged = { ...value, sequence: sequence(9), signature };
    reader.hear(from, { ...statement, value: forged });
    reader.hear(from, { ...statement, value: undefined, subkeys: SubkeySet.range(0, 3) });
    reader.hear(from, { ...statement, subkeys: SubkeySet.of(1) });
    await life.world.clock.advance(watchInspectMs);
    expect(all.told).toEqual(['0:1:true']);
    const later = await life.run(all.writer.set(made.key, 0, Buffer.from('later')));
    const newer = await life.run(life.world.peer(0).local.value(made.key.id, 0));
    const before = [...all.told];
    reader.hear('peer-99' as PeerId, { ...statement, value: newer });
    reader.hear(from, { ...statement, watch: '0123456789abcdef' as WatchId, value: newer });
    await life.world.clock.runUntilIdle();
    expect(all.told).toEqual(before);
    // Told twice at one moment, as two peers do.
    reader.hear(from, { ...statement, value: newer });
    reader.hear(from, { ...statement, value: newer });
    await life.world.clock.advance(TELLING_MS);
    expect(all.told).toEqual(['0:1:true', `0:${later.sequence}:later`]);
  });
});

function countsOf(number: number): (number | undefined)[] {
  return life
    .eventsOf(number)
    .flatMap((event) => (event.type === 'change' ? [event.change.count] : []));
}

function watchesAtPeers(): number {
  return life.world.peers
    .filter(({ isUp }) => isUp)
    .reduce((sum, { server }) => sum + server.usage().watches, 0);
}

/** Of this peer, from now on. */
function countStatements(number: number): () => number {
  let heard = 0;
  life.onHear(number, () => heard++);
  return () => heard;
}
