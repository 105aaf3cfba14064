/**
 * The claim of one writer on a repository. The highest epoch is the one that may write; claims are
 * never changed and never deleted, so they also tell which history each LSN belongs to.
 */
import { type BlockCodec, BLOCK_TYPES, HoldfastError, type Lsn } from '@holdfast/core';
import { isCount, openObject, type ObjectPlace, sealObject } from './sealed-object.ts';

export interface WriterClaim {
  /** From 1; one higher than any before. */
  readonly epoch: number;
  /** 32 hexadecimal digits, random: tells two claims of one epoch apart. */
  readonly claimId: string;
  /** The epoch whose history this one goes on from; 0 for none. */
  readonly parent: number;
  /** The first LSN that is this epoch's: what comes before is the parent's. */
  readonly from: Lsn;
  /** Of the database then: records of another number of shards are of no use to its snapshots. */
  readonly shardCount: number;
  /** Wall clock, ms since 1970. */
  readonly claimedAtMs: number;
}

export function encodeWriterClaim(codec: BlockCodec, key: string, claim: WriterClaim): Buffer {
  return sealObject(codec, placeOf(key, claim.epoch), claim);
}

/** @param epoch as the name says. */
export function decodeWriterClaim(
  codec: BlockCodec,
  key: string,
  epoch: number,
  bytes: Buffer,
): WriterClaim {
  const value = openObject(codec, placeOf(key, epoch), bytes);
  const { claimId, parent, from, shardCount, claimedAtMs } = value;
  if (
    typeof claimId !== 'string' ||
    !/^[0-9a-f]{32}$/.test(claimId) ||
    !isCount(parent) ||
    parent >= epoch ||
    !isCount(from) ||
    from === 0 ||
    !isCount(shardCount) ||
    !isCount(claimedAtMs)
  ) {
    throw new HoldfastError('FORMAT_INVALID', `writer claim makes no sense key=${key}`);
  }
  return { epoch, claimId, parent, from: from as Lsn, shardCount, claimedAtMs };
}

function placeOf(key: string, epoch: number): ObjectPlace {
  return { key, type: BLOCK_TYPES.writerClaim, fileId: epoch, position: 0 };
}
