/** What the model does not say: who waits for what, live readers, limits, sizes, damage. */
import { HoldfastError, LIMITS, type Logger, SILENT } from '@holdfast/core';
import { describe, expect, test } from 'vitest';
import type { StreamChange, StreamWatcher } from '../src/stream-store.ts';
import { body, EngineFixture, textOf } from './engine-fixture.ts';

const P = { id: 'p', epoch: 0, seq: 0 };

function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const waiting = Symbol('waiting');
  promise.catch(() => {});
  await quiet();
  return (await Promise.race([promise, Promise.resolve(waiting)])) === waiting;
}

class Recorder implements StreamWatcher {
  readonly changes: StreamChange[] = [];
  endings = 0;

  changed(change: StreamChange): void {
    this.changes.push(change);
  }

  ended(): void {
    this.endings++;
  }

  get text(): string {
    return this.changes.map(({ bytes }) => Buffer.concat(bytes).toString()).join('|');
  }
}

describe('what rests on commits in flight waits for them', () => {
  test('a retry of what was stored is a duplicate, also after the stream was closed', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const first = { producer: { id: 'p', epoch: 0, seq: 0 } };
    const other = { producer: { id: 'q', epoch: 0, seq: 0 } };
    await f.append('a', 'x', first);
    await f.append('a', 'y', other);
    await f.append('a', 'z', { producer: { id: 'p', epoch: 0, seq: 1 }, close: true });
    for (const retry of [first, other]) {
      expect(await f.append('a', 'x', retry)).toMatchObject({ outcome: 'duplicate', closed: true });
    }
    const next = f.append('a', 'new', { producer: { id: 'q', epoch: 0, seq: 1 } });
    await expect(next).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
    expect(await f.text('a')).toBe('xyz');
  });

  test('a duplicate of an append in flight is answered when that append is durable', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const first = f.send('a', 'x', { producer: P });
    const again = f.send('a', 'x', { producer: P });
    expect(f.host.pending).toBe(1);
    expect(await isPending(again)).toBe(true);
    f.host.settle();
    expect((await first).outcome).toBe('appended');
    expect(await again).toMatchObject({
      outcome: 'duplicate',
      tail: { messages: 1, bytes: 1 },
      producer: { epoch: 0, seq: 0 },
    });
  });

  test('a duplicate of a refused append becomes the append', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const first = f.send('a', 'x', { producer: P });
    const again = f.send('a', 'x', { producer: P });
    first.catch(() => {});
    f.host.discard();
    await expect(first).rejects.toMatchObject({ code: 'DISK_FULL', effect: 'none' });
    expect(f.host.pending).toBe(1);
    f.host.settle();
    expect((await again).outcome).toBe('appended');
    expect(await f.text('a')).toBe('x');
  });

  test('a duplicate of an append with an unknown end has an unknown end', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const sent = [f.send('a', 'x', { producer: P }), f.send('a', 'x', { producer: P })];
    const ends = Promise.allSettled(sent);
    f.host.fail();
    for (const end of await ends) {
      expect(end).toMatchObject({ reason: { code: 'STORAGE_UNAVAILABLE', effect: 'unknown' } });
    }
  });

  test('a question that rests on a commit of unknown end is answered when it is asked later, too', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const first = f.send('a', 'x', { producer: P });
    const source = f.engine.create({ path: 'source', closed: false });
    const lost = Promise.allSettled([first, source]);
    f.host.fail();
    await lost;
    const later = [
      f.send('a', 'x', { producer: P }),
      f.engine.create({ path: 'fork', closed: false, fork: { source: 'source', subOffset: 0 } }),
    ];
    for (const end of await Promise.allSettled(later)) {
      expect(end).toMatchObject({ reason: { effect: 'unknown' } });
    }
  });

  test('a closed stream is reported when its closure is durable, and not if it was refused', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    for (const durable of [false, true]) {
      const close = f.send('a', undefined, { close: true });
      const append = f.send('a', 'x');
      close.catch(() => {});
      expect(await isPending(append)).toBe(true);
      if (durable) {
        f.host.settle();
        await expect(append).rejects.toMatchObject({
          code: 'STREAM_CLOSED',
          details: { closed: true, nextOffset: '0000000000000001_0000000000000001' },
        });
      } else {
        f.host.discard();
        f.host.settle();
        expect((await append).outcome).toBe('appended');
      }
    }
  });

  test('a second create waits for the first, and takes its place when that was refused', async () => {
    const f = await EngineFixture.open();
    const both = [
      f.engine.create({ path: 'a', closed: false }),
      f.engine.create({ path: 'a', closed: false }),
    ];
    both[0]?.catch(() => {});
    f.host.discard();
    f.host.settle();
    await expect(both[0]).rejects.toMatchObject({ code: 'DISK_FULL' });
    expect(await both[1]).toMatchObject({ created: true });
  });

  test('a fork of a stream in creation waits for it', async () => {
    const f = await EngineFixture.open();
    const source = f.engine.create({ path: 'a', closed: false });
    const fork = f.engine.create({
      path: 'b',
      closed: false,
      fork: { source: 'a', subOffset: 0 },
    });
    expect(f.host.pending).toBe(1);
    f.host.settle();
    await source;
    await quiet();
    f.host.settle();
    expect(await fork).toMatchObject({ created: true });
    expect(f.engine.stat('a').forks).toBe(1);
  });

  test('a commit that is not accepted plans nothing', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    f.host.refuse = new HoldfastError('COMMIT_QUEUE_FULL', 'full');
    await expect(f.send('a', 'x', { producer: P })).rejects.toMatchObject({
      code: 'COMMIT_QUEUE_FULL',
    });
    await expect(f.engine.delete('a')).rejects.toMatchObject({ code: 'COMMIT_QUEUE_FULL' });
    f.host.refuse = undefined;
    expect(await f.append('a', 'x', { producer: P })).toMatchObject({ outcome: 'appended' });
  });

  test('appends to one stream share a batch, in order', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const sent = ['one ', 'two ', 'three'].map((text) => f.send('a', text));
    await expect(f.text('a')).resolves.toBe('');
    f.host.settle();
    const tails = (await Promise.all(sent)).map(({ tail }) => tail.bytes);
    expect(tails).toEqual([4, 8, 13]);
    expect(await f.text('a')).toBe('one two three');
  });
});

