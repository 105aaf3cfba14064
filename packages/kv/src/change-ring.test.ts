import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { ChangeRing } from './change-ring.ts';
import type { KvChange } from './kv-store.ts';

function change(seq: number, bytes = 1): KvChange {
  return { seq, type: 'put', key: `k${seq}`, version: seq, value: Buffer.alloc(bytes) };
}

async function next(ring: ChangeRing, scope: string, since: number): Promise<number | undefined> {
  const { value } = await ring.watch(scope, since, new AbortController().signal).next();
  return value?.seq;
}

const trimmed = expect.objectContaining({ code: 'CHANGES_TRIMMED' });

describe('the ring of changes', () => {
  it('forgets the oldest beyond its bounds, and says so to who needs them', async () => {
    const ring = new ChangeRing({ maxChanges: 3, maxBytes: 1_000_000 });
    for (let seq = 1; seq <= 5; seq++) ring.push('a', change(seq));
    await expect(next(ring, 'a', 1)).rejects.toThrow(trimmed);
    expect(await next(ring, 'a', 2)).toBe(3);
    const wide = new ChangeRing({ maxChanges: 3_000, maxBytes: 1_000 });
    for (let seq = 1; seq <= 5; seq++) wide.push('a', change(seq, 300));
    await expect(next(wide, 'a', 2)).rejects.toThrow(trimmed);
    expect(await next(wide, 'a', 4)).toBe(5);
    wide.push('a', change(6, 9_000));
    expect(await next(wide, 'a', 5)).toBe(6);
  });

  it('loses nothing of a quiet store beside a busy one', async () => {
    const ring = new ChangeRing({ maxChanges: 4, maxBytes: 1_000_000 });
    ring.push('quiet', change(1));
    for (let seq = 2; seq <= 5_000; seq++) ring.push('busy', change(seq));
    await expect(next(ring, 'quiet', 0)).rejects.toThrow(trimmed);
    const waiting = next(ring, 'quiet', 1);
    ring.push('quiet', change(5_001));
    ring.wake();
    expect(await waiting).toBe(5_001);
  });

  it('holds nothing of what it forgot', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const ring = new ChangeRing({ maxChanges: 2, maxBytes: 1_000_000 });
    const values: WeakRef<Uint8Array>[] = [];
    for (let seq = 1; seq <= 50; seq++) {
      const pushed = change(seq, 10_000);
      values.push(new WeakRef(pushed.value as Uint8Array));
      ring.push('a', pushed);
    }
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    const held = values.filter((value) => value.deref() !== undefined);
    expect(held.length).toBeLessThanOrEqual(3); // the last one may still be on the stack
    expect(await next(ring, 'a', 49)).toBe(50);
  });

  it('lets a watcher that waits pass by the changes of other stores, however many', async () => {
    const ring = new ChangeRing({ maxChanges: 3, maxBytes: 1_000_000 });
    const waiting = next(ring, 'quiet', 0);
    for (let seq = 1; seq <= 20; seq++) {
      ring.push(`store-${seq}`, change(seq));
      ring.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    ring.push('quiet', change(21));
    ring.wake();
    expect(await waiting).toBe(21);
  });

  it('bounds what it knows of stores that changed once', async () => {
    const ring = new ChangeRing({ maxChanges: 3, maxBytes: 1_000_000 });
    for (let seq = 1; seq <= 10; seq++) ring.push(`store-${seq}`, change(seq));
    // 1 to 7 are forgotten; 1 to 4 share a floor.
    await expect(next(ring, 'store-1', 3)).rejects.toThrow(trimmed);
    await expect(next(ring, 'store-6', 5)).rejects.toThrow(trimmed);
    const waiting = next(ring, 'store-1', 4);
    ring.push('store-1', change(11));
    ring.wake();
    expect(await waiting).toBe(11);
  });

  it('tells a watcher that fell behind, and takes no change twice', async () => {
    const ring = new ChangeRing({ maxChanges: 2, maxBytes: 1_000_000 });
    const slow = ring.watch('a', undefined, new AbortController().signal);
    ring.push('a', change(1));
    ring.push('a', change(1));
    expect((await slow.next()).value?.seq).toBe(1);
    for (let seq = 2; seq <= 9; seq++) ring.push('a', change(seq));
    await expect(slow.next()).rejects.toThrow(trimmed);
  });

  it('that began behind older changes does not know them', async () => {
    const ring = new ChangeRing();
    ring.begin(10);
    expect(ring.last).toBe(10);
    await expect(next(ring, 'a', 9)).rejects.toThrow(trimmed);
    ring.push('a', change(11));
    expect(await next(ring, 'a', 10)).toBe(11);
  });
});
