/** Reads of what is on disk: pieces share memory, readers do not share bytes. */
import { MemoryFileSystem, NodeClock, NodeRandom, SILENT } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import { SeededRandom } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import { createStreamEngine } from '../src/stream-engine.ts';

const MIB = 1024 * 1024;
const STREAMS = 3;
const READERS = 12;

/** Bytes that tell where they belong. */
function contentOf(stream: number): Buffer {
  const bytes = Buffer.alloc(3 * MIB);
  for (let at = 0; at < bytes.length; at += 8) {
    bytes.writeUInt32LE(at, at);
    bytes.writeUInt32LE(stream, at + 4);
  }
  return bytes;
}

test('readers at their own pace each get the right bytes from shared buffers', async () => {
  const components = { clock: new NodeClock(), random: new NodeRandom(), logger: SILENT };
  const engine = createStreamEngine(components, { tailCacheBytesPerStream: 0, tailCacheBytes: 0 });
  const database = await openDatabase(
    { ...components, fileSystem: new MemoryFileSystem() },
    { dir: '/data', diskReserveBytes: 0, blockCacheBytes: 0 },
    [engine],
  );
  for (let stream = 0; stream < STREAMS; stream++) {
    await engine.create({ path: `s${stream}`, closed: false });
    const content = contentOf(stream);
    for (let at = 0; at < content.length; at += 100_000) {
      const bytes = content.subarray(at, at + 100_000);
      const messages = { bytes, lengths: [bytes.length] };
      await engine.append({ path: `s${stream}`, close: false, messages: () => messages });
    }
  }
  await database.checkpoint();

  const random = new SeededRandom(7);
  const reader = async (stream: number): Promise<void> => {
    const slice = await engine.read({ path: `s${stream}`, from: 'start', maxBytes: 1e9 });
    expect(slice.bytes).toBeUndefined();
    const parts: Buffer[] = [];
    for await (const views of slice.pieces()) {
      for (let turns = random.integer(4); turns > 0; turns--) await turn(); // others read meanwhile
      parts.push(...views.map((view) => Buffer.from(view)));
    }
    expect(Buffer.concat(parts).equals(contentOf(stream))).toBe(true);
  };
  await Promise.all(Array.from({ length: READERS }, (_, i) => reader(i % STREAMS)));
  engine.close();
  await database.close();
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