describe('producers', () => {
  test('every refusal says what the protocol has to answer', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    await expect(f.append('a', 'x', { producer: { ...P, seq: 3 } })).rejects.toMatchObject({
      code: 'PRODUCER_SEQ_GAP',
      details: { expectedSeq: 0, receivedSeq: 3 },
    });
    await f.append('a', 'x', { producer: { ...P, epoch: 2 } });
    await expect(f.append('a', 'x', { producer: P })).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
      details: { currentEpoch: 2 },
    });
    await expect(
      f.append('a', 'x', { producer: { ...P, epoch: 3, seq: 1 } }),
    ).rejects.toMatchObject({ code: 'INVALID_PRODUCER' });
  });

  test('an append that closes is one change: after a crash there is all of it or nothing', async () => {
    for (const kept of [0, 1]) {
      let f = await EngineFixture.open();
      await f.create('a');
      void f.send('a', 'end', { producer: P, close: true, streamSeq: 's' });
      f = await f.crash(kept);
      expect(f.engine.stat('a').closed).toBe(kept === 1);
      expect(await f.text('a')).toBe(kept === 1 ? 'end' : '');
      const again = await f.append('a', 'end', { producer: P, close: true, streamSeq: 's' });
      expect(again.outcome).toBe(kept === 1 ? 'duplicate' : 'appended');
      expect(await f.text('a')).toBe('end');
      await expect(f.append('a', 'more')).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
    }
  });

  test('are remembered by a checkpoint and by the records after it', async () => {
    let f = await EngineFixture.open();
    await f.create('a');
    for (let seq = 0; seq < 3; seq++) await f.append('a', 'x', { producer: { ...P, seq } });
    f.host.checkpoint();
    await f.append('a', 'y', { producer: { ...P, id: 'q' } });
    f = await f.crash();
    f.host.checkpoint();
    f = await f.crash();
    const again = await f.append('a', 'x', { producer: { ...P, seq: 1 } });
    expect(again).toMatchObject({ outcome: 'duplicate', producer: { epoch: 0, seq: 2 } });
    expect((await f.append('a', 'y', { producer: { ...P, id: 'q' } })).outcome).toBe('duplicate');
    expect(await f.text('a')).toBe('xxxy');
  });

  test('are bounded per stream', async () => {
    const f = await EngineFixture.open({ maxProducersPerStream: 2 });
    await f.create('a');
    for (const id of ['1', '2']) void f.send('a', 'x', { producer: { ...P, id } });
    const third = { producer: { ...P, id: '3' } };
    await expect(f.send('a', 'x', third)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    f.host.settle();
    await expect(f.append('a', 'x', third)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    expect((await f.append('a', 'y', { producer: { ...P, id: '1', seq: 1 } })).outcome).toBe(
      'appended',
    );
  });
});

