/** A restored copy, opened as a node would open it: with engines of its own, and nobody woken. */
import { type KeyRing, LIMITS } from '@holdfast/core';
import { openDatabase } from '@holdfast/database';
import { closeInOrder } from './close-in-order.ts';
import type { NodeComponents } from './node-components.ts';
import { NodeEngines } from './node-engines.ts';

/** What an opened copy holds. */
export interface CopyContents {
  readonly streams: number;
  /** Key-value stores that hold an entry. */
  readonly stores: number;
}

/** Opens `dir` without its backup, counts what it holds, and closes it. */
export async function openCopy(
  dir: string,
  { fileSystem, clock, random, logger }: NodeComponents,
  keys: KeyRing | undefined,
): Promise<CopyContents> {
  const engines = NodeEngines.idle({ clock, random, logger });
  const database = await openDatabase(
    { fileSystem, clock, random, logger, ...(keys === undefined ? {} : { keys }) },
    { dir, scrubIntervalMs: 0 },
    engines.all,
  );
  try {
    const names: string[] = [];
    for await (const { name } of engines.kv.stores()) names.push(name);
    const streams = engines.streams.list({ limit: LIMITS.maxStreams });
    return { streams: streams.length, stores: names.length };
  } finally {
    await closeInOrder([() => engines.close(), () => database.close()]);
  }
}
