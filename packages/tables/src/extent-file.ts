import type { BlockCodec, FileSystem } from '@holdfast/core';
import type { BlockCache } from './block-cache.ts';
import type { ExtentFileInfo } from './extent-file-info.ts';
import type { ExtentRef } from './extent-ref.ts';
import type { FileProblem } from './file-problem.ts';
import type { Pace } from './pace.ts';

export interface ExtentFileComponents {
  readonly fileSystem: FileSystem;
  readonly codec: BlockCodec;
  readonly cache: BlockCache;
}

export class ExtentFile {
  readonly path: string = '';
  readonly info!: ExtentFileInfo;
  static open(
    components: ExtentFileComponents,
    path: string,
    info: ExtentFileInfo,
  ): Promise<ExtentFile> {
    throw new Error(`soon ${String([components, path, info])}`);
  }
  read(position: number, length: number): Promise<Buffer[]> {
    throw new Error(`soon ${String([position, length])}`);
  }
  readCached(position: number, length: number): Buffer[] | undefined {
    throw new Error(`soon ${String([position, length])}`);
  }
  directory(): AsyncIterable<{ readonly owner: Buffer; readonly ref: ExtentRef }> {
    throw new Error('soon');
  }
  verify(onProblem: (problem: FileProblem) => void, pace?: Pace): Promise<void> {
    throw new Error(`soon ${String([onProblem, pace])}`);
  }
  retain(): void {}
  release(): void {}
  retire(): Promise<void> {
    throw new Error('soon');
  }
}
