import type { BlockCodec, FileSystem } from '@holdfast/core';
import type { Manifest } from './manifest.ts';

export class ManifestStore {
  static open(
    components: { readonly fileSystem: FileSystem; readonly codec: BlockCodec },
    directory: string,
  ): Promise<{ store: ManifestStore; manifest: Manifest | undefined }> {
    throw new Error(`soon ${String([components, directory])}`);
  }
  /** Of the last committed manifest; 0 before the first. The next one is one higher. */
  get generation(): number {
    return 0;
  }
  /** What the next manifest holds as `previousDigest`; 32 zero bytes before the first. */
  get digest(): Buffer {
    return Buffer.alloc(32);
  }
  commit(next: Manifest): Promise<void> {
    throw new Error(`soon ${String(next)}`);
  }
}
