/** What the manifest says about one extent file. */
import type { FileId } from '@holdfast/core';

export interface ExtentFileInfo {
  readonly fileId: FileId;
  /** Size of the file. */
  readonly bytes: number;
  /** Bytes of all extents. */
  readonly payloadBytes: number;
  readonly extents: number;
  /** SHA-256 of the whole file. */
  readonly digest: Buffer;
}
