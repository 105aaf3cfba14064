/**
 * A file system that can lose power, be killed, fill up and fail, for simulations. One
 * `SimFs` is the view of one life of a process; `powerCut` and `kill` end that life and give
 * the file system of the next one over the same `SimDisk`.
 *
 * Invariants
 * 1. Without `yieldPoint` every call takes effect at once and its promise settles in the same
 *    turn: the order of effects is the order of calls.
 * 2. With it, calls wait before they take effect and before they settle. A sync covers what
 *    had taken effect when it was asked for, nothing later.
 * 3. After the end of its life every call rejects with `SimDeadError` and changes nothing.
 *    Only `close` and `release` resolve: the kernel has done them.
 */
import { HoldfastError, systemError } from '@holdfast/core';
import type { DirectoryLock, FileHandle, FileStat, FileSystem, OpenMode } from '@holdfast/core';
import type { SeededRandom } from './seeded-random.ts';
import { SimDeadError, SimDisk } from './sim-disk.ts';
import type { Fault, SimOperation } from './sim-faults.ts';
import { SimFile } from './sim-file.ts';
import { SimDirectory, type Place } from './sim-names.ts';

export interface SimFsOptions {
  /** An existing disk; whoever was using it is dead from now on. Default: a new one. */
  readonly disk?: SimDisk;
  /** Of a new disk. */
  readonly capacityBytes?: number;
  /** Awaited around each call, e.g. `() => clock.yieldPoint()`, so that calls interleave. */
  readonly yieldPoint?: () => Promise<void>;
}

export type NextLifeOptions = Pick<SimFsOptions, 'yieldPoint'>;

export class SimFs implements FileSystem {
  readonly disk: SimDisk;
  readonly #incarnation: number;
  readonly #yieldPoint: (() => Promise<void>) | undefined;

  constructor(options: SimFsOptions = {}) {
    this.disk = options.disk ?? new SimDisk(options.capacityBytes);
    this.#incarnation = this.disk.startIncarnation();
    this.#yieldPoint = options.yieldPoint;
  }

  get alive(): boolean {
    return this.disk.isAlive(this.#incarnation);
  }

  /** The power fails; the result is the file system after the restart. */
  powerCut(random: SeededRandom, next: NextLifeOptions = {}): SimFs {
    this.disk.powerCut(random);
    return new SimFs({ disk: this.disk, ...next });
  }

  /** `kill -9`: nothing written is lost, handles and locks are. */
  kill(next: NextLifeOptions = {}): SimFs {
    return new SimFs({ disk: this.disk, ...next });
  }

  open(path: string, mode: OpenMode): Promise<FileHandle> {
    return this.#perform('open', path, () => {
      const place = this.disk.names.place(path, 'open');
      const found = place.parent.live.get(place.name);
      if (mode === 'create' && found !== undefined) throw systemError('EEXIST', 'open', path);
      if (mode !== 'create' && found === undefined) throw systemError('ENOENT', 'open', path);
      if (found instanceof SimDirectory) throw systemError('EISDIR', 'open', path);
      const file = found ?? this.disk.create(place);
      return new SimFileHandle(this.disk, this.#incarnation, this.#yieldPoint, path, file, mode);
    });
  }

