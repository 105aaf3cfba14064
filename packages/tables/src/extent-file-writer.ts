import type { BlockCodec, FileId, FileSystem } from '@holdfast/core';
import type { ExtentFileInfo } from './extent-file-info.ts';
import type { ExtentRef } from './extent-ref.ts';

export class ExtentFileWriter {
  readonly fileId: FileId;
  /** @param blockBytes payload of one data block; see `LIMITS.extentBlockBytes`. */
  constructor(fileId: FileId, blockBytes: number) {
    this.fileId = fileId;
    void blockBytes;
  }
  get payloadBytes(): number {
    return 0;
  }
  get extents(): number {
    return 0;
  }
  add(owner: Buffer, parts: readonly Uint8Array[]): ExtentRef {
    throw new Error(`soon ${String([owner, parts])}`);
  }
  read(ref: ExtentRef, offset: number, length: number): Buffer[] {
    throw new Error(`soon ${String([ref, offset, length])}`);
  }
  write(
    components: { readonly fileSystem: FileSystem; readonly codec: BlockCodec },
    path: string,
  ): Promise<ExtentFileInfo> {
    throw new Error(`soon ${String([components, path])}`);
  }
}
