/**
 * The keys of an encrypted database: which are in use and for how much, a new active one, what is
 * under older ones written anew, and an old one given up. FORMAT.md, "Encryption".
 *
 * Invariants
 * 1. A key stands in the layout, in both copies, before anything is encrypted with it, and until
 *    nothing that is needed is.
 * 2. A rotation that was cut short anywhere leaves a database that opens with the old keys and the
 *    new one, and may be done again.
 * 3. Nothing is written in place: what is encrypted anew goes to new files, which a manifest names
 *    before the old ones go.
 *
 * Owner: the database.
 */
import type { KeyObject } from 'node:crypto';
import {
  type BlockCodec,
  cut,
  formatKeyId,
  HoldfastError,
  isHoldfastError,
  type KeyRing,
  type Logger,
  Turns,
  parseKeyId,
} from '@holdfast/core';
import type { Log } from '@holdfast/log';
import type { Pace } from '@holdfast/tables';
import type { IdleArchiveMemory } from './backup/archive/archive-state.ts';
import type { DatabaseShard } from './database-shard.ts';
import type { EngineRegistry } from './engine-registry.ts';
import { moveExtents, type Rewrite } from './extent-rewrite.ts';
import type { ExtentStore } from './extent-store.ts';
import type { LayoutKeeper } from './layout-keeper.ts';
import { withActiveKey, withoutKey } from './layout-keys.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import { isUnreadable } from './storage-errors.ts';

/** What is encrypted with one key, in bytes. */
export interface KeyUse {
  readonly keyId: number;
  /** New blocks are under it. */
  readonly active: boolean;
  readonly log: number;
  readonly tables: number;
  readonly extents: number;
  readonly manifest: number;
  /** What others keep: see `addKeyHolder`. */
  readonly others: Readonly<Record<string, number>>;
}

export interface KeyStatus {
  readonly encrypted: boolean;
  /** Every key that the layout names, the active one first. */
  readonly keys: readonly KeyUse[];
  /** Holders that cannot say now how much they keep, and why; absent when all could. */
  readonly unanswered?: ReadonlyMap<string, HoldfastError>;
}

/** Bytes by key id. */
export type KeyHolder = () => Promise<ReadonlyMap<number, number>>;

export interface KeyCareParts {
  readonly codec: BlockCodec;
  readonly logger: Logger;
  readonly log: Log;
  readonly layout: LayoutKeeper;
  readonly manifest: ManifestKeeper;
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly registry: EngineRegistry;
  /** Writes a checkpoint, which moves what `rewrite` copied, and lets the log go. */
  readonly checkpoint: (rewrite?: () => Promise<Rewrite | undefined>) => Promise<void>;
  /** Writes one table anew. */
  readonly rewriteTable: (fileId: number) => Promise<void>;
  /** Resolves once no merge is under way. */
  readonly merged: () => Promise<void>;
  /** Where the archive is not open: what the directory remembers of it. */
  readonly idleMemory: IdleArchiveMemory | undefined;
}

export class KeyCare {
  readonly #parts: KeyCareParts;
  readonly #holders = new Map<string, KeyHolder>();
  readonly #turns: Turns = new Turns();

  constructor(parts: KeyCareParts) {
    this.#parts = parts;
    const { idleMemory } = parts;
    if (idleMemory !== undefined) this.addHolder('archive', () => idleMemory.keyUse());
  }

  addHolder(name: string, holder: KeyHolder): void {
    this.#holders.set(name, holder);
  }

  /** Resolves once no rotation is under way. Never rejects. */
  async idle(): Promise<void> {
    await this.#turns.idle();
  }

