/** The parsers of tables, extent files and manifests: the pieces, and whole damaged files. */
import { isHoldfastError } from '@holdfast/core';
import { type FuzzTarget, resealBlock, type SeededRandom, SimFs } from '@holdfast/testkit';
import { decodeExtentFooter, encodeExtentFooter } from '../src/extent-format.ts';
import { decodeExtentRef, encodeExtentRef, type ExtentRef } from '../src/extent-ref.ts';
import { encodeKeyFilter, filterMayHold, hashKey } from '../src/key-filter.ts';
import { decodeManifest, encodeManifest, type Manifest } from '../src/manifest.ts';
import { ManifestStore } from '../src/manifest-store.ts';
import { postableError, receivedError } from '../src/compaction-message.ts';
import { RowBlock, RowBlockBuilder } from '../src/row-block.ts';
import type { Row } from '../src/row.ts';
import { decodeBlockPlace, decodeTableFooter, decodeTableRoot } from '../src/table-format.ts';
import { encodeBlockPlaces, encodeTableFooter, encodeTableRoot } from '../src/table-format.ts';
import { counting, makeExtents, openExtents } from './extent-fixtures.ts';
import { manifestOf } from './manifest-fixtures.ts';
import {
  codec,
  collect,
  DATABASE_ID,
  DIRECTORY,
  makeTable,
  numberedRows,
  openTable,
  plain,
  row,
} from './table-fixtures.ts';

const MAGIC = Buffer.from('HFBK');
const FILE = 1024 * 1024;

const rows = [row('apple', 'red'), row('banana'), row('cherry', 'x'.repeat(90)), row('date', '')];

const rowBlock = ((): Buffer => {
  const builder = new RowBlockBuilder(64);
  for (const { key, value } of rows) builder.add(key, value);
  return builder.finish();
})();

const rowBlockTarget: FuzzTarget<Row[]> = {
  name: 'row-block',
  corpus: [rowBlock, new RowBlockBuilder(8).finish()],
  codes: ['FORMAT_INVALID'],
  parse(input) {
    const block = new RowBlock(input);
    for (const { key } of rows) block.get(key);
    return block.slice(0, Math.min(block.count, 10_000));
  },
  check(found, input) {
    if (found.length * 4 > input.length) throw new Error('more rows than fit');
  },
};

const keyFilterTarget: FuzzTarget<boolean[]> = {
  name: 'key-filter',
  corpus: [
    encodeKeyFilter(rows.map(({ key }) => hashKey(key))),
    encodeKeyFilter([1]),
    encodeKeyFilter([1]).fill(0xff, 8), // every probe is a hit: only their bound ends it
  ],
  codes: ['FORMAT_INVALID'],
  parse: (input) => rows.map(({ key }) => filterMayHold(input, hashKey(key))),
};

/** One byte says which of the small layouts the rest is. */
const formatTarget: FuzzTarget = {
  name: 'table-format',
  corpus: [
    Buffer.concat([Buffer.of(0), encodeBlockPlaces([{ position: 64, payloadLength: 9 }])]),
    Buffer.concat([
      Buffer.of(1),
      encodeTableFooter({
        root: { position: 4096, payloadLength: 80 },
        rows: 9,
        tombstones: 2,
        firstLsn: 1 as never,
        lastLsn: 7 as never,
      }),
    ]),
    Buffer.concat([Buffer.of(2), encodeTableRoot(Buffer.from('key'), rowBlock)]),
    Buffer.concat([
      Buffer.of(3),
      encodeExtentFooter({ blockBytes: 64, payloadBytes: 500, extents: 3, directoryPosition: 900 }),
    ]),
    Buffer.concat([Buffer.of(4), encodeExtentRef({ fileId: 3, position: 5, length: 7 })]),
  ],
  codes: ['FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  parse(input) {
    const bytes = input.subarray(1);
    if (input[0] === 0) return decodeBlockPlace(bytes, 0);
    if (input[0] === 1) return decodeTableFooter(bytes, 'x');
    if (input[0] === 2) return new RowBlock(decodeTableRoot(bytes).groups).count;
    if (input[0] === 3) return decodeExtentFooter(bytes, 'x');
    return decodeExtentRef(bytes);
  },
};

const compactionMessageTarget: FuzzTarget = {
  name: 'compaction-message',
  corpus: ['LSN_GAP', 'toString', '__proto__', 'constructor'].map((code) => Buffer.from(code)),
  codes: [],
  parse(input) {
    const posted = { ...postableError(new Error('x')), code: input.toString('latin1') };
    const error = receivedError(posted);
    if (!isHoldfastError(error) || error.kind === undefined) throw new Error('not a typed error');
  },
};

const manifests = [
  manifestOf(5),
  manifestOf(5, { shards: [], extentFiles: [], cleanShutdown: true }),
].map((manifest) => encodeManifest(manifest, codec));

const manifestTarget: FuzzTarget<Manifest> = {
  name: 'manifest',
  corpus: manifests,
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  reseal: (mutant, random) => resealBlock(DATABASE_ID, mutant, random),
  parse: (input) => decodeManifest(input, codec, { generation: 5, path: 'x' }),
  check(manifest, input, sealed) {
    if (encodeManifest(manifest, codec).length !== input.length) throw new Error('not the same');
    const { shards, extentFiles, nextFileId } = manifest;
    const tables = shards.flatMap((shard) => shard.tables);
    const ids = [...tables, ...extentFiles].map(({ fileId }) => fileId);
    if (new Set(ids).size < ids.length || ids.some((id) => id < 1 || id >= nextFileId)) {
      throw new Error('a file id that is given out twice');
    }
    if (extentFiles.some((file) => file.liveBytes > file.payloadBytes)) throw new Error('live');
    if (tables.some(({ rows: count, tombstones }) => tombstones > count)) throw new Error('rows');
    if (!sealed && !manifests.some((each) => each.equals(input)))
      throw new Error('damage is taken');
  },
};

