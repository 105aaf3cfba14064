/** Which shard an identity belongs to. The policy is part of the format (FORMAT.md, "Layout"). */
import { crc32c, type ShardId } from '@holdfast/core';

/** Name of the policy below, kept in `layout.json`; another policy gets another name. */
export const HASH_POLICY = 'crc32c-v1';

/** @param shardCount a power of two. */
export function placeInShard(identity: string, shardCount: number): ShardId {
  return (crc32c(Buffer.from(identity, 'utf8')) & (shardCount - 1)) as ShardId;
}
