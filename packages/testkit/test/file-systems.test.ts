/** One contract, three file systems, and the simulated one with interleaved calls. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryFileSystem, NodeFileSystem } from '@holdfast/core';
import { describe, it } from 'vitest';
import { SeededRandom, SimClock, SimFs, fileSystemConformance } from '../src/index.ts';

describe('NodeFileSystem', () => {
  fileSystemConformance({
    it,
    open: async () => {
      const root = await mkdtemp(join(tmpdir(), 'holdfast-fs-'));
      return {
        fs: new NodeFileSystem(),
        root,
        close: () => rm(root, { recursive: true, force: true }),
      };
    },
  });
});

describe('MemoryFileSystem', () => {
  fileSystemConformance({
    it,
    open: async () => {
      const fs = new MemoryFileSystem();
      await fs.makeDirectory('/data');
      return { fs, root: '/data' };
    },
    unsupported: { finiteFreeBytes: 'memory has no boundary of its own' },
  });
});

describe('SimFs', () => {
  fileSystemConformance({
    it,
    open: async () => {
      const fs = new SimFs({ capacityBytes: 1024 * 1024 });
      await fs.makeDirectory('/data');
      return { fs, root: '/data' };
    },
  });
});

describe('SimFs with interleaved calls', () => {
  fileSystemConformance({
    it: Object.assign(
      (title: string, run: () => Promise<void>) =>
        it(title, async () => {
          for (let seed = 1; seed <= 20; seed++) {
            clock = new SimClock(new SeededRandom(seed));
            await clock.run(run());
          }
        }),
      // The suite's own skips, each with its reason in the title.
      { skip: it.skip },
    ),
    open: async () => {
      const world = clock;
      const fs = new SimFs({ capacityBytes: 1024 * 1024, yieldPoint: () => world.yieldPoint() });
      await fs.makeDirectory('/data');
      return { fs, root: '/data' };
    },
  });
  let clock: SimClock;
});