describe('live readers', () => {
  test('hear once per batch, all of one change object, with the bytes since the last', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    const [one, two] = [new Recorder(), new Recorder()];
    f.engine.watch('a', one);
    const leave = f.engine.watch('a', two);
    for (const text of ['x', 'yy', 'z'.repeat(5000)]) void f.send('a', text);
    f.host.settle();
    expect(one.changes).toHaveLength(1);
    expect(one.changes[0]).toBe(two.changes[0]);
    leave();
    await f.append('a', 'end', { close: true });
    expect(two.changes).toHaveLength(1);
    expect(one.changes.map(({ closed }) => closed)).toEqual([false, true]);
    expect(one.text).toBe(`xyy${'z'.repeat(5000)}|end`);
    expect(one.changes[1]?.from).toEqual(one.changes[0]?.to);
  });

  test('of a fork do not hear of its source', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    await f.append('a', 'x');
    await f.create('b', { fork: { source: 'a', subOffset: 0 } });
    const reader = new Recorder();
    f.engine.watch('b', reader);
    await f.append('a', 'y');
    expect(reader.changes).toEqual([]);
    expect(await f.text('b')).toBe('x');
  });

  test('end when the stream is deleted, soft-deleted, or the engine closes', async () => {
    const f = await EngineFixture.open();
    const readers = [new Recorder(), new Recorder(), new Recorder()];
    for (const [i, path] of ['a', 'b', 'c'].entries()) {
      await f.create(path);
      f.engine.watch(path, readers[i] as Recorder);
    }
    await f.create('fork', { fork: { source: 'b', subOffset: 0 } });
    await f.delete('a');
    await f.delete('b');
    f.engine.close();
    expect(readers.map(({ endings }) => endings)).toEqual([1, 1, 1]);
  });
});

