import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { LIMITS } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { ResponseMemory } from './response-memory.ts';

const KIB = 1024;

/** A response whose client takes bytes when told to. */
class FakeResponse extends EventEmitter {
  written = 0;
  taken = 0;
  destroyed = false;
  closed = false;
  /** Like a socket, as far as progress goes. */
  get socket(): { bytesWritten: number; writableLength: number } {
    return { bytesWritten: this.written, writableLength: this.writableLength };
  }

  get writableLength(): number {
    return this.written - this.taken;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.closed = true;
    this.emit('close');
  }
}

function setUp(max: number) {
  const clock = new SimClock(new SeededRandom(1));
  const memory = new ResponseMemory(clock, max);
  const open = () => {
    const fake = new FakeResponse();
    const held = memory.open(fake as unknown as ServerResponse);
    const write = (bytes: Buffer): void => {
      fake.written += bytes.length;
      held.add([bytes]);
    };
    return { fake, held, write };
  };
  return { clock, memory, open };
}

describe('bytes that wait for their clients', () => {
  it('count once, however many readers wait for them, and are given back with the last', () => {
    const { memory, open } = setUp(1024 * KIB);
    const frame = Buffer.alloc(64 * KIB);
    const readers = Array.from({ length: 100 }, open);
    for (const reader of readers) reader.write(frame);
    expect(memory.held).toBe(frame.length);
    for (const reader of readers.slice(1)) reader.fake.destroy();
    expect(memory.held).toBe(frame.length);
    readers[0]?.fake.destroy();
    expect(memory.held).toBe(0);
    expect(memory.dropped).toBe(0);
  });

  it('are given back as the client takes them', () => {
    const { memory, open } = setUp(1024 * KIB);
    const { fake, held, write } = open();
    for (let i = 0; i < 4; i++) write(Buffer.alloc(16 * KIB));
    fake.taken = 20 * KIB;
    held.settle();
    expect(memory.held).toBe(48 * KIB); // the second is not whole yet
    fake.taken = 64 * KIB;
    held.settle();
    expect(memory.held).toBe(0);
  });

  it('stay within the limit: who stands still longest is dropped, who reads is not', async () => {
    const { clock, memory, open } = setUp(1024 * KIB);
    const still = Array.from({ length: 3 }, open);
    const reading = open();
    for (let round = 0; round < 100; round++) {
      const frame = Buffer.alloc(64 * KIB);
      for (const { fake, write } of still) if (!fake.destroyed) write(frame);
      reading.write(frame);
      reading.fake.taken = reading.fake.written - 32 * KIB;
      expect(memory.held).toBeLessThanOrEqual(1024 * KIB);
      await clock.advance(100);
    }
    expect(still.map(({ fake }) => fake.destroyed)).toEqual([true, true, true]);
    expect(reading.fake.destroyed).toBe(false);
    expect(memory.dropped).toBe(3);
  });

  it('of one reader alone may pass the limit: a large message reaches somebody', () => {
    const { memory, open } = setUp(KIB);
    const first = open();
    first.write(Buffer.alloc(2 * KIB));
    expect(first.fake.destroyed).toBe(false);
    open().write(Buffer.alloc(2 * KIB));
    expect(first.fake.destroyed || memory.dropped === 1).toBe(true);
    expect(memory.held).toBe(2 * KIB);
  });

  it('that are written to a reader behind its end are not held', () => {
    const { memory, open } = setUp(1024 * KIB);
    const { fake, write } = open();
    fake.destroy();
    write(Buffer.alloc(2 * KIB));
    expect(memory.held).toBe(0);
  });
});

describe('room for what is read from disk', () => {
  it('is there at once, then in order as others end', async () => {
    const { memory, open } = setUp(100);
    const [a, b, c, d] = [open(), open(), open(), open()];
    expect(memory.room(a.held, 60)).toBeUndefined();
    expect(memory.room(b.held, 40)).toBeUndefined();
    const order: string[] = [];
    const third = memory.room(c.held, 50)?.then(() => order.push('c'));
    const fourth = memory.room(d.held, 10)?.then(() => order.push('d'));
    b.fake.destroy();
    await Promise.resolve();
    expect(order).toEqual([]);
    a.fake.destroy();
    await Promise.all([third, fourth]);
    expect(order).toEqual(['c', 'd']);
    expect(memory.held).toBe(60);
  });

  it('is taken from a response that stands still, not from one that moves', async () => {
    const { clock, memory, open } = setUp(100);
    const [still, moving, next] = [open(), open(), open()];
    void memory.room(still.held, 50);
    void memory.room(moving.held, 50);
    const waiting = memory.room(next.held, 50);
    for (let ms = 0; ms <= LIMITS.responseStallMs; ms += 500) {
      moving.fake.written += 10;
      moving.fake.taken += 10;
      await clock.advance(500);
    }
    await clock.advance(1_000);
    await waiting;
    expect([still.fake.destroyed, moving.fake.destroyed]).toEqual([true, false]);
  });

  it('is not taken from a response without a socket that moves', async () => {
    const { clock, memory, open } = setUp(100);
    const moving = Object.assign(new FakeResponse(), { bytesTaken: 0 });
    Object.defineProperty(moving, 'socket', { value: null });
    const next = open();
    void memory.room(memory.open(moving as unknown as ServerResponse), 100);
    const refused = memory.room(next.held, 50)?.catch((error: { code: string }) => error.code);
    for (let ms = 0; ms <= LIMITS.responseWaitMs + 1_000; ms += 500) {
      moving.bytesTaken += 10;
      await clock.advance(500);
    }
    expect(await refused).toBe('RESPONSE_MEMORY_FULL');
    expect(moving.destroyed).toBe(false);
  });

  it('that does not come is RESPONSE_MEMORY_FULL', async () => {
    const { clock, memory, open } = setUp(100);
    const [moving, next] = [open(), open()];
    void memory.room(moving.held, 100);
    const refused = memory.room(next.held, 50)?.catch((error: { code: string }) => error.code);
    for (let ms = 0; ms <= LIMITS.responseWaitMs + 1_000; ms += 500) {
      moving.fake.written += 10;
      moving.fake.taken += 10;
      await clock.advance(500);
    }
    expect(await refused).toBe('RESPONSE_MEMORY_FULL');
    expect(moving.fake.destroyed).toBe(false);
  });

  it('is not taken by who went away before asking', async () => {
    const { memory } = setUp(10);
    const fake = new FakeResponse();
    fake.destroy();
    const held = memory.open(fake as unknown as ServerResponse);
    const refused = memory.room(held, 5)?.catch((error: { code: string }) => error.code);
    expect(await refused).toBe('ABORTED');
    expect(memory.held).toBe(0);
  });

  it('is waited for by nobody who went away, and one alone always has it', async () => {
    const { memory, open } = setUp(10);
    const [large, gone] = [open(), open()];
    expect(memory.room(large.held, 500)).toBeUndefined();
    const waiting = memory.room(gone.held, 500)?.catch((error: { code: string }) => error.code);
    gone.fake.destroy();
    expect(await waiting).toBe('ABORTED');
    large.fake.destroy();
    expect(memory.held).toBe(0);
  });
});
