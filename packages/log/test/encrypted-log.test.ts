/** What only an encrypted log does: keys, rotation, and what is seen without a key. */
import { BlockCodec, KeyRing, type Lsn, isHoldfastError } from '@holdfast/core';
import { verifyLog } from '@holdfast/log';
import { SeededRandom } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { BLOCK, DATABASE_ID, DIRECTORY, SimLog, keyOf, texts } from './sim-log.ts';

const CANARY = 'canary in the coal mine';

function ringOf(...fills: number[]): KeyRing {
  return new KeyRing(fills.map(keyOf), new SeededRandom(4));
}

/** The same disk, opened by somebody with other keys, or none. */
function withKeys(sim: SimLog, keys: KeyRing | undefined): SimLog {
  const other = new SimLog(6);
  Object.defineProperty(other, 'keys', { value: keys });
  other.restore(sim.files());
  return other;
}

async function refusal(sim: SimLog): Promise<string> {
  const before = sim.files();
  const error: unknown = await sim.open().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(sim.files()).toEqual(before);
  if (!isHoldfastError(error)) throw new Error(`expected a refusal, got ${String(error)}`);
  return error.code;
}

test('no byte of a record is in any file, closed or killed, rolled or torn', async () => {
  const sim = new SimLog(1, true);
  const log = await sim.open();
  for (let i = 0; i < 40; i++) await sim.append(log, CANARY, `${CANARY} ${i}`.repeat(i * 5));
  expect(sim.fs.disk.paths().length).toBeGreaterThan(1);
  for (const content of sim.files().values()) expect(content.includes('canary')).toBe(false);
  sim.powerCut();
  const again = await sim.open();
  expect(texts(await sim.replay(again))).toContain(CANARY);
  await sim.run(again.close());
  for (const content of sim.files().values()) expect(content.includes('canary')).toBe(false);
});

test('a new key ends a segment, even one that nothing was written to; all keys read', async () => {
  const sim = new SimLog(1, true);
  const keys = sim.keys as KeyRing;
  const first = keys.active.id;
  const log = await sim.open();
  const sealed: number[] = [];
  log.onSealed((segment) => sealed.push(segment.firstLsn));
  await sim.append(log, 'a');
  await sim.run(log.rotateKey());
  expect(log.segments()).toMatchObject([{ keyId: first, state: 'active' }]);
  keys.replace([keyOf(2), keyOf(1)]);
  await sim.run(log.rotateKey());
  const second = keys.active.id;
  keys.replace([keyOf(3), keyOf(2), keyOf(1)]);
  await sim.run(log.rotateKey());
  await sim.append(log, 'b');
  const third = keys.active.id;
  expect(log.segments().map((segment) => segment.keyId)).toEqual([first, second, third]);
  // The one in the middle holds nothing: the archive does not hear of it.
  expect(sealed).toEqual([1]);
  expect(texts(await sim.replay(log))).toEqual(['a', 'b']);
  expect((await sim.run(log.verify())).problems).toEqual([]);
  sim.kill();
  const again = await sim.open();
  expect(texts(await sim.replay(again))).toEqual(['a', 'b']);
  expect(again.segments().map((segment) => segment.keyId)).toEqual([first, third, third]);
  // The old key is needed until truncation took its segment.
  await sim.run(again.truncateBefore(2 as Lsn));
  await sim.append(again, 'c');
  await sim.run(again.close());
  const later = withKeys(sim, ringOf(3));
  expect(texts(await later.replay(await later.open()))).toEqual(['b', 'c']);
});

test('a rotation while batches are under way loses none and reorders none', async () => {
  const sim = new SimLog(1, true);
  const keys = sim.keys as KeyRing;
  const log = await sim.open();
  const work = async (): Promise<void> => {
    const done: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      done.push(log.append({ type: 0x10, shard: 0, tenant: 0, parts: [Buffer.from(`${i}`)] }));
      if (i % 9 === 0) {
        keys.replace([keyOf(2 + i), ...keys.exportKeys()]);
        done.push(log.rotateKey());
      }
      if (i % 4 === 0) await sim.clock.yieldPoint();
    }
    await Promise.all(done);
  };
  await sim.run(work());
  expect(texts(await sim.replay(log))).toEqual(Array.from({ length: 60 }, (_, i) => `${i}`));
  sim.kill();
  const again = await sim.open();
  expect(texts(await sim.replay(again))).toHaveLength(60);
});