/** The newest of two manifests in a directory. */
const manifestStoreTarget: FuzzTarget = {
  name: 'manifest-store',
  corpus: manifests,
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  cost: 3,
  allowedBytes: FILE,
  reseal: (mutant, random) => resealBlock(DATABASE_ID, mutant, random),
  async parse(input) {
    const fileSystem = new SimFs();
    await fileSystem.makeDirectory(DIRECTORY);
    const first = await ManifestStore.open({ fileSystem, codec }, DIRECTORY);
    for (let generation = 1; generation <= 5; generation++) {
      await first.store.commit(manifestOf(generation));
    }
    const { disk } = fileSystem;
    const newest = disk.content(disk.paths().sort().at(-1) as string);
    // What a mutant of another corpus says of the one before it does not fit this directory.
    if (input.length >= 110) newest.copy(input, 64 + 11, 64 + 11, 64 + 11 + 32);
    resealBlock(DATABASE_ID, input, ALWAYS);
    for (const path of disk.paths()) {
      if (disk.content(path).equals(newest)) disk.replaceContent(path, input); // and its mirror
    }
    const { store, manifest } = await ManifestStore.open({ fileSystem, codec }, DIRECTORY);
    await store.commit(manifestOf(store.generation + 1));
    return manifest;
  },
};

/** A reseal that always makes the block reach to the end. */
const ALWAYS = { chance: () => true } as unknown as SeededRandom;

const tableDisk = new SimFs();
await tableDisk.makeDirectory(DIRECTORY);
const many = numberedRows(40, 12);
const table = await makeTable(tableDisk, many, { blockBytes: 120 });
const tableBytes = tableDisk.disk.content(table.path);

const tableTarget: FuzzTarget<Row[]> = {
  name: 'table',
  corpus: [tableBytes],
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  cost: 3,
  allowedBytes: 4 * FILE,
  reseal: (mutant, random) => resealFile(mutant, random, tableBytes),
  async parse(input) {
    tableDisk.disk.replaceContent(table.path, fitted(input, tableBytes));
    const open = await openTable(tableDisk, table);
    try {
      for (const { key } of [many[0], many[17]] as Row[]) await open.get(key);
      await open.get(Buffer.from('zzz'));
      await open.verify(() => undefined);
      return await collect(open.scan());
    } finally {
      await open.retire();
    }
  },
  check(found, input, sealed) {
    if (found.length * 4 > input.length) throw new Error('more rows than fit');
    if (!sealed) {
      const same = JSON.stringify(plain(found)) === JSON.stringify(plain(many));
      if (!same) throw new Error('other rows than were written');
    }
  },
};

const extentDisk = new SimFs();
await extentDisk.makeDirectory(DIRECTORY);
const extents = await makeExtents(extentDisk, [
  [counting(200)],
  [counting(10), counting(100, 7)],
  [counting(1)],
]);
const extentBytes = extentDisk.disk.content(extents.path);

const extentTarget: FuzzTarget<{ data: Buffer; refs: ExtentRef[] }> = {
  name: 'extent-file',
  corpus: [extentBytes],
  codes: ['CHECKSUM_MISMATCH', 'FORMAT_INVALID', 'FORMAT_UNSUPPORTED'],
  cost: 3,
  allowedBytes: 4 * FILE,
  reseal: (mutant, random) => resealFile(mutant, random, extentBytes),
  async parse(input) {
    extentDisk.disk.replaceContent(extents.path, fitted(input, extentBytes));
    const open = await openExtents(extentDisk, extents);
    try {
      await open.verify(() => undefined);
      const data = Buffer.concat(await open.read(0, extents.info.payloadBytes));
      const refs = (await collect(open.directory())).map(({ ref }) => ref);
      return { data, refs };
    } finally {
      await open.retire();
    }
  },
  check({ data, refs }, _input, sealed) {
    if (data.length !== extents.info.payloadBytes) throw new Error('another length');
    for (const { position, length } of refs) {
      if (position + length > data.length) throw new Error('an extent reaches outside');
    }
    if (!sealed && !data.equals(extents.payload)) throw new Error('other bytes than written');
  },
};

/** Files of another length are refused by their length: mostly give it the right one. */
function fitted(input: Buffer, whole: Buffer): Buffer {
  if (input.length % 5 === 0) return input;
  const bytes = Buffer.alloc(whole.length);
  input.copy(bytes);
  return bytes;
}

/** Each block of the original, where it stood. */
function resealFile(mutant: Buffer, random: SeededRandom, whole: Buffer): Buffer {
  const starts: number[] = [];
  for (let at = whole.indexOf(MAGIC); at >= 0; at = whole.indexOf(MAGIC, at + 1)) starts.push(at);
  starts.forEach((at, index) => {
    resealBlock(DATABASE_ID, mutant, random, at, starts[index + 1] ?? whole.length);
  });
  return mutant;
}

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  rowBlockTarget,
  keyFilterTarget,
  formatTarget,
  compactionMessageTarget,
  manifestTarget,
  manifestStoreTarget,
  tableTarget,
  extentTarget,
];
