import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryFileSystem, NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { openFsObjectStore } from '@holdfast/objects';
import { objectStoreConformance } from '@holdfast/objects/conformance';
import { SeededRandom, SimClock, SimFs } from '@holdfast/testkit';
import { describe, it } from 'vitest';

const seams = { clock: new NodeClock(), random: new NodeRandom() };

describe('fs object store on the real disk', () => {
  objectStoreConformance({
    it,
    open: async () => {
      const directory = await mkdtemp(join(tmpdir(), 'holdfast-objects-'));
      const components = { fileSystem: new NodeFileSystem(), ...seams };
      return {
        store: await openFsObjectStore({ directory }, components),
        reopen: () => openFsObjectStore({ directory }, components),
        close: () => rm(directory, { recursive: true, force: true }),
      };
    },
  });
});

describe('fs object store in memory', () => {
  objectStoreConformance({
    it,
    open: async () => {
      const components = { fileSystem: new MemoryFileSystem(), ...seams };
      const directory = '/objects';
      return {
        store: await openFsObjectStore({ directory }, components),
        reopen: () => openFsObjectStore({ directory }, components),
      };
    },
  });
});

describe('fs object store on a simulated disk with interleaved calls', () => {
  let clock: SimClock;
  objectStoreConformance({
    it: Object.assign(
      (title: string, run: () => Promise<void>) =>
        it(title, async () => {
          for (let seed = 1; seed <= 3; seed++) {
            clock = new SimClock(new SeededRandom(seed));
            await clock.run(run());
          }
        }),
      // The suite's own skips, each with its reason in the title.
      { skip: it.skip },
    ),
    open: async () => {
      const world = clock;
      const fileSystem = new SimFs({ yieldPoint: () => world.yieldPoint() });
      const components = { fileSystem, clock: world, random: new SeededRandom(7) };
      const directory = '/objects';
      return {
        store: await openFsObjectStore({ directory }, components),
        reopen: () => openFsObjectStore({ directory }, components),
      };
    },
    largeBytes: 300_000,
  });
});
