import { SeededRandom } from '@holdfast/testkit';
import { afterEach, describe, expect, test } from 'vitest';
import { lies } from './lies.ts';
import type { RecordPeer } from './record-peer.ts';
import { RecordWorld, type WorldRecord } from './record-world.ts';

let world: RecordWorld;
afterEach(() => world.close());

const WAYS = lies(new SeededRandom(3));
/** What an asker can see of the contract being broken. */
const PROVABLE = new Set(['forged', 'foreign', 'farPeers', 'huge', 'loser']);

interface Scene {
  readonly record: WorldRecord;
  readonly writer: RecordPeer;
  readonly reader: RecordPeer;
  readonly liars: readonly RecordPeer[];
}

/** Two of the five nearest lie, from when the record was written once. */
async function scene(way: string): Promise<Scene> {
  world = await RecordWorld.open({ seed: 5, peers: 20 });
  const record = world.makeRecord();
  const nearest = world.nearest(record.key.id);
  const [writer, reader] = nearest.slice(-2) as [RecordPeer, RecordPeer];
  const liars = [nearest[0], nearest[2]] as RecordPeer[];
  await world.openAt(record, writer, reader);
  for (const liar of liars) liar.behave(WAYS[way] as never);
  return { record, writer, reader, liars };
}

function write(peer: RecordPeer, { key, owner }: WorldRecord, subkey: number, text: string) {
  return world.run(peer.engine.set(key, subkey, Buffer.from(text), { writer: owner }));
}

describe.each(Object.keys(WAYS))('two of the five nearest that lie: %s', (way) => {
  test('hide nothing, make nothing up, bring nothing back', async () => {
    const { record, writer, reader } = await scene(way);
    for (const text of ['one', 'two', 'three']) {
      await write(writer, record, 1, `beside ${text}`);
      const done = await write(writer, record, 0, text);
      expect(done.status).toBe('committed');
      const read = await world.run(reader.engine.get(record.key, 0, { forceRefresh: true }));
      if (read.status !== 'value') throw new Error(read.status);
      expect(Buffer.from(read.data).toString()).toBe(text);
      await world.run(reader.engine.idle());
    }
    const report = await world.run(reader.engine.inspect(record.key, { scope: 'get' }));
    expect(report).toMatchObject({ agreed: true });
    expect(report.states.map(({ network }) => network)).toEqual([2, 2]);
  });

  test('are known for it, where an asker can see it', async () => {
    const { record, writer, reader, liars } = await scene(way);
    await write(writer, record, 1, 'a');
    await write(writer, record, 0, 'b');
    await write(writer, record, 0, 'c');
    await world.run(reader.engine.get(record.key, 0, { forceRefresh: true }));
    const isKnown = [writer, reader].some(
      ({ table }) => !table.isProved((liars[0] as RecordPeer).id),
    );
    expect(isKnown).toBe(PROVABLE.has(way));
  });
});
