/**
 * One extent file at a time: a damaged footer or name is mended, and the extents of one with
 * damaged data are brought to safety as far as memory or the log still has what is lost.
 */
import type { ShardId } from '@holdfast/core';
import type { Log } from '@holdfast/log';
import type { Pace } from '@holdfast/tables';
import type { DamageKind, DamageList } from './damage-list.ts';
import type { DatabaseShard } from './database-shard.ts';
import type { Operation } from './engine.ts';
import type { EngineRegistry } from './engine-registry.ts';
import type { Rewrite } from './extent-rewrite.ts';
import { type DamagedExtent, type Salvage, salvageExtents } from './extent-salvage.ts';
import type { ExtentStore, LiveExtentFile } from './extent-store.ts';
import type { ManifestKeeper } from './manifest-keeper.ts';
import type { Quarantine } from './quarantine.ts';
import { isUnreadable } from './storage-errors.ts';
import type { Suspects } from './suspects.ts';

interface Parts {
  readonly dir: string;
  readonly shards: readonly DatabaseShard[];
  readonly extents: ExtentStore;
  readonly manifest: ManifestKeeper;
  readonly registry: EngineRegistry;
  readonly log: Log;
  readonly suspects: Suspects;
  readonly damages: DamageList;
  readonly quarantine: Quarantine;
  readonly checkpoint: (rewrite?: () => Promise<Rewrite | undefined>) => Promise<void>;
}

/** Extents of one file that are named; the others are one more damage. */
const MAX_OWNERS = 32;

interface Found {
  readonly kind: DamageKind;
  readonly message: string;
}

export class ExtentCare {
  readonly #parts: Parts;
  #salvaging: string | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The file whose extents are being brought to safety, if any. */
  get salvaging(): string | undefined {
    return this.#salvaging;
  }

  async scrub(info: LiveExtentFile, pace: Pace): Promise<void> {
    const { damages, extents, suspects } = this.#parts;
    const { fileId } = info;
    const path = extents.pathOf(fileId);
    if (!this.#isNamed(fileId)) return; // a pass takes long, and files come and go
    const found = await this.#check(info, pace);
    if (!this.#isNamed(fileId)) return; // its name may have gone first
    if (found === undefined) {
      damages.repaired(path);
      suspects.mended(fileId);
      return;
    }
    const shard = info.shard as ShardId;
    if (await this.#rebuilt(fileId, pace)) {
      damages.report({ path, position: 0, ...found, shard, state: 'repaired' });
      damages.repaired(path);
      suspects.mended(fileId);
      return;
    }
    await this.#salvage(info, found);
  }

  #isNamed(fileId: number): boolean {
    return this.#parts.manifest.current.extentFiles.some((file) => file.fileId === fileId);
  }

  /** `undefined` when the file is whole and open. */
  async #check(info: LiveExtentFile, pace: Pace): Promise<Found | undefined> {
    const { extents } = this.#parts;
    const file = extents.file(info.fileId);
    if (file === undefined) {
      const error = await extents.open(info); // somebody may have put it back
      if (!this.#isNamed(info.fileId)) await extents.drop(info.fileId); // dropped meanwhile
      if (error !== undefined && extents.file(info.fileId) === undefined) {
        const kind = error.code === 'FILE_MISSING' ? 'missing' : 'damaged';
        return { kind, message: error.message };
      }
      return this.#checkOpen(info, pace);
    }
    return this.#checkOpen(info, pace);
  }

  async #checkOpen(info: LiveExtentFile, pace: Pace): Promise<Found | undefined> {
    const { extents, damages } = this.#parts;
    const file = extents.file(info.fileId);
    if (file === undefined) return undefined; // it was dropped
    const path = extents.pathOf(info.fileId);
    file.retain();
    try {
      const state = await file.check(pace);
      if (state === 'whole') {
        // What is open may be what stood under the name before.
        if (file.damage !== undefined || damages.isQuarantined(path)) await extents.reopen(info);
        return undefined;
      }
      const message = file.damage?.message ?? `file is ${state} path=${path}`;
      return { kind: state, message };
    } finally {
      file.release();
    }
  }

  /** From the file that is open, when its data is whole. */
  async #rebuilt(fileId: number, pace: Pace): Promise<boolean> {
    const { extents, dir, quarantine } = this.#parts;
    const file = extents.file(fileId);
    if (file === undefined) return false;
    try {
      await file.rebuild({
        directory: dir,
        pace,
        beforeReplace: (path) => quarantine.keep(path),
      });
      return true;
    } catch (error) {
      if (isUnreadable(error)) return false;
      throw error;
    }
  }

  async #salvage(info: LiveExtentFile, found: Found): Promise<void> {
    const { extents, checkpoint, damages, suspects, quarantine } = this.#parts;
    const path = extents.pathOf(info.fileId);
    let salvage: Salvage | undefined;
    let failure: Error | undefined;
    this.#salvaging = path;
    try {
      await checkpoint(async () => {
        try {
          salvage = await salvageExtents(this.#parts, info.fileId, () => this.#history());
          if (salvage.complete) await quarantine.keep(path);
          return salvage.rewrite;
        } catch (error) {
          failure = error as Error; // of the salvage, not of the checkpoint
          return undefined;
        }
      });
    } finally {
      this.#salvaging = undefined;
    }
    const shard = info.shard as ShardId;
    const lost = salvage === undefined || salvage.damaged.some(({ restored }) => !restored);
    this.#reportExtents(path, found, salvage?.damaged ?? []);
    if (salvage?.complete === true) damages.repaired(path);
    if (salvage === undefined || salvage.damaged.length === 0) {
      const state = lost ? 'quarantined' : 'repaired';
      damages.report({ path, position: 0, ...found, shard, state });
    }
    if (!lost) suspects.mended(info.fileId);
    if (failure !== undefined) throw failure;
  }

  #reportExtents(path: string, found: Found, damaged: readonly DamagedExtent[]): void {
    const { damages } = this.#parts;
    // What is lost first: a file may hold more than is worth naming.
    const byNeed = [...damaged].sort((a, b) => Number(a.restored) - Number(b.restored));
    for (const { restored, owner, ...place } of byNeed.slice(0, MAX_OWNERS)) {
      const state = restored ? 'repaired' : 'quarantined';
      damages.report({
        path,
        ...found,
        ...place,
        state,
        ...(owner === undefined ? {} : { owner }),
      });
    }
    const rest = byNeed.slice(MAX_OWNERS);
    const [next] = rest;
    if (next === undefined) return;
    const message = `${found.message}, with ${rest.length} more extents`;
    const state = next.restored ? 'repaired' : 'quarantined';
    damages.report({ path, kind: found.kind, message, state, shard: next.shard, position: 0 });
  }

  /** What the log still says of everything up to the last cut, in order. */
  async *#history(): AsyncGenerator<Operation> {
    const { log, manifest, registry } = this.#parts;
    const to = manifest.current.shards[0]?.appliedLsn;
    if (to === undefined) return;
    for await (const record of log.replay({ to })) {
      yield* registry.decode(record.type, record.shard, record.payload);
    }
  }
}