  /** I1, I2. @param keys the new key ring, the first one active; those in the layout among them. */
  rotate(keys: readonly KeyObject[]): Promise<void> {
    return this.#turns.run(async () => {
      const { layout, log, manifest, logger } = this.#parts;
      const ring = this.#ring();
      const next = ring.with(keys);
      for (const name of Object.keys(layout.current.keys ?? {})) {
        if (!next.has(parseKeyId(name))) throw missing(name);
      }
      await layout.edit((current) => withActiveKey(current, next));
      await cut('keys.entered');
      ring.replace(keys);
      await log.rotateKey();
      await cut('keys.logRolled');
      await manifest.edit((current) => current);
      await cut('keys.manifestWritten');
      await this.#parts.checkpoint();
      logger.info('database.keysRotated', { keyId: formatKeyId(ring.active.id) });
    });
  }

  async status(): Promise<KeyStatus> {
    const { codec, layout, log } = this.#parts;
    if (codec.keys === undefined) return { encrypted: false, keys: [] };
    const sums = new Map<number, MutableUse>();
    const use = (keyId: number): MutableUse => {
      const known = sums.get(keyId) ?? { log: 0, tables: 0, extents: 0, manifest: 0, others: {} };
      sums.set(keyId, known);
      return known;
    };
    const active = codec.keys.active.id;
    use(active);
    for (const name of Object.keys(layout.current.keys ?? {})) use(parseKeyId(name));
    for (const { keyId, bytes } of log.segments()) use(keyId).log += bytes;
    await this.#files((keyId, bytes, kind) => {
      use(keyId)[kind] += bytes;
    });
    const unanswered = await this.#ofHolders((keyId, bytes, name) => {
      use(keyId).others[name] = bytes;
    });
    const keys = [...sums].map(([keyId, sum]) => ({ keyId, active: keyId === active, ...sum }));
    return {
      encrypted: true,
      keys: keys.sort((a, b) => Number(b.active) - Number(a.active)),
      ...(unanswered.size === 0 ? {} : { unanswered }),
    };
  }

  /** A store that is away must keep nobody from seeing, or leaving, a key. Retiring is another thing. */
  async #ofHolders(
    report: (keyId: number, bytes: number, name: string) => void,
  ): Promise<ReadonlyMap<string, HoldfastError>> {
    const unanswered = new Map<string, HoldfastError>();
    for (const [name, holder] of this.#holders) {
      try {
        for (const [keyId, bytes] of await holder()) report(keyId, bytes, name);
      } catch (error) {
        if (!isHoldfastError(error)) throw error;
        unanswered.set(name, error);
      }
    }
    return unanswered;
  }

  /** Rejects with `KEY_IN_USE` while anything is under the key, and as a holder that cannot tell. */
  retire(keyId: number): Promise<void> {
    return this.#turns.run(async () => {
      const { checkpoint, layout, merged, logger } = this.#parts;
      const ring = this.#ring();
      if (ring.active.id === keyId) throw inUse(keyId, 'new bytes are encrypted with it');
      // What was begun before the rotation is in the manifest, or given up, after these.
      await checkpoint();
      await merged();
      const status = await this.status();
      for (const error of status.unanswered?.values() ?? []) throw error;
      const found = status.keys.find((use) => use.keyId === keyId);
      if (found === undefined) return; // it was never used, or is retired
      const { log, tables, extents, manifest, others } = found;
      const left = Object.entries({ log, tables, extents, manifest, ...others });
      const needed = left.filter(([, bytes]) => bytes > 0);
      if (needed.length > 0) {
        throw inUse(keyId, needed.map(([name, bytes]) => `${name}=${bytes}`).join(' '));
      }
      await layout.edit((current) => withoutKey(current, keyId));
      const kept = ring.ids.filter((id) => id !== keyId).flatMap((id) => ring.find(id)?.key ?? []);
      ring.replace(kept);
      logger.info('database.keyRetired', { keyId: formatKeyId(keyId) });
    });
  }

  /**
   * Writes anew, under the active key, what is under others, one file a step; the log follows by
   * truncation. Damaged files stay as they are. I3
   */
  async *reencryption(pace: Pace): AsyncGenerator<void, void, undefined> {
    const { codec, shards, manifest, rewriteTable, log, checkpoint } = this.#parts;
    const { keys } = codec;
    if (keys === undefined) return;
    for (const table of shards.flatMap((shard) => shard.tables)) {
      if (table.retired) continue; // merged meanwhile
      try {
        if ((await table.keyId()) === keys.active.id) continue;
        await rewriteTable(table.info.fileId);
      } catch (error) {
        if (isUnreadable(error)) continue;
        throw error;
      }
      await pace(table.info.bytes);
      yield;
    }
    for (const { fileId } of manifest.current.extentFiles) {
      if (await this.#moveOut(fileId, keys, pace)) yield;
    }
    await this.#renewMemory();
    if (log.segments().every(({ keyId }) => keyId === keys.active.id)) return;
    await log.rotateKey();
    await checkpoint();
  }

  /**
   * Moves the extents of one file to new ones, as many at a time as a rewrite may hold. False when
   * there was nothing to do.
   */
  async #moveOut(fileId: number, keys: KeyRing, pace: Pace): Promise<boolean> {
    const { extents, checkpoint } = this.#parts;
    for (let isFirst = true; ; isFirst = false) {
      const file = extents.file(fileId);
      if (file === undefined || file.damage !== undefined) return !isFirst;
      if ((await keyIdOrNone(() => file.keyId())) === keys.active.id) return !isFirst;
      let moved: Rewrite | undefined;
      await checkpoint(async () => {
        moved = await moveExtents(this.#parts, fileId);
        return moved;
      });
      if (moved === undefined) return true; // it cannot be read, or there is no room
      await pace(moved.info.bytes);
    }
  }

  async #renewMemory(): Promise<void> {
    try {
      await this.#parts.idleMemory?.renew();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
  }

  async #files(
    report: (keyId: number, bytes: number, kind: 'tables' | 'extents' | 'manifest') => void,
  ): Promise<void> {
    const { shards, extents, manifest, codec } = this.#parts;
    const reportFile = async (
      read: () => Promise<number | undefined>,
      bytes: number,
      kind: 'tables' | 'extents',
    ): Promise<void> => {
      const keyId = await keyIdOrNone(read);
      // One that cannot be read may be under any of them.
      for (const id of keyId === undefined ? this.#ring().ids : [keyId]) report(id, bytes, kind);
    };
    for (const shard of shards) {
      for (const table of shard.tables) {
        table.retain(); // a merge may replace it meanwhile
        try {
          await reportFile(() => table.keyId(), table.info.bytes, 'tables');
        } finally {
          table.release();
        }
      }
    }
    for (const { fileId, bytes } of manifest.current.extentFiles) {
      const file = extents.file(fileId);
      file?.retain();
      try {
        await reportFile(async () => file?.keyId(), bytes, 'extents');
      } finally {
        file?.release();
      }
    }
    await manifest.look((_current, file) => {
      const header = codec.peekHeader(file, 0);
      if (header !== undefined) report(header.keyId, file.length, 'manifest');
    });
  }

  #ring(): KeyRing {
    const { keys } = this.#parts.codec;
    if (keys !== undefined) return keys;
    throw new HoldfastError('KEY_NOT_EXPECTED', 'this database is not encrypted');
  }
}

interface MutableUse {
  log: number;
  tables: number;
  extents: number;
  manifest: number;
  others: Record<string, number>;
}

async function keyIdOrNone(read: () => Promise<number | undefined>): Promise<number | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isUnreadable(error)) return undefined;
    throw error;
  }
}

function missing(name: string): HoldfastError {
  return new HoldfastError(
    'KEY_MISSING',
    `a key that is in use is not among the new ones; give it too, or retire it first keyId=${name}`,
    { details: { keyId: parseKeyId(name) } },
  );
}

function inUse(keyId: number, reason: string): HoldfastError {
  return new HoldfastError(
    'KEY_IN_USE',
    `key cannot be retired keyId=${formatKeyId(keyId)} ${reason}`,
    { details: { keyId } },
  );
}
