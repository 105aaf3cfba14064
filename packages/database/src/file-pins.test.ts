import { SILENT } from '@holdfast/core';
import { describe, expect, it } from 'vitest';
import { FilePins } from './file-pins.ts';

describe('file pins', () => {
  const setUp = (): {
    pins: FilePins;
    removed: number[];
    remove: (id: number) => Promise<void>;
  } => {
    const pins = new FilePins({ logger: SILENT });
    const removed: number[] = [];
    return { pins, removed, remove: (id) => pins.drop(id, async () => void removed.push(id)) };
  };

  it('lets go at once what nobody pins', async () => {
    const { pins, removed, remove } = setUp();
    const pin = pins.pin([1]);
    await remove(2);
    expect(removed).toEqual([2]);
    await pin.release();
    expect(removed).toEqual([2]);
  });

  it('keeps what is pinned until its last pin goes', async () => {
    const { pins, removed, remove } = setUp();
    const first = pins.pin([1, 2]);
    const second = pins.pin([2, 3]);
    for (const id of [1, 2, 3]) await remove(id);
    expect(removed).toEqual([]);
    expect(pins.dropped).toBe(3);
    await first.release();
    await first.release(); // once is enough, and twice is once
    expect(removed).toEqual([1]);
    await second.release();
    expect(removed).toEqual([1, 2, 3]);
    expect(pins.dropped).toBe(0);
  });

  it('goes on when one cannot be removed', async () => {
    const { pins, removed, remove } = setUp();
    const pin = pins.pin([1, 2]);
    await pins.drop(1, () => Promise.reject(new Error('EIO')));
    await remove(2);
    await pin.release();
    expect(removed).toEqual([2]);
  });
});
