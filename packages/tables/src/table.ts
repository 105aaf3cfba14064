import type { BlockCodec, FileSystem } from '@holdfast/core';
import type { BlockCache } from './block-cache.ts';
import type { FileProblem } from './file-problem.ts';
import type { Pace } from './pace.ts';
import type { KeyRange, Row } from './row.ts';
import type { TableInfo } from './table-info.ts';

export interface TableComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache?: BlockCache;
}

export class Table {
  readonly path: string = '';
  readonly info!: TableInfo;
  static open(components: TableComponents, path: string, info: TableInfo): Promise<Table> {
    throw new Error(`soon ${String([components, path, info])}`);
  }
  get(key: Buffer): Promise<Row | undefined> {
    throw new Error(`soon ${String(key)}`);
  }
  scan(range: KeyRange = {}): AsyncIterable<Row> {
    throw new Error(`soon ${String(range)}`);
  }
  verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    throw new Error(`soon ${String([onProblem, pace])}`);
  }
  /** One reader more; the file stays open until as many `release` calls. */
  retain(): void {}
  release(): void {}
  /** No new readers; resolves once the last reader is gone and the handle is closed. */
  retire(): Promise<void> {
    throw new Error('soon');
  }
}
