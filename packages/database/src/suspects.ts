/**
 * Files in which damage was met on the way, until the scrubber has looked at them. Filled by
 * whoever reads, from the moment the first file is opened.
 *
 * A file that was looked at and could not be mended is not looked at again before the next pass:
 * readers who come back for a lost block would keep the disk busy with it.
 */
import type { HoldfastError } from '@holdfast/core';
import { originalOf, parseExtentFileName, parseTableFileName } from '@holdfast/tables';

export class Suspects {
  readonly #tables = new Set<number>();
  readonly #extentFiles = new Set<number>();
  readonly #lookedAt = new Set<number>();
  #onAdded: (() => void) | undefined;

  /** Takes the file an error names. Errors that name none say nothing. */
  readonly hear = (error: HoldfastError): void => {
    const { path } = error.details;
    if (typeof path !== 'string') return;
    const name = originalOf(path.slice(path.lastIndexOf('/') + 1));
    const table = parseTableFileName(name);
    const extentFile = parseExtentFileName(name);
    if (this.#lookedAt.has(table ?? extentFile ?? -1)) return;
    if (table !== undefined) this.#tables.add(table);
    else if (extentFile !== undefined) this.#extentFiles.add(extentFile);
    else return;
    this.#onAdded?.();
  };

  /** Called after every file that is added. */
  onAdded(listener: () => void): void {
    this.#onAdded = listener;
  }

  takeTable(): number | undefined {
    return this.#take(this.#tables);
  }

  takeExtentFile(): number | undefined {
    return this.#take(this.#extentFiles);
  }

  /** Everything is looked at anew. */
  renew(): void {
    this.#tables.clear();
    this.#extentFiles.clear();
    this.#lookedAt.clear();
  }

  /** Damage found in it from now on is new. */
  mended(fileId: number): void {
    this.#lookedAt.delete(fileId);
  }

  #take(from: Set<number>): number | undefined {
    for (const id of from) {
      from.delete(id);
      this.#lookedAt.add(id);
      return id;
    }
    return undefined;
  }
}