describe('reads', () => {
  test('the position one past a boundary means the whole next message, past the tail nothing', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    for (const text of ['a', 'b', 'cd']) await f.append('a', text);
    for (const reload of [false, true]) {
      if (reload) f.host.checkpoint();
      expect((await f.read('a', { messages: 0, bytes: 1 })).text).toBe('abcd');
      expect((await f.read('a', { messages: 1, bytes: 2 })).text).toBe('bcd');
      expect((await f.read('a', { messages: 2, bytes: 3 })).text).toBe('cd');
      const { slice } = await f.read('a', { messages: 3, bytes: 5 });
      expect(slice).toMatchObject({ upToDate: true, byteLength: 0, to: { messages: 3, bytes: 4 } });
    }
  });

  test('of the tail are synchronous, and a slice stays as it was while the stream grows', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    await f.append('a', 'first ');
    const slice = f.engine.read({ path: 'a', from: 'start', maxBytes: 100 });
    if (slice instanceof Promise) throw new Error('not synchronous');
    await f.append('a', 'second');
    expect(Buffer.concat(slice.bytes ?? []).toString()).toBe('first ');
    expect(slice.upToDate).toBe(true);
  });

  test('from disk come in pieces, one ahead, and survive a move of the extents meanwhile', async () => {
    let f = await EngineFixture.open({ readPieceBytes: 1000 });
    await f.create('a');
    const text = 'abcdefghij'.repeat(1000);
    await f.append('a', text);
    f.host.checkpoint();
    f = await f.crash();
    const slice = await f.engine.read({ path: 'a', from: 'start', maxBytes: 1e9 });
    expect(slice.bytes).toBeUndefined();
    let read = '';
    for await (const piece of slice.pieces()) {
      const bytes = Buffer.concat(piece);
      expect(bytes.length).toBeLessThanOrEqual(3000); // a large piece is three
      read += bytes.toString();
      if (read.length === 3000) f.host.moveExtents();
    }
    expect(read).toBe(text);
  });

  test('that fail or are left early do not leave an unheard rejection', async () => {
    let f = await EngineFixture.open({ readPieceBytes: 10 });
    await f.create('a');
    await f.append('a', 'x'.repeat(100));
    f.host.checkpoint();
    f = await f.crash();
    const damage = new HoldfastError('CHECKSUM_MISMATCH', 'damaged');
    const slice = await f.engine.read({ path: 'a', from: 'start', maxBytes: 1e9 });
    let reads = 0;
    for (const shard of f.host.shards) {
      shard.onRead = async () => {
        if (++reads > 1) throw damage;
      };
    }
    for await (const piece of slice.pieces()) {
      expect(Buffer.concat(piece)).toHaveLength(30);
      break;
    }
    await quiet();
    await expect(textOf(slice)).rejects.toBe(damage);
  });

  test('of a deleted stream under way say so instead of giving less', async () => {
    let f = await EngineFixture.open({ readPieceBytes: 10 });
    await f.create('a');
    await f.append('a', 'x'.repeat(100));
    f.host.checkpoint();
    f = await f.crash();
    const slice = await f.engine.read({ path: 'a', from: 'start', maxBytes: 1e9 });
    await f.delete('a');
    await expect(textOf(slice)).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  test('cross extents that hold more than one may', async () => {
    let f = await EngineFixture.open({ tailCacheBytesPerStream: 0 });
    await f.create('a');
    const big = Buffer.alloc(LIMITS.maxExtentBytes / 2 + 1, 'x');
    for (let i = 0; i < 3; i++) await f.append('a', big.toString());
    f.host.checkpoint();
    expect(f.host.shards[0]?.extents.size).toBe(3);
    f = await f.crash();
    const { slice, text } = await f.read('a', 'start', big.length * 2 + 5);
    expect(slice).toMatchObject({ upToDate: false, to: { messages: 2, bytes: big.length * 2 } });
    expect(text.length).toBe(big.length * 2);
  });

  test('of rows with a gap are an error, not less data', async () => {
    let f = await EngineFixture.open({ tailCacheBytesPerStream: 0 });
    await f.create('a');
    for (const text of ['one', 'two']) {
      await f.append('a', text);
      f.host.checkpoint();
    }
    f = await f.crash();
    for (const shard of f.host.shards) {
      const first = [...shard.rows.keys()].sort().find((key) => key.startsWith('x'));
      if (first !== undefined) shard.delete(Buffer.from(first, 'latin1'));
    }
    await expect(f.read('a')).rejects.toMatchObject({ code: 'FORMAT_INVALID' });
  });
});

