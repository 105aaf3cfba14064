import { LIMITS } from '@holdfast/core';
import type { KvChange } from '@holdfast/kv';
import { expect, it } from 'vitest';
import { ChangeFrames } from './change-frames.ts';

const scope = { store: 'main', form: 'base64' } as const;

function change(seq: number, bytes: number, looks: { count: number } = { count: 0 }): KvChange {
  return {
    ...{ seq, type: 'put', key: `k${seq}`, version: seq },
    get value() {
      looks.count++;
      return Buffer.alloc(bytes, seq);
    },
  };
}

it('the newest change is encoded once however large it is and however many watch', () => {
  const frames = new ChangeFrames();
  const looks = { count: 0 };
  const large = 2 * LIMITS.sharedChangeFrameBytes;
  const first = frames.frameOf(change(1, large, looks), scope);
  expect(first.length).toBeGreaterThan(large);
  expect(frames.frameOf(change(1, large, looks), scope)).toBe(first);
  expect(looks.count).toBe(1);
});

it('of large frames only the newest is kept, of small ones many', () => {
  const frames = new ChangeFrames();
  const looks = { count: 0 };
  const large = LIMITS.sharedChangeFrameBytes;
  for (const bytes of [large, 10, 10]) frames.frameOf(change(bytes, bytes, looks), scope);
  expect(looks.count).toBe(2);
  for (let seq = 1; seq <= 5; seq++) frames.frameOf(change(seq, 10, looks), scope);
  for (let seq = 1; seq <= 5; seq++) frames.frameOf(change(seq, 10, looks), scope);
  expect(looks.count).toBe(7);
  frames.frameOf(change(large, large, looks), scope);
  expect(looks.count).toBe(8); // the large one had gone
});

it('a value that is not shown is not looked at', () => {
  const looks = { count: 0 };
  const frame = new ChangeFrames().frameOf(change(1, 10, looks), { store: 'main', form: 'none' });
  expect(String(frame)).toContain('"key":"k1"');
  expect(looks.count).toBe(0);
});
