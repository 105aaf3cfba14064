/** Whether a restored directory is the one the model knows: what is read, and what is refused. */
import {
  type FileSystem,
  isHoldfastError,
  type KeyRing,
  type Lsn,
  MemoryFileSystem,
  NodeClock,
  NodeRandom,
  SILENT,
} from '@holdfast/core';
import { openDatabase, restoreDatabase, type RestoreReport } from '@holdfast/database';
import type { ObjectStore } from '@holdfast/objects';
import { createStreamEngine, type StreamEngine } from '../src/stream-engine.ts';
import { textOf } from './engine-fixture.ts';
import { type ModelState, type ModelStream, tailOf } from './stream-model.ts';

const components = { clock: new NodeClock(), random: new NodeRandom(), logger: SILENT };

export interface RestoreSource {
  readonly store: ObjectStore;
  readonly keys: KeyRing | undefined;
}

/** Restores to `lsn` and compares everything; rejects with what differs. */
export async function expectRestored(
  { store, keys }: RestoreSource,
  lsn: number,
  state: ModelState,
  place: { readonly fileSystem: FileSystem; readonly into: string } = {
    fileSystem: new MemoryFileSystem(),
    into: '/restored',
  },
): Promise<RestoreReport> {
  const { fileSystem, into } = place;
  const keyed = keys === undefined ? {} : { keys };
  const report = await restoreDatabase(
    { ...components, fileSystem, objects: store, ...keyed },
    { into, target: { lsn: lsn as Lsn }, verify: lsn % 16 === 0 ? 'full' : 'quick' },
  );
  const engine = createStreamEngine(components);
  const settings = { dir: into, diskReserveBytes: 0, scrubIntervalMs: 0 };
  const database = await openDatabase({ ...components, fileSystem, ...keyed }, settings, [engine]);
  try {
    if (database.appliedLsn !== lsn) throw new Error(`restored lsn=${database.appliedLsn}`);
    const [found, shown] = [await foundIn(engine), shownOf(state)];
    if (found !== shown) throw new Error(`restored=${found} model=${shown}`);
    for (const stream of state.streams.values()) await expectWriters(engine, stream);
    if (database.appliedLsn !== lsn) throw new Error('a retry was taken for new');
  } catch (cause) {
    throw new Error(`restore to lsn=${lsn}: ${String(cause)}`, { cause });
  } finally {
    engine.close();
    await database.close();
  }
  return report;
}

/** Every stream with its bytes. */
export async function foundIn(engine: StreamEngine): Promise<string> {
  const streams: unknown[] = [];
  for (const { path, json, closed, forks, tail } of engine.list({ limit: 100 })) {
    const text = await textOf(await engine.read({ path, from: 'start', maxBytes: 1e9 }));
    streams.push([path, json, closed, forks, tail.messages, tail.bytes, text]);
  }
  return JSON.stringify(streams);
}

/** The same of the model. */
export function shownOf(state: ModelState): string {
  const all = [...state.streams.values()];
  const shown = all
    .filter((stream) => stream.state === 'active')
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map((stream) => {
      const forks = all.filter(({ source }) => source === stream.key).length;
      const tail = tailOf(stream);
      const text = stream.messages.map((message) => message.text).join('');
      const { path, json, closed } = stream;
      return [path, json, closed, forks, tail.messages, tail.bytes, text];
    });
  return JSON.stringify(shown);
}

/** What the stream remembers of who wrote it shows in what it takes for a duplicate, or refuses. */
async function expectWriters(engine: StreamEngine, stream: ModelStream): Promise<void> {
  if (stream.state !== 'active') return;
  const { path, json, closed, streamSeq } = stream;
  const text = json ? '1,' : '1';
  const append = {
    path,
    close: false,
    contentType: json ? 'application/json' : 'text/plain',
    messages: () => ({ bytes: Buffer.from(text), lengths: [text.length] }),
  };
  for (const [key, { epoch, seq }] of Object.entries(stream.producers)) {
    const id = key.slice(1);
    const retry = await engine.append({ ...append, producer: { id, epoch, seq } });
    if (retry.outcome !== 'duplicate' || retry.tail.messages !== tailOf(stream).messages) {
      throw new Error(`retry of ${id} is ${retry.outcome} path=${path}`);
    }
    if (closed) continue;
    const ahead = engine.append({ ...append, producer: { id, epoch, seq: seq + 2 } });
    await expectRefusal(ahead, 'PRODUCER_SEQ_GAP', path);
    if (epoch === 0) continue;
    const fenced = engine.append({ ...append, producer: { id, epoch: epoch - 1, seq: 0 } });
    await expectRefusal(fenced, 'PRODUCER_FENCED', path);
  }
  if (streamSeq !== undefined && !closed) {
    await expectRefusal(engine.append({ ...append, streamSeq }), 'STREAM_SEQ_CONFLICT', path);
  }
}

async function expectRefusal(sent: Promise<unknown>, code: string, path: string): Promise<void> {
  const error: unknown = await sent.then(
    () => undefined,
    (refusal: unknown) => refusal,
  );
  if (isHoldfastError(error) && error.code === code) return;
  throw new Error(`not refused with ${code} but ${String(error)} path=${path}`);
}
