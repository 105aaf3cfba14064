/** The parsers of the database: layout, transaction, and a directory with one damaged file. */
import { createSecretKey } from 'node:crypto';
import { HoldfastError, KeyRing } from '@holdfast/core';
import {
  type FuzzTarget,
  resealBlock,
  resealHeader,
  type SeededRandom,
  SeededRandom as Seeded,
} from '@holdfast/testkit';
import { SimClock, SimFs } from '@holdfast/testkit';
import { openDatabase } from '../src/index.ts';
import { type Layout, readLayout, writeLayout } from '../src/layout.ts';
import {
  decodeTransaction,
  encodeTransaction,
  type StoredSubRecord,
} from '../src/transaction-record.ts';
import { RowEngine } from './row-engine.ts';

const DIR = '/data';
const MAGIC = Buffer.from('HFBK');

const transactionTarget: FuzzTarget<StoredSubRecord[]> = {
  name: 'transaction',
  corpus: [
    encodeTransaction([
      { type: 0x8010, shard: 1, parts: [Buffer.from('one')] },
      { type: 0x8011, shard: 0, parts: [] },
    ]),
    encodeTransaction([]),
  ].map((parts) => Buffer.concat(parts)),
  codes: ['FORMAT_INVALID'],
  parse: (input) => decodeTransaction(input),
  check(records, input) {
    const again = Buffer.concat(
      encodeTransaction(records.map((record) => ({ ...record, parts: [record.payload] }))),
    );
    if (again.length > input.length) throw new Error('more than there was');
  },
};

async function layoutTargetOf(
  name: string,
  layout: Layout,
): Promise<FuzzTarget<Layout | undefined>> {
  const disk = new SimFs();
  await disk.makeDirectory(DIR);
  await writeLayout(disk, DIR, layout);
  const written = disk.disk.content(`${DIR}/layout.json`);
  return {
    name,
    corpus: [written],
    tokens: [
      '"shardCount": ',
      '__proto__',
      '1e99',
      '-1',
      '3',
      'null',
      '[]',
      '{}',
      '"check": "',
      '"keys": {',
      '"0000000a": "',
    ],
    codes: ['CHECKSUM_MISMATCH'],
    // Only a whole layout is of another version: `layout-version.test.ts` makes one.
    rareCodes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
    async parse(input) {
      const fs = new SimFs();
      await fs.makeDirectory(DIR);
      await writeLayout(fs, DIR, layout);
      fs.disk.replaceContent(`${DIR}/layout.json`, input);
      return readLayout(fs, DIR);
    },
    check(found) {
      const same =
        found?.shardCount === 4 &&
        found.databaseId.equals(layout.databaseId) &&
        JSON.stringify(found.keys) === JSON.stringify(layout.keys);
      if (!same) throw new Error('another layout');
    },
  };
}

const layout: Layout = { databaseId: Buffer.alloc(16, 9), shardCount: 4 };
const layoutKeys = { '0badcafe': '0123456789abcdef', '12345678': 'fedcba9876543210' };
const layoutTargets = [
  await layoutTargetOf('layout', layout),
  await layoutTargetOf('layout-encrypted', { ...layout, keys: layoutKeys }),
];

const ROWS = new Map(
  Array.from({ length: 12 }, (_, i) => [`key-${i}`, Buffer.alloc(i * 700, i)] as const),
);

/** A directory after a clean stop: some rows in tables, some in extents, the last in the log. */
async function makeDirectory(encrypted: boolean): Promise<Map<string, Buffer>> {
  const life = new Life(new SimFs(), encrypted);
  const rows = new RowEngine();
  await life.open(rows, async (database) => {
    for (const [key, value] of ROWS) await rows.write(new Map([[key, value]]));
    await database.checkpoint();
  });
  const { disk } = life.fs;
  return new Map(disk.paths().map((path) => [path, disk.content(path)]));
}

class Life {
  readonly fs: SimFs;
  readonly #keys: { keys?: KeyRing };

