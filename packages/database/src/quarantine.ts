/**
 * Keeps what was damaged, before something whole takes its place: for a person to look at, never
 * read again. Within `quarantine/`, bounded in files and bytes, the oldest out first; never in the
 * room that is kept for the log and for checkpoints.
 *
 * It is a courtesy: failing to keep a file never keeps anything from being mended, for
 * what takes its place was proven to be what was written.
 */
import { type Clock, type FileSystem, LIMITS, type Logger, writeFully } from '@holdfast/core';

const PIECE_BYTES = LIMITS.fileReadBytes;
/** `<name of the file>.<ms since 1970>` */
const KEPT = /\.(\d+)$/;

export class Quarantine {
  readonly #fileSystem: FileSystem;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #dir: string;
  readonly #reserveBytes: number;

  /** @param dir of the database. */
  constructor(
    components: { fileSystem: FileSystem; clock: Clock; logger: Logger },
    dir: string,
    reserveBytes: number,
  ) {
    this.#fileSystem = components.fileSystem;
    this.#clock = components.clock;
    this.#logger = components.logger;
    this.#dir = `${dir}/quarantine`;
    this.#reserveBytes = reserveBytes;
  }

  /** Never rejects. A file that is not there, or for which there is no room, is not kept. */
  async keep(path: string): Promise<void> {
    try {
      const stat = await this.#fileSystem.stat(path);
      if (stat?.kind !== 'file' || stat.size > LIMITS.quarantineBytes) return;
      await this.#fileSystem.makeDirectory(this.#dir);
      await this.#makeRoom(stat.size);
      const free = await this.#fileSystem.freeBytes(this.#dir);
      if (free < this.#reserveBytes + stat.size) return;
      const name = path.slice(path.lastIndexOf('/') + 1);
      await this.#copy(path, `${this.#dir}/${name}.${this.#clock.now()}`);
    } catch (error) {
      this.#logger.warn('database.damageNotKept', { path, reason: String(error) });
    }
  }

  async #makeRoom(bytes: number): Promise<void> {
    const kept: { path: string; atMs: number; size: number }[] = [];
    for (const name of await this.#fileSystem.list(this.#dir)) {
      const atMs = Number(KEPT.exec(name)?.[1] ?? 0);
      const path = `${this.#dir}/${name}`;
      kept.push({ path, atMs, size: (await this.#fileSystem.stat(path))?.size ?? 0 });
    }
    kept.sort((a, b) => a.atMs - b.atMs || (a.path < b.path ? -1 : 1));
    let total = kept.reduce((sum, { size }) => sum + size, bytes);
    for (const [index, { path, size }] of kept.entries()) {
      const tooMany = kept.length - index >= LIMITS.quarantineFiles;
      if (!tooMany && total <= LIMITS.quarantineBytes) return;
      await this.#fileSystem.unlink(path);
      total -= size;
    }
  }

  async #copy(from: string, to: string): Promise<void> {
    if ((await this.#fileSystem.stat(to)) !== undefined) return; // kept within this millisecond
    const source = await this.#fileSystem.open(from, 'read');
    try {
      const target = await this.#fileSystem.open(to, 'create');
      try {
        const piece = Buffer.allocUnsafe(PIECE_BYTES);
        for (let at = 0; ;) {
          const read = await source.read(piece, at);
          if (read === 0) break;
          await writeFully(target, piece.subarray(0, read), at);
          at += read;
        }
        await target.datasync();
      } catch (error) {
        await this.#fileSystem.unlink(to).catch(() => undefined); // half of it is of no use
        throw error;
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }
}
