/** Rot of a repository: whatever is damaged, gone, swapped or old is named, and nothing appears. */
import {
  hasCode,
  type HoldfastError,
  isHoldfastError,
  type KeyRing,
  MemoryFileSystem,
  NodeRandom,
} from '@holdfast/core';
import { MemoryObjectStore, type ObjectStore, readObject } from '@holdfast/objects';
import { beforeAll, describe, expect, it } from 'vitest';
import { RepositoryNames } from '../src/backup/repository/repository-names.ts';
import type { SnapshotFile } from '../src/backup/repository/snapshot-manifest.ts';
import { restoreDatabase, type RestoreSettings } from '../src/index.ts';
import { BackedUpDatabase, ringOf, type Rows, rowsIn, StepClock } from './backed-up-database.ts';

const INTO = '/restored';
/** Of damage; and of a newest thing that is not there any more. */
const REFUSALS = [
  'CHECKSUM_MISMATCH',
  'FILE_MISSING',
  'FORMAT_INVALID',
  'FORMAT_UNSUPPORTED',
  'LSN_GAP',
  'RESTORE_GAP',
  'REPOSITORY_NOT_FOUND',
];
const LARGE_OBJECT = 700;

type Objects = ReadonlyMap<string, Buffer>;

async function contentOf(store: ObjectStore): Promise<Map<string, Buffer>> {
  const objects = new Map<string, Buffer>();
  for (const { key } of (await store.list()).objects) {
    objects.set(key, await readObject(store, key, { maxBytes: 1 << 24 }));
  }
  return objects;
}

async function storeOf(objects: Objects): Promise<ObjectStore> {
  const store = new MemoryObjectStore({ clock: new StepClock() });
  for (const [key, bytes] of objects) await store.put(key, bytes);
  return store;
}

async function restored(
  objects: Objects,
  keys: KeyRing | undefined,
  settings: Partial<RestoreSettings> = {},
): Promise<Rows> {
  const fileSystem = new MemoryFileSystem();
  const components = { fileSystem, clock: new StepClock(), random: new NodeRandom() };
  try {
    await restoreDatabase(
      { ...components, objects: await storeOf(objects), keys },
      { into: INTO, target: 'latest', verify: 'quick', ...settings },
    );
  } catch (error) {
    expect(await fileSystem.stat(INTO)).toBeUndefined();
    throw error;
  }
  return (await rowsIn(fileSystem, INTO, keys)).rows;
}

async function refusalOf(objects: Objects, keys: KeyRing | undefined): Promise<HoldfastError> {
  const error: unknown = await restored(objects, keys).then(
    () => undefined,
    (refusal: unknown) => refusal,
  );
  if (!isHoldfastError(error)) throw new Error(`no refusal but ${String(error)}`);
  expect(REFUSALS).toContain(error.code);
  return error;
}

/** The kind of an object, by its name. */
function kindOf(key: string): string {
  return key.split('/')[1] ?? key;
}

/** The last of the 14 records. */
function isEndOfArchive(key: string): boolean {
  return new RepositoryNames(key.split('/')[0] as string).pieceOf(key)?.lastLsn === 14;
}

