import type { Lsn } from '@holdfast/core';
import { assertObjectKey } from '@holdfast/objects';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRepositoryId, repositoryId, RepositoryNames } from './repository-names.ts';

const id = repositoryId(Buffer.alloc(16, 1));
const names = new RepositoryNames(id);
const counts = fc.nat(2 ** 31).map((n) => n * 2 ** 20);

const pieces = fc
  .record({
    epoch: counts,
    lsns: fc.tuple(counts, counts),
    times: fc.tuple(counts, counts),
    keyId: fc.integer({ min: 0, max: 0xffffffff }),
  })
  .map(({ epoch, lsns, times, keyId }) => ({
    epoch,
    firstLsn: Math.min(...lsns) as Lsn,
    lastLsn: Math.max(...lsns) as Lsn,
    fromMs: Math.min(...times),
    toMs: Math.max(...times),
    keyId,
  }));

describe('names of a repository', () => {
  it('say the same when they are read as when they were made, and are good keys', () => {
    const random = fc.uint8Array({ minLength: 8, maxLength: 8 });
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(pieces, counts, random, hash, (piece, number, chance, digest) => {
        const lsn = number as Lsn;
        const part = Buffer.from(digest).toString('hex');
        const mark = { lsn, epoch: piece.epoch };
        const snapshotId = names.snapshotId(lsn, chance);
        expect(names.pieceOf(names.piece(piece))).toEqual(piece);
        expect(names.epochOfClaim(names.claim(number))).toBe(number);
        expect(names.markOf(names.mark(mark))).toEqual(mark);
        expect(names.hashOfPart(names.part(part))).toBe(part);
        expect(names.snapshotOf(names.snapshot(snapshotId))).toEqual({ id: snapshotId, lsn });
        const keys = [names.piece(piece), names.claim(number), names.mark(mark), names.part(part)];
        for (const key of [...keys, names.snapshot(snapshotId), names.layout, names.lease]) {
          assertObjectKey(key);
        }
      }),
    );
  });

  it('stand in the order of their numbers', () => {
    fc.assert(
      fc.property(pieces, pieces, (a, b) => {
        const [one, other] = [names.piece(a), names.piece(b)];
        const order = a.epoch - b.epoch || a.firstLsn - b.firstLsn || a.lastLsn - b.lastLsn;
        if (order !== 0) expect(one < other).toBe(order < 0);
        const from = names.piecesFrom(b.epoch, b.firstLsn);
        if (a.epoch === b.epoch) expect(one > from).toBe(a.firstLsn >= b.firstLsn);
      }),
    );
  });

  it('of something else, or of another repository, are not taken for one', () => {
    const other = new RepositoryNames(repositoryId(Buffer.alloc(16, 2)));
    const piece = {
      ...{ epoch: 1, firstLsn: 5 as Lsn, lastLsn: 9 as Lsn, fromMs: 1, toMs: 2, keyId: 0 },
    };
    const key = names.piece(piece);
    const backwards = [
      { ...piece, lastLsn: 4 as Lsn },
      { ...piece, toMs: 0 },
    ];
    const wrong = [
      ...[`${key}0`, key.slice(0, -1), key.replace('/archive/', '/archives/'), `x${key}`],
      ...[key.toUpperCase(), other.piece(piece), ...backwards.map((name) => names.piece(name))],
    ];
    for (const name of wrong) expect(names.pieceOf(name), name).toBeUndefined();
    for (const text of ['1', '00000000000000010', '000000000000000x', '9'.repeat(16), '']) {
      expect(names.epochOfClaim(names.claims + text), text).toBeUndefined();
    }
    const hash = 'a'.repeat(64);
    for (const text of [`ab/${hash}`, hash, `aa/${hash}0`, `aa/${hash.toUpperCase()}`]) {
      expect(names.hashOfPart(names.parts + text), text).toBeUndefined();
    }
    expect(names.snapshotOf(`${names.snapshots}5-${'a'.repeat(16)}`)).toBeUndefined();
  });

  it('are of one database, and do not give its id away', () => {
    expect(isRepositoryId(id)).toBe(true);
    expect(isRepositoryId(`${id}0`)).toBe(false);
    expect(id).not.toBe(repositoryId(Buffer.alloc(16, 2)));
    expect(id).not.toContain(Buffer.alloc(8, 1).toString('hex'));
  });
});