describe('forks', () => {
  test('of forks show no more of an ancestor than every fork between shows', async () => {
    let f = await EngineFixture.open({ tailCacheBytesPerStream: 0 });
    const sub = (source: string, subOffset: number) => ({
      fork: { source, at: { messages: 0, bytes: 0 }, subOffset },
    });
    await f.create('0', { contentType: 'text/plain' });
    await f.append('0', 'abcdef');
    await f.create('1', sub('0', 4));
    await f.append('1', 'X');
    await f.create('2', sub('1', 2));
    await f.append('2', 'Y');
    await f.create('3', { fork: { source: '2', subOffset: 0 } });
    await f.create('4', { fork: { source: '3', at: { messages: 1, bytes: 2 }, subOffset: 0 } });
    await f.append('0', 'later');
    await f.append('1', 'later');
    for (const reload of [false, true]) {
      if (reload) {
        f.host.checkpoint();
        f = await f.crash();
      }
      const texts = [];
      for (const path of ['1', '2', '3', '4']) texts.push(await f.text(path));
      expect(texts).toEqual(['abcdXlater', 'abY', 'abY', 'ab']);
      expect((await f.read('2', { messages: 1, bytes: 2 })).text).toBe('Y');
      expect((await f.read('1', { messages: 0, bytes: 3 }, 1)).text).toBe('abcd');
      await expect(f.create('5', sub('1', 5))).rejects.toMatchObject({
        code: 'FORK_OFFSET_BEYOND_TAIL',
      });
    }
  });

  test('count a sub-offset in messages within one append, also after a checkpoint', async () => {
    let f = await EngineFixture.open({ tailCacheBytesPerStream: 0 });
    await f.create('a', { contentType: 'application/json' });
    await f.append('a', '[1,2,3]');
    await f.append('a', '[4,5]');
    for (const reload of [false, true]) {
      if (reload) {
        f.host.checkpoint();
        f = await f.crash();
      }
      const fork = async (bytes: number, subOffset: number) => {
        const path = `${reload}${bytes}${subOffset}`;
        const at = { messages: bytes / 2, bytes };
        const created = f.engine.create({
          path,
          closed: false,
          fork: { source: 'a', at, subOffset },
        });
        created.catch(() => {});
        await quiet();
        f.host.settle();
        await created;
        return f.text(path);
      };
      expect(await fork(0, 3)).toBe('1,2,3,');
      expect(await fork(2, 1)).toBe('1,2,');
      expect(await fork(6, 2)).toBe('1,2,3,4,5,');
      await expect(fork(0, 4)).rejects.toMatchObject({ code: 'FORK_OFFSET_BEYOND_TAIL' });
      await expect(fork(2, 3)).rejects.toMatchObject({ code: 'FORK_OFFSET_BEYOND_TAIL' });
      await expect(fork(10, 1)).rejects.toMatchObject({ code: 'FORK_OFFSET_BEYOND_TAIL' });
    }
  });

  test('at an offset that nobody gave out are refused, whatever it is', async () => {
    const f = await EngineFixture.open();
    await f.create('a', { contentType: 'application/json' });
    await f.append('a', '[10,20]');
    for (const [messages, bytes] of [
      [0, 1],
      [1, 2],
      [1, 4],
      [2, 0],
      [2, 5],
    ] as const) {
      const fork = { source: 'a', at: { messages, bytes }, subOffset: 0 };
      await expect(f.create('b', { fork })).rejects.toMatchObject({ code: 'INVALID_OFFSET' });
    }
    for (const [messages, bytes] of [
      [2, 7],
      [3, 0],
    ] as const) {
      const fork = { source: 'a', at: { messages, bytes }, subOffset: 0 };
      await expect(f.create('b', { fork })).rejects.toMatchObject({
        code: 'FORK_OFFSET_BEYOND_TAIL',
      });
    }
    expect(f.engine.stat('a').forks).toBe(0);
  });

  test('know nothing of the producers and sequences of their source', async () => {
    const f = await EngineFixture.open();
    await f.create('a');
    await f.append('a', 'x', { producer: P, streamSeq: '5' });
    await f.create('b', { fork: { source: 'a', subOffset: 0 } });
    expect(await f.append('b', 'y', { producer: P, streamSeq: '1' })).toMatchObject({
      outcome: 'appended',
    });
  });
});