describe.each([
  ['plain', undefined],
  ['encrypted', ringOf(5)],
])('in a repository that is %s', (_, keys) => {
  let objects: Map<string, Buffer>;
  let rows: Rows;
  /** What the restore of the latest state reads. */
  let needed: string[];

  beforeAll(async () => {
    const database = await BackedUpDatabase.create({ keys });
    for (let i = 0; i < 4; i++) await database.write({ [`a${i}`]: 'x'.repeat(300 * i) });
    await database.archive(2);
    const { snapshotId } = await database.snapshot();
    for (let i = 0; i < 4; i++) await database.write({ [`a${i}`]: `${i}`, [`b${i}`]: `${i}` });
    await database.archive(2);
    const newest = await database.snapshot();
    await database.claim(1, 9);
    for (let i = 0; i < 6; i++) await database.write({ [`c${i}`]: `${i}` });
    await database.archive(2);
    objects = await contentOf(database.store);
    rows = database.states.get(14) as Rows;
    const { names } = database.repository;
    const parts = newest.files.flatMap((file) => file.parts.map(({ hash }) => names.part(hash)));
    needed = [...objects.keys()].filter((key) => {
      if (kindOf(key) === 'parts') return parts.includes(key);
      if (kindOf(key) === 'snapshots') return key !== names.snapshot(snapshotId);
      const piece = names.pieceOf(key);
      return piece === undefined || piece.epoch === 2;
    });
    expect(new Set(needed.map(kindOf))).toEqual(
      new Set(['layout.json', 'writers', 'archive', 'snapshots', 'parts']),
    );
    expect(await restored(objects, keys)).toEqual(rows);
  });

  it('each byte flipped of an object that is read is refused, and the object named', async () => {
    let flips = 0;
    for (const key of needed) {
      const bytes = objects.get(key) as Buffer;
      for (let at = 0; at < bytes.length; at += bytes.length > LARGE_OBJECT ? 61 : 3) {
        const harmed = Buffer.from(bytes);
        harmed.writeUInt8((bytes[at] as number) ^ (1 << (at % 8)), at);
        const error = await refusalOf(new Map(objects).set(key, harmed), keys);
        expect(`${error.message} ${JSON.stringify(error.details)}`).toContain(key);
        flips++;
      }
    }
    expect(flips).toBeGreaterThan(500);
  }, 60_000);

  it('each object that is read, cut short, made longer or empty, is refused', async () => {
    for (const key of needed) {
      const bytes = objects.get(key) as Buffer;
      for (const harmed of [
        bytes.subarray(0, bytes.length - 1),
        bytes.subarray(0, bytes.length / 2),
        Buffer.alloc(0),
        Buffer.concat([bytes, Buffer.alloc(64)]),
        Buffer.alloc(bytes.length),
      ]) {
        // A layout is text: zeros behind it are damage, but a line less is not.
        if (kindOf(key) === 'layout.json' && harmed.length === bytes.length - 1) continue;
        await refusalOf(new Map(objects).set(key, harmed), keys);
      }
    }
  });

  it('each object that is read is missed by name', async () => {
    for (const key of needed) {
      const without = new Map(objects);
      without.delete(key);
      if (kindOf(key) === 'snapshots') {
        // Without the newest snapshot the one before it leads there as well.
        expect(await restored(without, keys)).toEqual(rows);
        continue;
      }
      // Of the end of the archive nothing but a watermark knows.
      if (isEndOfArchive(key)) continue;
      await refusalOf(without, keys);
    }
  });

  it('one object under the name of another, or an older one under a newer, are refused', async () => {
    let swaps = 0;
    for (const key of needed) {
      for (const [other, bytes] of objects) {
        if (other === key || kindOf(other) !== kindOf(key)) continue;
        await refusalOf(new Map(objects).set(key, bytes), keys);
        swaps++;
      }
    }
    expect(swaps).toBeGreaterThan(20);
  });

  it('what is not read may be damaged', async () => {
    for (const key of objects.keys()) {
      if (needed.includes(key)) continue;
      expect(await restored(new Map(objects).set(key, Buffer.from('?')), keys)).toEqual(rows);
    }
  });

  it('an old state of the whole bucket is noticed by the watermark, and accepted on purpose', async () => {
    const old = new Map([...objects].filter(([key]) => !/archive\/0{15}2\/0{14}13/.test(key)));
    expect(old.size).toBe(objects.size - 1);
    const fileSystem = new MemoryFileSystem();
    const components = { fileSystem, clock: new StepClock(), random: new NodeRandom(), keys };
    const into = async (place: string, from: Objects, acceptRollback = false): Promise<number> => {
      const settings = { into: place, target: 'latest', watermarkPath: '/seen' } as const;
      const stored = { ...components, objects: await storeOf(from) };
      return (await restoreDatabase(stored, { ...settings, acceptRollback })).lsn;
    };
    expect(await into('/first', old)).toBe(12);
    expect(await into('/second', objects)).toBe(14);
    await expect(into('/third', old)).rejects.toMatchObject({ code: 'REPOSITORY_ROLLED_BACK' });
    expect(await fileSystem.stat('/third')).toBeUndefined();
    const without = new Map([...objects].filter(([key]) => !/(writers|archive)\/0{15}2/.test(key)));
    await expect(into('/third', without)).rejects.toMatchObject({ code: 'REPOSITORY_ROLLED_BACK' });
    expect(await into('/third', old, true)).toBe(12);
    expect(await into('/fourth', old)).toBe(12);
    const watermark = await fileSystem.open('/seen', 'write');
    await watermark.write(Buffer.from('?'), 20);
    await watermark.close();
    await expect(into('/fifth', objects)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
  });
});

describe('a snapshot whose manifest is whole and not true', () => {
  type Forged = (files: readonly SnapshotFile[]) => readonly SnapshotFile[];

  /** A newer snapshot at the same LSN, of other files. */
  async function refusalOfForged(forged: Forged): Promise<HoldfastError> {
    const database = await BackedUpDatabase.create();
    for (let i = 1; i < 9; i++) await database.write({ [`a${i}`]: `${i}`.repeat(700) });
    const { files, ...snapshot } = await database.snapshot();
    const changed = forged(files);
    const totalBytes = changed.reduce((sum, { bytes }) => sum + bytes, 0);
    const snapshotId = database.repository.names.snapshotId(snapshot.lsn, Buffer.alloc(8, 255));
    await database.repository.putSnapshot({ ...snapshot, snapshotId, files: changed, totalBytes });
    return refusalOf(await contentOf(database.store), undefined);
  }

  it('parts in another order are not the file', async () => {
    const error = await refusalOfForged((files) =>
      files.map((file) => {
        const [first, second, ...rest] = file.parts;
        if (first === undefined || second === undefined || rest.length === 0) return file;
        return { ...file, parts: [second, first, ...rest] };
      }),
    );
    expect(error.code).toBe('CHECKSUM_MISMATCH');
    expect(error.message).toMatch(/the parts of a file are not the file .*extent/);
  });

  it.each<[string, Forged]>([
    ['without one of its files', (files) => files.filter(({ name }) => !name.startsWith('table'))],
    [
      'with a file that nothing names',
      (files) => [...files, { ...(files[0] as SnapshotFile), name: 'table-0000000000000099.hft' }],
    ],
    [
      'with another file under a name',
      (files) => {
        const [one, other] = files.filter(({ name }) => name.startsWith('table'));
        if (one === undefined || other === undefined) throw new Error('there are two tables');
        return files.map((file) => (file === one ? { ...other, name: one.name } : file));
      },
    ],
  ])('%s contradicts the manifest of the database', async (_, forged) => {
    const error = await refusalOfForged(forged);
    expect(error.message).toContain('do not belong together');
  });
});

it('a piece that does not go on from the one before it is refused', async () => {
  const database = await BackedUpDatabase.create();
  for (let i = 0; i < 6; i++) await database.write({ [`a${i}`]: `${i}` });
  await database.archive(2);
  expect(await restored(await contentOf(database.store), undefined)).toEqual(
    database.states.get(6),
  );
  await database.putPiece(3, 4); // the same records, behind another piece
  const error = await refusalOf(await contentOf(database.store), undefined);
  expect(error).toMatchObject({ code: 'LSN_GAP', details: { firstLsn: 3 } });
});

describe('which repository, and which keys', () => {
  it('two databases in one bucket never meet, and which one is meant has to be said', async () => {
    const store = new MemoryObjectStore({ clock: new StepClock() });
    const databases = [
      await BackedUpDatabase.create({ store }),
      await BackedUpDatabase.create({ store }),
    ];
    for (const [index, database] of databases.entries()) {
      await database.write({ mine: `${index}` });
      await database.archive();
    }
    await store.put('another thing', Buffer.from('?'));
    await store.put('folder/of/others', Buffer.from('?'));
    const objects = await contentOf(store);
    const ids = databases.map(({ repository }) => repository.names.id).sort();
    await expect(restored(objects, undefined)).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
      message: expect.stringContaining(`there=${ids.join(',')}`) as string,
    });
    for (const [index, { repository }] of databases.entries()) {
      const repositoryId = repository.names.id;
      expect(await restored(objects, undefined, { repositoryId })).toEqual({ mine: `${index}` });
    }
    for (const repositoryId of ['0'.repeat(32), 'nonsense']) {
      const refused = restored(objects, undefined, { repositoryId });
      await expect(refused).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    }
    await expect(restored(new Map(), undefined)).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
  });

  it('a repository to which nothing was written yet is no damage', async () => {
    const database = await BackedUpDatabase.create();
    const objects = await contentOf(database.store);
    const nothing = { code: 'RESTORE_TARGET_UNREACHABLE' };
    await expect(restored(objects, undefined)).rejects.toMatchObject(nothing);
    const claimless = new Map([...objects].filter(([key]) => kindOf(key) === 'layout.json'));
    await expect(restored(claimless, undefined)).rejects.toMatchObject(nothing);
  });

  it('wrong, missing and needless keys are told apart before anything is fetched', async () => {
    const database = await BackedUpDatabase.create({ keys: ringOf(1) });
    await database.write({ secret: 'plain as day' });
    await database.archive();
    const objects = await contentOf(database.store);
    const codes = [
      [undefined, 'KEY_REQUIRED'],
      [ringOf(2), 'KEY_WRONG'],
    ] as const;
    for (const [keys, code] of codes) {
      await expect(restored(objects, keys)).rejects.toMatchObject({ code });
    }
    expect(await restored(objects, ringOf(2, 1))).toEqual({ secret: 'plain as day' });
    for (const bytes of objects.values()) expect(bytes.includes('plain as day')).toBe(false);
    const open = await BackedUpDatabase.create();
    await expect(restored(await contentOf(open.store), ringOf(1))).rejects.toMatchObject({
      code: 'KEY_NOT_EXPECTED',
    });
  });

  it('restored under another active key, what was encrypted with the old one is still read', async () => {
    const database = await BackedUpDatabase.create({ keys: ringOf(1) });
    await database.write({ a: 'old key' });
    await database.snapshot();
    await database.write({ b: 'in the log' });
    await database.archive();
    const objects = await contentOf(database.store);
    const rows = await restored(objects, ringOf(9, 1), { verify: 'full' });
    expect(rows).toEqual({ a: 'old key', b: 'in the log' });
    const stripped = restored(objects, ringOf(9), { verify: 'full' });
    await expect(stripped).rejects.toSatisfy((error) => hasCode(error, 'KEY_WRONG'));
  });
});
