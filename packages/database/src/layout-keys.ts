/**
 * The keys that were given beside those that the layout names. Every key that something may be
 * encrypted with stands in the layout before its first use and until it is retired, so that a
 * wrong or a missing one is known before anything is touched.
 */
import {
  formatKeyId,
  HoldfastError,
  isHoldfastError,
  type KeyRing,
  parseKeyId,
} from '@holdfast/core';
import type { Layout, LayoutKeys } from './layout.ts';

/**
 * Throws `KEY_REQUIRED`, `KEY_NOT_EXPECTED`, `KEY_WRONG` or `KEY_MISSING` when `ring` does not open
 * all that this layout may stand for.
 */
export function assertKeysOf(layout: Layout, ring: KeyRing | undefined, dir: string): void {
  const { keys } = layout;
  if (keys === undefined) {
    if (ring === undefined) return;
    throw new HoldfastError(
      'KEY_NOT_EXPECTED',
      `data directory is not encrypted, and a key was given: open it without one, or restore a backup of it into a new directory path=${dir}`,
      { details: { path: dir } },
    );
  }
  if (ring === undefined) {
    throw new HoldfastError(
      'KEY_REQUIRED',
      `data directory is encrypted, and no key was given path=${dir} keys=${Object.keys(keys).join(',')}`,
      { details: { path: dir } },
    );
  }
  const given = ring.ids.filter((id) => keys[formatKeyId(id)] !== undefined);
  const wrong = given.some((id) => ring.checkOf(id, layout.databaseId) !== keys[formatKeyId(id)]);
  if (wrong || given.length === 0) {
    throw new HoldfastError(
      'KEY_WRONG',
      `none of the keys given is the key of this data directory path=${dir} keys=${Object.keys(keys).join(',')} given=${ring.ids.map(formatKeyId).join(',')}`,
      { details: { path: dir } },
    );
  }
  for (const id of Object.keys(keys)) {
    if (ring.has(parseKeyId(id))) continue;
    throw new HoldfastError(
      'KEY_MISSING',
      `data directory is also encrypted with a key that was not given; give it too, or retire it first path=${dir} keyId=${id}`,
      { details: { path: dir, keyId: parseKeyId(id) } },
    );
  }
}

/** With the active key of `ring`; the same object when it is there. */
export function withActiveKey(layout: Layout, ring: KeyRing): Layout {
  const { id } = ring.active;
  const name = formatKeyId(id);
  if (layout.keys?.[name] !== undefined) return layout;
  const check = ring.checkOf(id, layout.databaseId) as string;
  return { ...layout, keys: { ...layout.keys, [name]: check } };
}

export function withoutKey(layout: Layout, keyId: number): Layout {
  const keys: Record<string, string> = { ...layout.keys };
  delete keys[formatKeyId(keyId)];
  return { ...layout, keys: keys satisfies LayoutKeys };
}

/** Of keys, not of what they encrypt. */
export function isKeyError(error: unknown): boolean {
  return isHoldfastError(error) && /^KEY_|^INVALID_KEY$/.test(error.code);
}
