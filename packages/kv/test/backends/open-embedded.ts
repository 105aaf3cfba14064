/** The stores in a folder, by name. */
import { NodeClock, NodeRandom } from '@holdfast/core';
import type { FencedKvStore } from '@holdfast/kv';
import { openFilesKvStore } from '@holdfast/kv/backends/files';
import { openLmdbKvStore } from '@holdfast/kv/backends/lmdb';
import { openSqliteKvStore } from '@holdfast/kv/backends/sqlite';

export type EmbeddedKind = 'files' | 'lmdb' | 'sqlite';

export function openEmbedded(
  kind: EmbeddedKind,
  directory: string,
  epoch = 0,
): Promise<FencedKvStore> {
  const seams = { clock: new NodeClock(), random: new NodeRandom() };
  const settings = { id: kind, directory, epoch };
  switch (kind) {
    case 'files':
      return openFilesKvStore(seams, settings);
    case 'lmdb':
      return openLmdbKvStore(seams, settings);
    case 'sqlite':
      return openSqliteKvStore(seams, settings);
  }
}
