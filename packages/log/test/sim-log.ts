/** A log on a simulated disk, for tests that look at or harm its files. */
import { type KeyObject, createSecretKey } from 'node:crypto';
import { KeyRing, type Lsn, lsn } from '@holdfast/core';
import {
  type CommitSink,
  type Log,
  type LogRecord,
  type LogSettings,
  type ReplayRange,
  type StoredRecord,
  openLog,
} from '@holdfast/log';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';

export const DIRECTORY = '/log';
export const DATABASE_ID: Buffer = Buffer.from('0123456789abcdef');
export const BLOCK = 4096;
export const SECTOR = 512;

export class SimLog {
  readonly random: SeededRandom;
  fs: SimFs;
  clock: SimClock;
  readonly keys: KeyRing | undefined;

  /** @param encrypted with keys from the seed */
  constructor(seed = 1, encrypted = false) {
    this.random = new SeededRandom(seed);
    this.keys = encrypted ? new KeyRing([keyOf(1)], this.random.fork()) : undefined;
    this.fs = new SimFs();
    this.clock = new SimClock(this.random.fork());
  }

  open(settings: Partial<LogSettings> = {}): Promise<Log> {
    const components = {
      fileSystem: this.fs,
      clock: this.clock,
      random: this.random.fork(),
      ...(this.keys === undefined ? {} : { keys: this.keys }),
    };
    return this.clock.run(
      openLog(components, {
        dir: DIRECTORY,
        databaseId: DATABASE_ID,
        segmentTargetBytes: 16 * BLOCK,
        preallocateBytes: 4 * BLOCK,
        diskReserveBytes: 0,
        ...settings,
      }),
    );
  }

  append(log: Log, ...payloads: (string | Uint8Array)[]): Promise<Lsn> {
    return this.clock.run(log.append(payloads.map((payload) => record(payload))));
  }

  run<Result>(promise: Promise<Result>): Promise<Result> {
    return this.clock.run(promise);
  }

  replay(log: Log, range?: ReplayRange): Promise<StoredRecord[]> {
    return this.clock.run(collect(log.replay(range)));
  }

  /** The process is gone, what it wrote is not. */
  kill(): void {
    this.clock = this.clock.nextIncarnation();
    this.fs = this.fs.kill();
  }

  /** What was not synced is kept or lost, sector by sector. */
  powerCut(): void {
    this.clock = this.clock.nextIncarnation();
    this.fs = this.fs.powerCut(this.random.fork());
  }

  path(id: number): string {
    return `${DIRECTORY}/${String(id).padStart(16, '0')}.seg`;
  }

  /** All files, to put back later. */
  files(): Map<string, Buffer> {
    const { disk } = this.fs;
    return new Map(disk.paths().map((path) => [path, disk.content(path)]));
  }

  /** A new disk with these files. */
  restore(files: ReadonlyMap<string, Buffer>): void {
    this.clock = new SimClock(this.random.fork());
    this.fs = new SimFs();
    void this.fs.makeDirectory(DIRECTORY);
    for (const [path, bytes] of files) {
      void this.fs.open(path, 'create').then((file) => file.close());
      this.fs.disk.replaceContent(path, bytes);
    }
  }
}

/** One of 255 keys. */
export function keyOf(fill: number): KeyObject {
  return createSecretKey(Buffer.alloc(32, fill));
}

export function record(payload: string | Uint8Array, fields: Partial<LogRecord> = {}): LogRecord {
  return { type: 0x10, shard: 0, tenant: 0, parts: [Buffer.from(payload)], ...fields };
}

export async function collect(records: AsyncIterable<StoredRecord>): Promise<StoredRecord[]> {
  const all: StoredRecord[] = [];
  for await (const stored of records) all.push(stored);
  return all;
}

export function texts(records: readonly StoredRecord[]): string[] {
  return records.map((stored) => stored.payload.toString());
}

/** Remembers what it hears. */
export class RecordingSink implements CommitSink {
  readonly heard: string[] = [];

  durable(first: Lsn): void {
    this.heard.push(`durable ${lsn(first)}`);
  }

  failed(error: { code: string; effect: string }): void {
    this.heard.push(`failed ${error.code} ${error.effect}`);
  }
}
