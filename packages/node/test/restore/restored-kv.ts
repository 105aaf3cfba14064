/** Whether a restored directory holds, at its LSN, what the history says: stores and their stream. */
import {
  type FileSystem,
  type Lsn,
  MemoryFileSystem,
  NodeClock,
  NodeRandom,
  SILENT,
} from '@holdfast/core';
import { openDatabase, restoreDatabase } from '@holdfast/database';
import type { KvStore } from '@holdfast/kv';
import { NodeEngines } from '../../src/node-engines.ts';
import { contentOf, type HistoryState, NOTHING, withEntry } from './history-state.ts';
import { type KvHistory, messagesIn, STORES } from './kv-history.ts';

/** Before anything expires: what was past its expiry and not removed yet is shown too. */
class EarlyClock extends NodeClock {
  override now(): number {
    return 1;
  }
}

const components = { clock: new EarlyClock(), random: new NodeRandom(), logger: SILENT };

/** Restores to `lsn` and compares everything; rejects with what differs. */
export async function expectRestored(
  history: KvHistory,
  lsn: number,
  fileSystem: FileSystem = new MemoryFileSystem(),
): Promise<void> {
  const { store, keys, states } = history;
  const state = states.get(lsn);
  if (state === undefined) throw new Error(`the model does not know lsn=${lsn}`);
  const keyed = keys === undefined ? {} : { keys };
  const verify = lsn % 16 === 0 ? 'full' : 'quick';
  await restoreDatabase(
    { ...components, fileSystem, objects: store, ...keyed },
    { into: '/restored', target: { lsn: lsn as Lsn }, verify },
  );
  const engines = NodeEngines.idle(components);
  const settings = { dir: '/restored', diskReserveBytes: 0, scrubIntervalMs: 0 };
  const opened = { ...components, fileSystem, ...keyed };
  const database = await openDatabase(opened, settings, engines.all);
  try {
    if (database.appliedLsn !== lsn) throw new Error(`restored lsn=${database.appliedLsn}`);
    const found = await foundIn(engines, history);
    if (contentOf(found) !== contentOf(state)) {
      throw new Error(`restored=${contentOf(found)} model=${contentOf(state)}`);
    }
    await expectNames(engines, state);
    await expectGoesOn(engines, state);
  } catch (cause) {
    throw new Error(`restore to lsn=${lsn}: ${String(cause)}`, { cause });
  } finally {
    await engines.close();
    await database.close();
  }
}

async function foundIn(engines: NodeEngines, { facts }: KvHistory): Promise<HistoryState> {
  let state: HistoryState = NOTHING;
  for (const name of STORES) {
    const store = engines.kv.store(name);
    const seqs: number[] = [];
    for await (const { key, value, version, seq, expiresAtMs } of store.entries()) {
      const known = facts.get(version);
      if (known !== undefined && (known.seq !== seq || known.expiresAtMs !== expiresAtMs)) {
        throw new Error(`${name} ${key} is ${seq} ${expiresAtMs}, was ${JSON.stringify(known)}`);
      }
      state = withEntry(state, name, key, { text: Buffer.from(value).toString(), version });
      seqs.push(seq);
    }
    const { entries } = await store.page({ order: 'created', limit: 1_000 });
    const created = entries.map(({ seq }) => seq).join();
    if (created !== seqs.toSorted((a, b) => b - a).join()) {
      throw new Error(`the order of creation of ${name} is ${created}`);
    }
  }
  return { ...state, messages: await messagesIn(engines) };
}

async function expectNames({ kv }: NodeEngines, { stores }: HistoryState): Promise<void> {
  const names: string[] = [];
  for await (const { name } of kv.stores()) names.push(name);
  if (names.toSorted().join() === [...stores.keys()].toSorted().join()) return;
  throw new Error(`there are stores ${names.join()}`);
}

/** Conditions meet the restored versions, and new ones are above everything. */
async function expectGoesOn({ kv }: NodeEngines, { stores }: HistoryState): Promise<void> {
  const all = [...stores.values()].flatMap((entries) => [...entries.values()]);
  const highest = Math.max(0, ...all.map(({ version }) => version));
  for (const [name, entries] of stores) {
    const store: KvStore = kv.store(name);
    const [first] = entries;
    if (first === undefined) continue;
    const [key, { version }] = first;
    const stale = await store.put(key, Buffer.of(1), { ifVersion: version - 1 }).then(
      () => true,
      () => false,
    );
    const ack = await store.put(key, Buffer.of(1), { ifVersion: version });
    if (stale || ack.version <= highest) throw new Error(`${name} goes on at ${ack.version}`);
  }
}
