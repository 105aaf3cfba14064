import { BlockCodec, LIMITS, type Lsn } from '@holdfast/core';
import { MemoryObjectStore } from '@holdfast/objects';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { describe, expect, it } from 'vitest';
import { encodeArchivePiece, NO_TAG } from './archive-piece.ts';
import { type ListedPiece, Repository } from './repository.ts';
import { repositoryId } from './repository-names.ts';
import type { WriterClaim } from './writer-claim.ts';

const DATABASE_ID = Buffer.alloc(16, 7);

function newRepository(): Repository {
  const store = new MemoryObjectStore({ clock: new SimClock(new SeededRandom(1)) });
  return new Repository(store, new BlockCodec(DATABASE_ID), repositoryId(DATABASE_ID));
}

function claimOf(epoch: number): WriterClaim {
  const claimId = epoch.toString(16).padStart(32, '0');
  return { epoch, claimId, parent: epoch - 1, from: 1 as Lsn, shardCount: 1, claimedAtMs: 0 };
}

describe('a repository', () => {
  it('has every claim once, in order, also when there are many pages of them', async () => {
    const repository = newRepository();
    for (let epoch = 1; epoch <= 1_200; epoch++) await repository.putClaim(claimOf(epoch));
    await repository.store.put(`${repository.names.claims}stranger`, Buffer.from('x'));
    const epochs = await repository.epochs();
    expect(epochs).toHaveLength(1_200);
    expect(epochs).toEqual([...epochs].sort((a, b) => a - b));
    expect(await repository.epochs({ after: 1_198 })).toEqual([1_199, 1_200]);
    expect(await repository.claim(7)).toEqual(claimOf(7));
    expect(await repository.claim(1_201)).toBeUndefined();
    await expect(repository.putClaim(claimOf(7))).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    });
  });

  it('gives out a piece only as it was put, and says when it is gone or too large', async () => {
    const repository = newRepository();
    const record = { type: 1, shard: 0, tenant: 0, payload: Buffer.from('one'), committedAtMs: 5 };
    const records = [
      { ...record, lsn: 1 as Lsn },
      { ...record, lsn: 2 as Lsn },
    ];
    const { codec, names, store } = repository;
    const made = encodeArchivePiece(codec, names, { epoch: 2, previousTag: NO_TAG, records });
    await store.put(made.key, made.bytes);
    await store.put(`${names.pieces(2)}stranger`, Buffer.from('x'));
    const listed: ListedPiece[] = [];
    for await (const piece of repository.pieces({ epoch: 2 })) listed.push(piece);
    expect(listed).toEqual([{ ...made.name, key: made.key, bytes: made.bytes.length }]);
    const [piece] = listed as [ListedPiece];
    expect((await repository.readPiece(piece)).records).toEqual(records);
    await store.put(made.key, Buffer.alloc(made.bytes.length));
    await expect(repository.readPiece(piece)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await store.put(made.key, Buffer.alloc(LIMITS.maxArchivePieceBytes + 1));
    await expect(repository.readPiece(piece)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    await store.delete(made.key);
    await expect(repository.readPiece(piece)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  it('does not take a store that is away for one that holds nothing', async () => {
    const repository = newRepository();
    await repository.store.close();
    await expect(repository.claim(1)).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(repository.epochs()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('whose claims vanish while they are read says so', async () => {
    const repository = newRepository();
    await repository.putClaim(claimOf(1));
    const { store } = repository;
    const list = store.list.bind(store);
    store.list = async (options) => {
      const page = await list(options);
      await store.delete(repository.names.claim(1));
      return page;
    };
    await expect(repository.claims()).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });
});
