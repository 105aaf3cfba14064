/**
 * What is done to a data directory while no node has it open: verify and rebalance. Of an encrypted
 * one with its keys.
 */
import { HoldfastError, type KeyRing } from '@holdfast/core';
import {
  type DatabaseVerifyReport,
  rebalanceDatabase,
  type RebalanceReport,
  verifyDatabase,
} from '@holdfast/database';
import type { KeySourceSettings } from './key-source.ts';
import type { NodeComponents } from './node-components.ts';
import { NodeEngines } from './node-engines.ts';
import { loadKeyRing } from './offline-backup.ts';

/** @param total absent while nobody knows it. */
export type OnProgress = (done: number, total?: number) => void;

/**
 * Damage is reported, not thrown; what is no data directory, or is in use, is thrown. Reads only.
 */
export async function verifyDirectory(
  settings: KeySourceSettings & { readonly dir: string },
  components: NodeComponents,
  onProgress: OnProgress = () => undefined,
): Promise<DatabaseVerifyReport> {
  await requireDirectory(settings.dir, components);
  const keys = await loadKeyRing(settings, components);
  return verifyDatabase(withKeys(components, keys), settings, onProgress);
}

/** @throws before anything is changed when the directory is in use, damaged or absent. */
export async function rebalanceDirectory(
  settings: KeySourceSettings & { readonly dir: string; readonly shardCount: number },
  components: NodeComponents,
  onProgress: OnProgress = () => undefined,
): Promise<RebalanceReport> {
  await requireDirectory(settings.dir, components);
  const engines = NodeEngines.idle(components);
  const keys = await loadKeyRing(settings, components);
  const { dir, shardCount } = settings;
  try {
    return await rebalanceDatabase(
      withKeys(components, keys),
      { dir, shardCount },
      engines.all,
      (rows) => onProgress(rows),
    );
  } finally {
    await engines.close();
  }
}

function withKeys(
  components: NodeComponents,
  keys: KeyRing | undefined,
): NodeComponents & { readonly keys?: KeyRing } {
  return keys === undefined ? components : { ...components, keys };
}

/** Opening creates a directory that is not there, which is not what these commands are for. */
async function requireDirectory(dir: string, components: NodeComponents): Promise<void> {
  const stat = await components.fileSystem.stat(dir);
  if (stat?.kind === 'directory') return;
  throw new HoldfastError('ROUTE_NOT_FOUND', `there is no data directory here path=${dir}`);
}
