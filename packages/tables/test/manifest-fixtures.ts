/** Manifests for tests. */
import type { FileId, Lsn } from '@holdfast/core';
import type { Manifest } from '../src/manifest.ts';

/** A small manifest that makes sense; `writtenAtMs` tells two of one generation apart. */
export function manifestOf(generation: number, changes: Partial<Manifest> = {}): Manifest {
  return {
    generation,
    previousDigest: Buffer.alloc(32),
    writerEpoch: 1,
    nextFileId: 10,
    cleanShutdown: false,
    writtenAtMs: 1000 + generation,
    shards: [
      {
        appliedLsn: 50 as Lsn,
        tables: [
          {
            fileId: 3 as FileId,
            bytes: 1000,
            rows: 7,
            tombstones: 2,
            firstKey: Buffer.from('a'),
            lastKey: Buffer.from('b'),
            firstLsn: 1 as Lsn,
            lastLsn: 50 as Lsn,
            digest: Buffer.alloc(32, 3),
          },
        ],
      },
      { appliedLsn: 50 as Lsn, tables: [] },
    ],
    extentFiles: [
      {
        fileId: 4 as FileId,
        shard: 1,
        bytes: 900,
        payloadBytes: 500,
        extents: 3,
        liveBytes: 400,
        digest: Buffer.alloc(32, 4),
      },
    ],
    ...changes,
  };
}