  constructor(fs: SimFs, encrypted: boolean) {
    const random = new Seeded(3);
    this.fs = fs;
    this.#keys = encrypted
      ? { keys: new KeyRing([createSecretKey(Buffer.alloc(32, 1))], random) }
      : {};
  }

  open(
    rows: RowEngine,
    work: (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<void>,
  ): Promise<void> {
    const clock = new SimClock(new Seeded(1));
    const run = async (): Promise<void> => {
      const database = await openDatabase(
        { fileSystem: this.fs, clock, random: new Seeded(7), ...this.#keys },
        {
          dir: DIR,
          shardCount: 2,
          segmentTargetBytes: 16 * 1024,
          preallocateBytes: 8 * 1024,
          diskReserveBytes: 0,
        },
        [rows],
      );
      try {
        await work(database);
      } finally {
        await database.close();
      }
    };
    return clock.run(run());
  }
}

async function directoryTargetOf(encrypted: boolean): Promise<FuzzTarget> {
  const files = await makeDirectory(encrypted);
  const paths = [...files.keys()].filter((path) => !path.endsWith('LOCK')).sort();
  const databaseId = Buffer.from(
    (JSON.parse(files.get(`${DIR}/layout.json`)?.toString() ?? '{}') as { databaseId: string })
      .databaseId,
    'hex',
  );

  /** Eight bytes say which file the rest replaces. */
  const target: FuzzTarget<Map<string, Buffer | undefined>> = {
    name: encrypted ? 'database-directory-encrypted' : 'database-directory',
    corpus: paths.map((path, index) =>
      Buffer.concat([Buffer.alloc(8, index), files.get(path) as Buffer]),
    ),
    codes: ['CHECKSUM_MISMATCH'],
    rareCodes: [
      'FILE_MISSING',
      'FORMAT_INVALID',
      'FORMAT_UNSUPPORTED',
      'LSN_GAP',
      'UNKNOWN_RECORD_TYPE',
      'KEY_MISSING',
      'KEY_REQUIRED',
    ],
    cost: 10,
    allowedBytes: 64 * 1024 * 1024,
    reseal: resealFile,
    async parse(input) {
      const fs = new SimFs();
      await fs.makeDirectory(DIR);
      await fs.makeDirectory(`${DIR}/log`);
      const damaged = paths[(input[0] ?? 0) % paths.length];
      for (const [path, bytes] of files) {
        await (await fs.open(path, 'create')).close();
        fs.disk.replaceContent(path, path === damaged ? input.subarray(8) : bytes);
      }
      const found = new Map<string, Buffer | undefined>();
      const rows = new RowEngine();
      await new Life(fs, encrypted).open(rows, async (database) => {
        await database.verify();
        for (const key of ROWS.keys()) found.set(key, await rows.get(key));
      });
      return found;
    },
    check(found, _input, sealed) {
      if (sealed && !encrypted) return; // without the key nothing passes for what it is not
      for (const [key, value] of ROWS) {
        if (found.get(key)?.equals(value) !== true)
          throw new HoldfastError('LSN_GAP', `lost ${key}`);
      }
    },
  };

  /** Blocks and batches of the original, where they stood. */
  function resealFile(mutant: Buffer, random: SeededRandom): Buffer {
    const original = files.get(paths[(mutant[0] ?? 0) % paths.length] ?? '') ?? Buffer.alloc(0);
    const file = mutant.subarray(8);
    const starts: number[] = [];
    for (let at = original.indexOf(MAGIC); at >= 0; at = original.indexOf(MAGIC, at + 1)) {
      starts.push(at);
    }
    for (const at of starts) {
      const end = at + 64 + original.readUInt32LE(at + 8);
      if (encrypted) resealHeader(databaseId, file, at);
      else resealBlock(databaseId, file, random, at, Math.min(end, file.length));
    }
    return mutant;
  }

  return target as FuzzTarget;
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  transactionTarget,
  ...(layoutTargets as FuzzTarget[]),
  await directoryTargetOf(false),
  await directoryTargetOf(true),
];
