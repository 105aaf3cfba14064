/**
 * `node.keys`: which keys a running node has, a new active one, and giving an old one up. Keys come
 * and go by their source; here are only their ids.
 */
import type { KeyObject } from 'node:crypto';
import { formatKeyId, HoldfastError, type KeyRing, parseKeyId, parseKeyText } from '@holdfast/core';
import type { KeyStatus as DatabaseKeyStatus, KeyUse } from '@holdfast/database';
import type { KeySource } from '../key-source.ts';

export interface KeyShare {
  /** Eight hexadecimal digits. */
  readonly id: string;
  /** What is new is encrypted with it. */
  readonly active: boolean;
  /** The node has it. */
  readonly known: boolean;
  /** Encrypted with it, in all. */
  readonly bytes: number;
  /** The same by where it is: `log`, `tables`, `extents`, `manifest`, and what others keep. */
  readonly where: Readonly<Record<string, number>>;
}

export interface KeyStatus {
  readonly encrypted: boolean;
  /** Where the node's keys come from. */
  readonly source?: 'file' | 'command' | 'text';
  /** The active one first. */
  readonly keys: readonly KeyShare[];
  /** What cannot be looked at now, and the error code: more may be under a key there. */
  readonly unanswered?: Readonly<Record<string, string>>;
}

/** The part of the database that has to do with keys. */
export interface KeyDatabase {
  keyStatus(): Promise<DatabaseKeyStatus>;
  rotateKeys(keys: readonly KeyObject[]): Promise<void>;
  retireKey(keyId: number): Promise<void>;
}

export interface KeyParts {
  readonly database: KeyDatabase;
  /** Both absent for a database that is not encrypted. */
  readonly source: KeySource | undefined;
  readonly ring: KeyRing | undefined;
}

export class EmbeddedKeys {
  readonly #parts: KeyParts;

  constructor(parts: KeyParts) {
    this.#parts = parts;
  }

  /** Id of the key that what is new is encrypted with; `undefined` when nothing is. */
  get active(): string | undefined {
    const { ring } = this.#parts;
    return ring === undefined ? undefined : formatKeyId(ring.active.id);
  }

  async status(): Promise<KeyStatus> {
    const { database, source, ring } = this.#parts;
    const { encrypted, keys, unanswered } = await database.keyStatus();
    const codes = [...(unanswered ?? [])].map(([name, { code }]) => [name, code] as const);
    return {
      encrypted,
      ...(source === undefined ? {} : { source: source.kind }),
      keys: keys.map((use) => shareOf(use, ring?.has(use.keyId) ?? false)),
      ...(codes.length === 0 ? {} : { unanswered: Object.fromEntries(codes) }),
    };
  }

  /**
   * Goes on under the first key of the source, which is read anew; what is under older ones is
   * encrypted anew behind it.
   *
   * @param given keys as text, for a node whose keys were given so.
   * @throws `KEY_NOT_EXPECTED`, `INVALID_KEY`, `KEY_MISSING`.
   */
  async rotate(given: { readonly key?: string | undefined } = {}): Promise<KeyStatus> {
    const { database, source } = this.#parts;
    if (source === undefined) {
      throw new HoldfastError('KEY_NOT_EXPECTED', 'this node is not encrypted: it has no keys');
    }
    await database.rotateKeys(await keysFor(source, given.key));
    return this.status();
  }

  /** @throws `KEY_IN_USE`, `INVALID_KEY` for what is no id. */
  async retire(id: string): Promise<void> {
    if (!/^[0-9a-f]{8}$/.test(id)) throw new HoldfastError('INVALID_KEY', 'this is no id of a key');
    await this.#parts.database.retireKey(parseKeyId(id));
  }
}

/** A key that the source of a node does not have is gone when the node ends. */
async function keysFor(source: KeySource, given?: string): Promise<readonly KeyObject[]> {
  if (source.kind !== 'text') {
    if (given === undefined) return source.load();
    throw new HoldfastError(
      'INVALID_KEY',
      `the keys of this node come from a ${source.kind}: put the new one first there`,
    );
  }
  if (given !== undefined) return parseKeyText(given);
  throw new HoldfastError(
    'INVALID_KEY',
    'the keys of this node were given as text, which does not change while it runs: ' +
      'start it anew with the new key before the old one',
  );
}

function shareOf({ keyId, active, others, ...own }: KeyUse, known: boolean): KeyShare {
  const where: Record<string, number> = { ...own, ...others };
  const bytes = Object.values(where).reduce((sum, one) => sum + one, 0);
  return { id: formatKeyId(keyId), active, known, bytes, where };
}
