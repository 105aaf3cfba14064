/** Nodes with tiers, and what tests ask of them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KvStore } from '@holdfast/kv';
import { type HoldfastNode, openNode, type StoreTiersInput } from '@holdfast/node';

export class TieredFolder {
  readonly path: string;
  readonly #nodes = new Set<HoldfastNode>();

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<TieredFolder> {
    return new TieredFolder(await mkdtemp(join(tmpdir(), 'holdfast-tiers-')));
  }

  folder(name: string): string {
    return join(this.path, name);
  }

  /** @param dir another one is another machine. */
  async open(
    tiers: Readonly<Record<string, StoreTiersInput>>,
    dir = 'data',
    more: object = {},
  ): Promise<HoldfastNode> {
    const node = await openNode({ dir: this.folder(dir), tiers, scrubIntervalMs: 0, ...more });
    this.#nodes.add(node);
    return node;
  }

  async close(node: HoldfastNode): Promise<void> {
    this.#nodes.delete(node);
    await node.close();
  }

  async lose(name: string): Promise<void> {
    await rm(this.folder(name), { recursive: true, force: true });
  }

  async end(): Promise<void> {
    for (const node of this.#nodes) await node.close();
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Resolves when the store is not being opened any more, or its status is as wanted. */
export async function settled(
  node: HoldfastNode,
  store: string,
  is: (status: ReturnType<HoldfastNode['kv']['tiers']['status']>) => boolean = ({ state }) =>
    state !== 'opening',
): Promise<ReturnType<HoldfastNode['kv']['tiers']['status']>> {
  for (;;) {
    const status = node.kv.tiers.status(store);
    if (is(status)) return status;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function fill(store: KvStore, count: number, from = 0): Promise<void> {
  for (let at = from; at < from + count; at++) {
    await store.put(keyOf(at), Buffer.from(`value ${at}`));
  }
}

/** Not in the order of creation. */
export function keyOf(at: number): string {
  return `${(at * 7919) % 1000}-${at}`;
}

/** Everything about every entry, in the order of creation. */
export async function everything(store: KvStore): Promise<readonly string[]> {
  const found: string[] = [];
  let token: string | undefined;
  do {
    const page = await store.page({ order: 'created', limit: 7, token });
    for (const { key, value, version, seq } of page.entries) {
      found.push(`${seq} ${version} ${key}=${Buffer.from(value).toString()}`);
    }
    token = page.next;
  } while (token !== undefined);
  return found;
}
