import type { CompactionJob, Compactor } from './compaction.ts';
import type { TableInfo } from './table-info.ts';

export interface NodeCompactorSettings {
  /** Bytes of output written per second; default `LIMITS.compactionBytesPerSecond`. */
  readonly bytesPerSecond?: number;
}

export class NodeCompactor implements Compactor {
  constructor(settings: NodeCompactorSettings = {}) {
    void settings;
  }
  compact(job: CompactionJob): Promise<TableInfo | undefined> {
    throw new Error(`soon ${String(job)}`);
  }
  async close(): Promise<void> {}
}