  list(path: string): Promise<string[]> {
    return this.#perform('list', path, () => [
      ...this.disk.names.directory(path, 'scandir').live.keys(),
    ]);
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#perform('stat', path, () => {
      const found = this.disk.names.find(path);
      if (found === undefined) return undefined;
      return found instanceof SimFile
        ? { kind: 'file', size: found.size }
        : { kind: 'directory', size: 0 };
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#perform('makeDirectory', path, () => this.disk.names.makeDirectory(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#perform('rename', from, () => {
      const source = this.disk.names.place(from, 'rename');
      const target = this.disk.names.place(to, 'rename');
      assertRenameable(source, target, from, to);
      this.disk.rename(source, target);
    });
  }

  unlink(path: string): Promise<void> {
    return this.#perform('unlink', path, () => {
      const place = this.disk.names.place(path, 'unlink');
      const found = place.parent.live.get(place.name);
      if (found === undefined) throw systemError('ENOENT', 'unlink', path);
      if (found instanceof SimDirectory) throw systemError('EISDIR', 'unlink', path);
      this.disk.unlink(place);
    });
  }

  removeDirectory(path: string): Promise<void> {
    return this.#perform('removeDirectory', path, () => {
      const place = this.disk.names.place(path, 'rmdir');
      const { live } = this.disk.names.directory(path, 'rmdir');
      if (live.size > 0) throw systemError('ENOTEMPTY', 'rmdir', path);
      this.disk.unlink(place);
    });
  }

  syncDirectory(path: string): Promise<void> {
    const order = this.disk.order; // I2
    return this.#perform('syncDirectory', path, () => {
      this.disk.names.sync(this.disk.names.directory(path, 'fsync'), order);
    });
  }

  freeBytes(path: string): Promise<number> {
    return this.#perform('freeBytes', path, () => this.disk.freeBytes());
  }

  lockDirectory(path: string): Promise<DirectoryLock> {
    return this.#perform('lockDirectory', path, () => {
      const directory = this.disk.names.directory(path, 'lock');
      const { locked } = this.disk;
      if (locked.has(directory)) {
        throw new HoldfastError('DIRECTORY_LOCKED', `directory is already open path=${path}`, {
          details: { path },
        });
      }
      locked.add(directory);
      let held = true;
      return {
        release: async () => {
          if (held && this.alive) locked.delete(directory); // I3
          held = false;
        },
      };
    });
  }

  async #perform<Result>(
    operation: SimOperation,
    path: string,
    act: () => Result,
  ): Promise<Result> {
    if (this.#yieldPoint !== undefined) await this.#yieldPoint();
    const fault = this.disk.begin(this.#incarnation, operation, path);
    const result = actUnder(fault, this.disk, operation, path, act);
    if (this.#yieldPoint !== undefined) {
      await this.#yieldPoint();
      if (!this.alive) throw new SimDeadError();
    }
    return result;
  }
}

class SimFileHandle implements FileHandle {
  readonly path: string;
  readonly #disk: SimDisk;
  readonly #incarnation: number;
  readonly #yieldPoint: (() => Promise<void>) | undefined;
  readonly #file: SimFile;
  readonly #writable: boolean;
  #inFlight = 0;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(
    disk: SimDisk,
    incarnation: number,
    yieldPoint: (() => Promise<void>) | undefined,
    path: string,
    file: SimFile,
    mode: OpenMode,
  ) {
    this.path = path;
    this.#disk = disk;
    this.#incarnation = incarnation;
    this.#yieldPoint = yieldPoint;
    this.#file = file;
    this.#writable = mode !== 'read';
    disk.handleOpened(file);
  }

  size(): Promise<number> {
    return this.#perform('size', 0, 0, (fault) =>
      actUnder(fault, this.#disk, 'size', this.path, () => this.#file.size),
    );
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#perform('read', position, target.length, (fault) =>
      actUnder(fault, this.#disk, 'read', this.path, () => this.#file.read(target, position)),
    );
  }

  write(bytes: Uint8Array, position: number): Promise<number> {
    return this.#perform('write', position, bytes.length, (fault) =>
      this.#write(bytes, position, fault),
    );
  }

  writeSync(bytes: Uint8Array, position: number): number {
    this.#assertOpen('write');
    const { length } = bytes;
    const fault = this.#disk.begin(this.#incarnation, 'write', this.path, position, length);
    return this.#write(bytes, position, fault);
  }

  truncate(size: number): Promise<void> {
    return this.#perform('truncate', size, 0, (fault) => {
      if (!this.#writable) throw systemError('EINVAL', 'ftruncate', this.path);
      actUnder(fault, this.#disk, 'truncate', this.path, () => {
        this.#disk.truncate(this.#file, size, this.path);
      });
    });
  }

  datasync(): Promise<void> {
    const { order } = this.#disk; // SimFs I2
    return this.#perform('datasync', 0, 0, (fault) => {
      if (fault?.effect === 'lying-sync') {
        this.#file.loseUnsynced();
        throw systemError('EIO', 'datasync', this.path);
      }
      actUnder(fault, this.#disk, 'datasync', this.path, () => {
        this.#disk.datasync(this.#file, order);
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    if (!this.#disk.isAlive(this.#incarnation)) return; // SimFs I3
    const fault = this.#disk.begin(this.#incarnation, 'close', this.path);
    this.#disk.handleClosed(this.#file);
    actUnder(fault, this.#disk, 'close', this.path, () => undefined);
  }

  #write(bytes: Uint8Array, position: number, fault: Fault | undefined): number {
    const { path } = this;
    if (!this.#writable) throw systemError('EBADF', 'write', path);
    const write = (length: number): number =>
      this.#disk.write(this.#file, bytes.subarray(0, length), position, path);
    if (fault === undefined) return this.#disk.write(this.#file, bytes, position, path);
    const half = Math.floor(bytes.length / 2);
    if (fault.effect === 'short-write') return write(Math.max(1, fault.bytes ?? half));
    return actUnder(
      fault,
      this.#disk,
      'write',
      path,
      () => write(bytes.length),
      () => {
        write(half);
      },
    );
  }

  /** One call; those that were asked for before `close` are waited for. */
  async #perform<Result>(
    operation: SimOperation,
    position: number,
    length: number,
    act: (fault: Fault | undefined) => Result,
  ): Promise<Result> {
    this.#assertOpen(operation);
    if (this.#yieldPoint === undefined) {
      return act(this.#disk.begin(this.#incarnation, operation, this.path, position, length));
    }
    this.#inFlight++;
    try {
      await this.#yieldPoint();
      const fault = this.#disk.begin(this.#incarnation, operation, this.path, position, length);
      const result = act(fault);
      await this.#yieldPoint();
      if (!this.#disk.isAlive(this.#incarnation)) throw new SimDeadError();
      return result;
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  }

  #assertOpen(operation: SimOperation): void {
    if (this.#closing === undefined) return;
    if (!this.#disk.isAlive(this.#incarnation)) throw new SimDeadError();
    throw systemError('EBADF', operation, this.path);
  }
}

/** @param half what is done of a call that fails without being `performed`. */
function actUnder<Result>(
  fault: Fault | undefined,
  disk: SimDisk,
  operation: SimOperation,
  path: string,
  act: () => Result,
  half?: () => void,
): Result {
  if (fault === undefined) return act();
  if (fault.performed === true) act();
  else half?.();
  if (fault.effect === 'halt') {
    disk.halt();
    throw new SimDeadError();
  }
  throw systemError(fault.effect, operation, path);
}

function assertRenameable(source: Place, target: Place, from: string, to: string): void {
  const moved = source.parent.live.get(source.name);
  const replaced = target.parent.live.get(target.name);
  if (moved === undefined) throw systemError('ENOENT', 'rename', from);
  if (moved === replaced) return;
  if (replaced instanceof SimDirectory) {
    if (moved instanceof SimFile) throw systemError('EISDIR', 'rename', to);
    if (replaced.live.size > 0) throw systemError('ENOTEMPTY', 'rename', to);
  } else if (moved instanceof SimDirectory) {
    if (replaced !== undefined) throw systemError('ENOTDIR', 'rename', to);
    if (holds(moved, target.parent)) throw systemError('EINVAL', 'rename', to);
  }
}

function holds(directory: SimDirectory, wanted: SimDirectory): boolean {
  if (directory === wanted) return true;
  for (const node of directory.live.values()) {
    if (node instanceof SimDirectory && holds(node, wanted)) return true;
  }
  return false;
}
