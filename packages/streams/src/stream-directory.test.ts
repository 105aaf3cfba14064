import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ShardId } from '@holdfast/core';
import { expect, test } from 'vitest';
import { Stream } from './stream.ts';
import { StreamDirectory } from './stream-directory.ts';

function streamOf(id: number): Stream {
  const origin = { contentType: 'text/plain', shard: 0 as ShardId, createdAtMs: 0 };
  return new Stream({ ...origin, id, path: `p${id}` }, undefined);
}

test('streams that come and go are forgotten, also when nobody ever asks for a list', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const directory = new StreamDirectory();
  const removed: WeakRef<Stream>[] = [];
  for (let id = 1; id <= 2000; id++) {
    const stream = streamOf(id);
    directory.add(stream);
    if (id % 10 === 0) continue;
    directory.remove(stream);
    removed.push(new WeakRef(stream));
  }
  await new Promise((resolve) => setTimeout(resolve, 1)); // a WeakRef holds until the turn ends
  collectGarbage();
  const held = removed.filter((reference) => reference.deref() !== undefined).length;
  expect(held).toBeLessThan(600);
  const listed = directory.list({ limit: 1000 }, () => true).map(({ path }) => path);
  expect(listed).toHaveLength(200);
  expect(listed).toEqual([...listed].sort());
});
