/** Several data directories, each on a disk of its own, in one world with one object store. */
import { type ObjectStore, MemoryObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import type { BackupSettings } from '../src/backup/database-backup.ts';
import {
  type ArchivedHistory,
  archivedHistory,
  openArchived,
  type OpenedDatabase,
  repositoryOf,
  write,
} from './archive-fixtures.ts';
import type { RowEngine } from './row-engine.ts';

export const clock: SimClock = new SimClock(new SeededRandom(1));
export const random: SeededRandom = new SeededRandom(2);

/** One data directory, on a disk of its own. */
export class Node {
  fileSystem = new SimFs();
  warnings: string[] = [];

  open(objects: ObjectStore | undefined, backup: BackupSettings = {}): Promise<OpenedDatabase> {
    const warn = (event: string): void => void this.warnings.push(event);
    const logger = { debug() {}, info() {}, warn, error() {} };
    const store = objects === undefined ? {} : { objects };
    return openArchived({ fileSystem: this.fileSystem, clock, random, logger, ...store }, backup);
  }

  /** A copy of the directory as it is, on another machine. */
  clone(): Node {
    const copy = new Node();
    copy.fileSystem = new SimFs({ disk: this.fileSystem.disk.clone() });
    return copy;
  }

  /** The process ends at once; what it wrote stays. */
  kill(): void {
    this.fileSystem = this.fileSystem.kill();
  }

  async history(objects: ObjectStore, asOf?: number): Promise<ArchivedHistory> {
    return archivedHistory(await repositoryOf(this.fileSystem, objects), asOf);
  }
}

export function newStore(): MemoryObjectStore {
  return new MemoryObjectStore({ clock });
}

export async function copyOf(store: ObjectStore): Promise<MemoryObjectStore> {
  const copy = newStore();
  for (const { key } of (await store.list()).objects) {
    const pieces: Buffer[] = [];
    for await (const piece of (await store.get(key)).body) pieces.push(piece);
    await copy.put(key, Buffer.concat(pieces));
  }
  return copy;
}

export async function writeSome(engine: RowEngine, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) await write(engine, i);
}

/** A node that archived ten records, and is still open. */
export async function running(store: ObjectStore): Promise<OpenedDatabase & { node: Node }> {
  const node = new Node();
  const opened = await node.open(store);
  await writeSome(opened.engine, 0, 10);
  await opened.database.archive?.flush();
  return { ...opened, node };
}

export function inWorld(work: () => Promise<void>): () => Promise<void> {
  return () => clock.run(work());
}

export async function refusal(work: Promise<unknown>): Promise<{ code: string; effect: string }> {
  try {
    await work;
  } catch (error) {
    return error as { code: string; effect: string };
  }
  throw new Error('it was accepted');
}

export function rangesOf({ lineage }: ArchivedHistory): (number | undefined)[][] {
  return lineage.ranges.map(({ epoch, from, to }) => [epoch, from, to]);
}
