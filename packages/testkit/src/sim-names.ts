/**
 * The names of a simulated disk: a live tree and a durable one over the same files, and the
 * changes of names that no `syncDirectory` has covered yet.
 *
 * Invariants
 * 1. live = durable with `#unsynced` applied in order.
 * 2. A rename is one change: after a power cut it happened or it did not. Otherwise any subset
 *    of the unsynced changes survives in which no change of a name lacks an earlier one of the
 *    same name.
 * 3. A sync of a folder covers the changes asked for before it that touch the folder, and
 *    those they rest on.
 */
import { systemError } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';
import { SimFile } from './sim-file.ts';

export class SimDirectory {
  readonly id: number;
  live: Map<string, SimNode> = new Map();
  durable: Map<string, SimNode> = new Map();

  /** @param id unique on its disk. */
  constructor(id: number) {
    this.id = id;
  }
}

export type SimNode = SimFile | SimDirectory;

interface Entry {
  readonly directory: SimDirectory;
  readonly name: string;
  /** `undefined`: the name goes away. */
  readonly node: SimNode | undefined;
}

interface NameChange {
  readonly order: number;
  readonly entries: readonly Entry[];
}

export interface Place {
  readonly parent: SimDirectory;
  readonly name: string;
}

export class SimNames {
  #nextId = 1;
  #root = new SimDirectory(0);
  #unsynced: NameChange[] = [];

  find(path: string): SimNode | undefined {
    let at: SimNode | undefined = this.#root;
    for (const name of splitPath(path)) {
      if (!(at instanceof SimDirectory)) return undefined;
      at = at.live.get(name);
    }
    return at;
  }

  directory(path: string, operation: string): SimDirectory {
    const found = this.find(path);
    if (found === undefined) throw systemError('ENOENT', operation, path);
    if (!(found instanceof SimDirectory)) throw systemError('ENOTDIR', operation, path);
    return found;
  }

  /** Where `path` is, or would be; its folder exists. */
  place(path: string, operation: string): Place {
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) throw systemError('EISDIR', operation, path);
    return { parent: this.directory(names.join('/'), operation), name };
  }

  /** Makes the folder and its parents, durably, as `makeDirectory` promises. */
  makeDirectory(path: string): void {
    let at = this.#root;
    for (const name of splitPath(path)) {
      let next = at.live.get(name);
      if (next === undefined) {
        next = new SimDirectory(this.#nextId++);
        at.live.set(name, next);
      }
      if (!(next instanceof SimDirectory)) throw systemError('EEXIST', 'mkdir', path);
      if (at.durable.get(name) !== next) this.sync(at, Infinity);
      at.durable.set(name, next);
      at = next;
    }
  }

  /** One change of one or two names (I2), in the live tree. */
  change(order: number, entries: readonly Entry[]): void {
    for (const entry of entries) apply(entry, entry.directory.live);
    this.#unsynced.push({ order, entries });
  }

  /** I3. */
  sync(directory: SimDirectory, order: number): void {
    const needed = new Set<string>();
    const kept: NameChange[] = [];
    const applied: NameChange[] = [];
    for (let i = this.#unsynced.length - 1; i >= 0; i--) {
      const change = this.#unsynced[i] as NameChange;
      const wanted =
        change.order <= order &&
        change.entries.some((entry) => entry.directory === directory || needed.has(key(entry)));
      if (!wanted) {
        kept.push(change);
        continue;
      }
      for (const entry of change.entries) needed.add(key(entry));
      applied.push(change);
    }
    for (const change of applied.reverse()) applyDurably(change);
    this.#unsynced = kept.reverse();
  }

  /** I2. */
  powerCut(random: SeededRandom): void {
    const keep = random.pick(KEEP_CHANCES);
    const stopped = new Set<string>();
    const touched = new Set<SimDirectory>();
    for (const change of this.#unsynced) {
      const blocked = change.entries.some((entry) => stopped.has(key(entry)));
      const survives = !blocked && (keep === 1 || random.chance(keep));
      if (survives) applyDurably(change);
      for (const entry of change.entries) {
        touched.add(entry.directory);
        if (!survives) stopped.add(key(entry));
      }
    }
    for (const directory of touched) directory.live = new Map(directory.durable);
    this.#unsynced = [];
  }

  /** Every file of the live tree with its path, folders in order of their making. */
  *files(): Generator<readonly [path: string, file: SimFile]> {
    const open: (readonly [string, SimDirectory])[] = [['', this.#root]];
    for (const [path, directory] of open) {
      for (const [name, node] of directory.live) {
        if (node instanceof SimFile) yield [`${path}/${name}`, node];
        else open.push([`${path}/${name}`, node]);
      }
    }
  }

  /** Rot: the name is gone from both trees, or leads elsewhere, as if it had always been so. */
  replace(path: string, node: SimNode | undefined): void {
    const { parent, name } = this.place(path, 'replace');
    apply({ directory: parent, name, node }, parent.live);
    apply({ directory: parent, name, node }, parent.durable);
    this.#unsynced = this.#unsynced.filter(
      ({ entries }) => !entries.some((entry) => entry.directory === parent && entry.name === name),
    );
  }

  /** @param copyFile gives the copy of a file, the same one each time it is asked. */
  clone(copyFile: (file: SimFile) => SimFile): SimNames {
    const copies = new Map<SimDirectory, SimDirectory>();
    const copyNode = (node: SimNode): SimNode => {
      if (node instanceof SimFile) return copyFile(node);
      const known = copies.get(node);
      if (known !== undefined) return known;
      const copy = new SimDirectory(node.id);
      copies.set(node, copy);
      for (const [name, child] of node.live) copy.live.set(name, copyNode(child));
      for (const [name, child] of node.durable) copy.durable.set(name, copyNode(child));
      return copy;
    };
    const names = new SimNames();
    names.#nextId = this.#nextId;
    names.#root = copyNode(this.#root) as SimDirectory;
    names.#unsynced = this.#unsynced.map(({ order, entries }) => ({
      order,
      entries: entries.map(({ directory, name, node }) => ({
        directory: copyNode(directory) as SimDirectory,
        name,
        node: node && copyNode(node),
      })),
    }));
    return names;
  }
}

const KEEP_CHANCES: readonly number[] = [0, 1, 0.5, 0.5];

function key(entry: Entry): string {
  return `${entry.directory.id}/${entry.name}`;
}

function applyDurably(change: NameChange): void {
  for (const entry of change.entries) apply(entry, entry.directory.durable);
}

function apply({ name, node }: Entry, names: Map<string, SimNode>): void {
  if (node === undefined) names.delete(name);
  else names.set(name, node);
}

function splitPath(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw systemError('EINVAL', 'resolve', path);
  return names;
}