test('a wrong key, a missing key and no key are told apart from damage; nothing changes', async () => {
  const sim = new SimLog(1, true);
  const log = await sim.open();
  await sim.append(log, 'a');
  sim.kill();
  expect(await refusal(withKeys(sim, ringOf(9)))).toBe('KEY_MISSING');
  expect(await refusal(withKeys(sim, undefined))).toBe('KEY_REQUIRED');
  const codec = new BlockCodec(DATABASE_ID, ringOf(9));
  await expect(verifyLog({ fileSystem: sim.fs, codec }, DIRECTORY)).rejects.toMatchObject({
    code: 'KEY_MISSING',
  });
});

test('verify of a running log without one of its keys cannot tell, and says so', async () => {
  const sim = new SimLog(1, true);
  const keys = sim.keys as KeyRing;
  const log = await sim.open();
  await sim.append(log, 'a');
  keys.replace([keyOf(2)]);
  await expect(sim.run(log.verify())).rejects.toMatchObject({ code: 'KEY_MISSING' });
  await expect(sim.replay(log)).rejects.toMatchObject({ code: 'KEY_MISSING' });
  // What is written goes on under the key its segment began with.
  await sim.append(log, 'b');
  keys.replace([keyOf(2), keyOf(1)]);
  expect(texts(await sim.replay(log))).toEqual(['a', 'b']);
});

test('a plain frame in an encrypted log is damage, whoever made its checksums right', async () => {
  const sim = new SimLog(1, true);
  const log = await sim.open();
  await sim.append(log, 'a');
  await sim.append(log, 'b');
  sim.kill();
  const plain = new SimLog(1);
  const other = await plain.open();
  await plain.append(other, 'a');
  await plain.append(other, 'forged');
  plain.kill();
  for (const position of [0, BLOCK, 2 * BLOCK]) {
    const bytes = sim.fs.disk.content(sim.path(1));
    const original = Buffer.from(bytes);
    plain.fs.disk.content(plain.path(1)).copy(bytes, position, position, position + BLOCK);
    sim.fs.disk.replaceContent(sim.path(1), bytes);
    expect(await refusal(sim)).toBe('CHECKSUM_MISMATCH');
    sim.fs.disk.replaceContent(sim.path(1), original);
  }
});

test('the same payload twice is not seen to be the same', async () => {
  const sim = new SimLog(1, true);
  const log = await sim.open();
  await sim.append(log, Buffer.alloc(200, 7));
  await sim.append(log, Buffer.alloc(200, 7));
  const bytes = sim.fs.disk.content(sim.path(1));
  const one = bytes.subarray(BLOCK + 128, BLOCK + 340);
  expect(one.equals(bytes.subarray(2 * BLOCK + 128, 2 * BLOCK + 340))).toBe(false);
});

test('a write that was cut short within its last sector, and then by a kill, is torn', async () => {
  for (const missing of [1, 96, 400]) {
    const sim = new SimLog(1, true);
    const log = await sim.open();
    await sim.append(log, 'kept');
    await sim.append(log, 'x'.repeat(3 * BLOCK));
    sim.kill();
    const files = sim.files();
    const [path, content] = [...files].at(-1) as [string, Buffer];
    const cut = Buffer.from(content);
    const end = cut.findLastIndex((byte) => byte !== 0) + 1;
    cut.fill(0, end - missing, end);
    sim.restore(new Map([...files, [path, cut]]));
    const again = await sim.open();
    expect(again.recovery.tornBytes).toBeGreaterThan(0);
    expect(texts(await sim.replay(again))).toEqual(['kept']);
    await sim.run(again.close());
  }
});