describe('limits', () => {
  test('bytes of a stream and of all streams', async () => {
    const f = await EngineFixture.open({ maxStreamBytes: 10, maxTotalBytes: 15 });
    await f.create('a');
    await f.create('b');
    await f.append('a', '1234567890');
    await expect(f.append('a', 'x')).rejects.toMatchObject({ code: 'STREAM_TOO_LARGE' });
    await expect(f.append('b', '123456')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    void f.send('b', '12345').catch(() => {});
    await expect(f.send('b', '1')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    f.host.discard();
    await f.append('b', '12345');
    await f.delete('a');
    await f.append('b', '67890');
  });

  test('streams, planned ones included; removal makes room', async () => {
    const f = await EngineFixture.open({ maxStreams: 2 });
    await f.create('a');
    void f.engine.create({ path: 'b', closed: false });
    const third = () => f.engine.create({ path: 'c', closed: false });
    await expect(third()).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    f.host.settle();
    await expect(third()).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    await f.delete('a');
    const created = third();
    f.host.settle();
    expect((await created).created).toBe(true);
  });

  test('the depth of forks of forks', async () => {
    const f = await EngineFixture.open();
    await f.create('0', { initial: body('x') });
    for (let depth = 1; depth <= LIMITS.maxForkDepth; depth++) {
      await f.create(`${depth}`, { fork: { source: `${depth - 1}`, subOffset: 0 } });
      await f.append(`${depth}`, 'x');
    }
    expect((await f.text(`${LIMITS.maxForkDepth}`)).length).toBe(LIMITS.maxForkDepth + 1);
    const deeper = f.create('deeper', {
      fork: { source: `${LIMITS.maxForkDepth}`, subOffset: 0 },
    });
    await expect(deeper).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    for (let depth = 0; depth <= LIMITS.maxForkDepth; depth++) await f.delete(`${depth}`);
    expect(f.engine.list({ limit: 1 })).toEqual([]);
    await f.create('0');
  });
});

test('ten thousand streams are created, written, reloaded, listed and deleted', async () => {
  let f = await EngineFixture.open();
  const paths = Array.from({ length: 10_000 }, (_, i) => `s/${String(i).padStart(5, '0')}`);
  for (const path of paths) void f.engine.create({ path, closed: false });
  f.host.settle();
  for (const path of paths) void f.send(path, path, { producer: P });
  f.host.settle();
  f.host.checkpoint();
  for (const path of paths) void f.send(path, '!', { producer: { ...P, seq: 1 } });
  f.host.settle();
  f = await f.crash();
  expect(f.engine.list({ prefix: 's/', after: 's/00041', limit: 2 })).toMatchObject([
    { path: 's/00042' },
    { path: 's/00043' },
  ]);
  for (const path of paths.slice(0, 200)) expect(await f.text(path)).toBe(`${path}!`);
  for (const path of paths) void f.engine.delete(path);
  f.host.settle();
  await quiet();
  f.host.checkpoint();
  await quiet();
  f.host.checkpoint();
  f.host.assertNoLeaks();
  expect(f.host.shards[0]?.extents.size).toBe(0);
  expect(f.host.shards.flatMap(({ rows }) => [...rows.keys()]).every((k) => k[0] === 'c')).toBe(
    true,
  );
});

test('an id is never used again, even when the newest stream is gone before the crash', async () => {
  let f = await EngineFixture.open();
  const { info } = await f.create('a');
  await f.delete('a');
  f.host.checkpoint();
  f = await f.crash();
  expect((await f.create('a')).info.id).toBeGreaterThan(info.id);
});

test('texts that would not come back from the log are refused', async () => {
  const f = await EngineFixture.open();
  await expect(f.create('a\ud800')).rejects.toMatchObject({ code: 'INVALID_PATH' });
  await f.create('a\u{1f600}');
  await expect(f.send('a', 'x', { streamSeq: '\udc00' })).rejects.toMatchObject({
    code: 'INVALID_HEADER',
  });
});

test('a record about a stream that never was is damage', async () => {
  const f = await EngineFixture.open();
  const durable = f.host.durable();
  const source = await EngineFixture.open();
  await source.create('a');
  await source.append('a', 'x');
  const [, append] = source.host.durable().records;
  const opening = EngineFixture.open({}, { ...durable, records: [append ?? []] });
  await expect(opening).rejects.toMatchObject({ code: 'INVARIANT_VIOLATED' });
});

test('the same records twice change nothing', async () => {
  let f = await EngineFixture.open();
  await f.create('a');
  await f.append('a', 'x', { producer: P });
  await f.create('b', { fork: { source: 'a', subOffset: 0 } });
  await f.append('b', 'y', { close: true });
  await f.create('c');
  await f.delete('c');
  await f.delete('a');
  const durable = f.host.durable();
  f = await EngineFixture.open(
    {},
    { ...durable, records: [...durable.records, ...durable.records] },
  );
  expect(await f.text('b')).toBe('xy');
  expect(() => f.engine.stat('a')).toThrow(expect.objectContaining({ code: 'STREAM_GONE' }));
  expect(() => f.engine.stat('c')).toThrow(expect.objectContaining({ code: 'STREAM_NOT_FOUND' }));
  await f.delete('b');
  expect(() => f.engine.stat('a')).toThrow(expect.objectContaining({ code: 'STREAM_NOT_FOUND' }));
});

describe('expiry', () => {
  const GRACE = { reaperStartGraceMs: 5000 };

  test('reads and writes move the window, stat does not, a live reader holds it open', async () => {
    const f = await EngineFixture.open();
    for (const path of ['read', 'write', 'stat', 'live']) await f.create(path, { ttlSeconds: 10 });
    const leave = f.engine.watch('live', new Recorder());
    f.clock.advance(9000);
    await f.read('read');
    await f.append('write', 'x');
    f.engine.stat('stat');
    f.clock.advance(9000);
    f.host.settle();
    expect(f.engine.list({ limit: 9 }).map(({ path }) => path)).toEqual(['live', 'read', 'write']);
    f.clock.advance(60_000);
    f.host.settle();
    leave();
    expect(f.engine.list({ limit: 9 }).map(({ path }) => path)).toEqual(['live']);
    f.clock.advance(11_000);
    f.host.settle();
    expect(f.engine.list({ limit: 9 })).toEqual([]);
  });

  test('an expired stream is replaced in one commit', async () => {
    const f = await EngineFixture.open({ reaperStartGraceMs: 1e9 });
    const expiresAtMs = f.clock.now() + 1000;
    await f.create('a', { expiresAtMs, expiresAtText: 'soon' });
    f.clock.advance(1000);
    expect(() => f.engine.stat('a')).toThrow(expect.objectContaining({ code: 'STREAM_NOT_FOUND' }));
    const created = f.engine.create({ path: 'a', contentType: 'text/x', closed: false });
    expect(f.host.pending).toBe(1);
    f.host.settle();
    expect(await created).toMatchObject({ created: true, info: { contentType: 'text/x' } });
  });

  test('sliding windows restart after an unclean start and go on after a clean one', async () => {
    for (const clean of [false, true]) {
      const f = await EngineFixture.open(GRACE);
      await f.create('a', { ttlSeconds: 100 });
      f.host.checkpoint();
      f.clock.advance(30_000);
      await f.read('a');
      f.clock.advance(50_000);
      if (clean) {
        f.engine.saveTouches();
        f.host.checkpoint();
      }
      f.engine.close();
      const next = await EngineFixture.open(GRACE, f.host.durable({ clean }), f.clock);
      next.clock.advance(51_000);
      const alive = next.engine.list({ limit: 1 }).length === 1;
      expect(alive).toBe(!clean);
      next.engine.close();
    }
  });

  test('a clean start whose touches were not saved counts as unclean', async () => {
    const f = await EngineFixture.open(GRACE);
    await f.create('a', { ttlSeconds: 10 });
    f.host.checkpoint();
    f.clock.advance(9000);
    await f.read('a');
    f.clock.advance(9000);
    f.host.checkpoint();
    f.engine.close();
    const next = await EngineFixture.open(GRACE, f.host.durable({ clean: true }), f.clock);
    expect(next.engine.list({ limit: 1 })).toHaveLength(1);
  });

  test('the reaper waits after a start, and skips a round after a jump of the clock', async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...SILENT, warn: (event) => void warnings.push(event) };
    const f = await EngineFixture.open(GRACE, undefined, undefined, logger);
    await f.create('a', { ttlSeconds: 1 });
    f.clock.advance(4000);
    expect(f.host.pending).toBe(0);
    f.clock.wallMs += LIMITS.reaperClockJumpMs * 2;
    f.clock.advance(1000);
    expect(f.host.pending).toBe(0);
    expect(warnings).toEqual(['reaper.clock_jumped']);
    f.clock.advance(1000);
    expect(f.host.pending).toBe(1);
  });

  test('the reaper slows down when much is due, and keeps its rate otherwise', async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...SILENT, warn: (event) => void warnings.push(event) };
    const f = await EngineFixture.open({ reaperStartGraceMs: 0 }, undefined, undefined, logger);
    const many = LIMITS.reaperBulkMinimum;
    for (let i = 0; i < many + 2; i++) {
      void f.engine.create({ path: `${i}`, closed: false, ttlSeconds: 1 });
    }
    f.host.settle();
    f.clock.advance(3000);
    expect(f.host.pending).toBe(3);
    expect(warnings).toEqual(['reaper.mass_expiry']);
    f.host.settle();
    f.clock.advance(1000);
    expect(f.host.pending).toBe(LIMITS.reaperDeletesPerRound);
  });

  test('what has been due for long enough goes at the full rate, however much it is', async () => {
    const f = await EngineFixture.open({ reaperStartGraceMs: 0, reaperIntervalMs: 60_000 });
    const many = 2 * LIMITS.reaperBulkMinimum;
    for (let i = 0; i < many; i++) {
      void f.engine.create({ path: `${i}`, closed: false, ttlSeconds: 1 });
    }
    f.host.settle();
    const rounds = LIMITS.reaperBulkHoldMs / 60_000;
    f.clock.advance(60_000 * rounds);
    expect(f.host.pending).toBe(rounds);
    f.clock.advance(60_000);
    expect(f.host.pending).toBe(rounds + LIMITS.reaperDeletesPerRound);
  });

  test('the reaper still knows a stream whose replacement was refused', async () => {
    const f = await EngineFixture.open({ reaperStartGraceMs: 0 });
    await f.create('a', { expiresAtMs: f.clock.now() + 1500, expiresAtText: 'soon' });
    f.clock.advance(1600);
    const replacement = f.engine.create({ path: 'a', closed: false });
    replacement.catch(() => {});
    f.clock.advance(1000); // a round while the old stream is planned to go
    f.host.discard();
    await expect(replacement).rejects.toMatchObject({ effect: 'none' });
    f.clock.advance(2000);
    expect(f.host.pending).toBe(1);
  });

  test('what a full disk refuses to the reaper is tried again', async () => {
    const f = await EngineFixture.open({ reaperStartGraceMs: 0 });
    await f.create('a', { ttlSeconds: 1 });
    f.host.refuse = new HoldfastError('DISK_FULL', 'full');
    f.clock.advance(2000);
    f.host.refuse = undefined;
    f.clock.advance(1000);
    expect(f.host.pending).toBe(1);
    f.host.discard();
    f.clock.advance(1000);
    expect(f.host.pending).toBe(1);
    f.host.settle();
    f.clock.advance(1000);
    expect(f.host.pending).toBe(0);
  });
});

test('the tail cache keeps at most its bound of what is on disk, and reads stay right', async () => {
  const f = await EngineFixture.open({ tailCacheBytesPerStream: 2000, tailCacheBytes: 6000 });
  const paths = Array.from({ length: 20 }, (_, i) => `${i}`);
  for (const path of paths) {
    await f.create(path);
    await f.append(path, path.repeat(500));
  }
  f.host.checkpoint();
  let inMemory = 0;
  for (const path of paths) {
    const slice = f.engine.read({ path, from: 'start', maxBytes: 1e6 });
    if (!(slice instanceof Promise)) inMemory++;
    expect(await textOf(await slice)).toBe(path.repeat(500));
  }
  expect(inMemory).toBeGreaterThan(0);
  expect(inMemory).toBeLessThan(10);
});
