/**
 * The keys that a repository's objects are under: how much each of them still opens, and small
 * objects that stay for ever written anew under the active one. Pieces and snapshots are not: they
 * go with the retention.
 *
 * Invariants
 * 1. Nothing counts as free of a key that was not looked at: where the store does not answer, the
 *    answer is an error.
 * 2. Writing an object anew changes its bytes and not what it says.
 */
import { BLOCK_HEADER_BYTES, hasCode, isHoldfastError, type Logger } from '@holdfast/core';
import type { CallOptions } from '@holdfast/objects';
import type { Repository } from './repository.ts';

export class RepositoryKeys {
  readonly #repository: Repository;
  readonly #logger: Logger;

  constructor(repository: Repository, logger: Logger) {
    this.#repository = repository;
    this.#logger = logger;
  }

  /** Bytes in the repository by key id. I1. */
  async use(options: CallOptions = {}): Promise<Map<number, number>> {
    const repository = this.#repository;
    const use = new Map<number, number>();
    const add = (keyId: number, bytes: number): void => {
      if (keyId === 0) return; // gone meanwhile, or no block: nothing opens it
      use.set(keyId, (use.get(keyId) ?? 0) + bytes);
    };
    for await (const { keyId, bytes } of repository.pieces(options)) add(keyId, bytes);
    for await (const key of this.#smallObjects(options)) {
      const { keyId, bytes } = await this.#head(key, options);
      add(keyId, bytes);
    }
    for (const { id } of await repository.snapshots(options)) {
      const { keyId, bytes } = await this.#head(repository.names.snapshot(id), options);
      add(keyId, bytes);
      const snapshot = await repository.snapshot(id, options);
      for (const file of snapshot?.files ?? []) add(file.keyId, file.bytes);
    }
    return use;
  }

  /** Claims and restore points, under the active key. I2. Damaged ones stay as they are. */
  async renew(options: CallOptions = {}): Promise<number> {
    const repository = this.#repository;
    const { keyId: active } = repository.codec;
    let renewed = 0;
    for await (const key of this.#smallObjects(options)) {
      const { keyId } = await this.#head(key, options);
      if (keyId === active || keyId === 0) continue;
      try {
        await this.#renew(key, options);
        renewed++;
      } catch (error) {
        if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
        this.#logger.warn('archive.objectDamaged', { key, code: error.code });
      }
    }
    return renewed;
  }

  async #renew(key: string, options: CallOptions): Promise<void> {
    const { names } = this.#repository;
    const epoch = names.epochOfClaim(key);
    const mark = names.markOf(key);
    if (epoch !== undefined) {
      const claim = await this.#repository.claim(epoch, options);
      if (claim !== undefined) await this.#repository.renewClaim(claim, options);
    } else if (mark !== undefined) {
      const point = await this.#repository.restorePoint(mark, options);
      if (point !== undefined) await this.#repository.putRestorePoint(point, options);
    }
  }

  async *#smallObjects(options: CallOptions): AsyncGenerator<string, void, void> {
    const { names } = this.#repository;
    for (const epoch of await this.#repository.epochs(options)) yield names.claim(epoch);
    for await (const mark of this.#repository.marks(options)) yield names.mark(mark);
  }

  /** Key id 0 for what is gone meanwhile, or is no block. */
  async #head(key: string, options: CallOptions): Promise<{ keyId: number; bytes: number }> {
    const { store, codec } = this.#repository;
    try {
      const range = { offset: 0, length: BLOCK_HEADER_BYTES };
      const content = await store.get(key, { ...options, range });
      const pieces: Buffer[] = [];
      for await (const piece of content.body) pieces.push(piece);
      const header = codec.peekHeader(Buffer.concat(pieces), 0);
      return { keyId: header?.keyId ?? 0, bytes: content.size };
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND') || hasCode(error, 'INVALID_RANGE')) {
        return { keyId: 0, bytes: 0 };
      }
      throw error;
    }
  }
}
