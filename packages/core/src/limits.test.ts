/**
 * The relations between limits that the code rests on. Each title is the reason: whoever
 * changes a limit and meets a red test here learns what would break.
 */
import { describe, expect, it } from 'vitest';
import { BLOCK_HEADER_BYTES } from './block.ts';
import { LIMITS as L } from './limits.ts';

function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && Math.log2(value) % 1 === 0;
}

describe('every limit', () => {
  it('is a finite number above zero', () => {
    for (const [name, value] of Object.entries(L)) {
      expect(Number.isFinite(value) && value > 0, name).toBe(true);
    }
  });

  it('is a safe integer, but for fractions, which lie between 0 and 1', () => {
    for (const [name, value] of Object.entries(L)) {
      if (name.endsWith('Fraction')) expect(value < 1, name).toBe(true);
      else expect(Number.isSafeInteger(value), name).toBe(true);
    }
  });

  it('of time fits the timers of the platform (24.8 days)', () => {
    for (const [name, value] of Object.entries(L)) {
      if (name.endsWith('Ms')) expect(value, name).toBeLessThan(2 ** 31);
    }
  });
});

describe('log', () => {
  it('a disk block is whole sectors, so that a batch on its own blocks tears no other', () => {
    expect(isPowerOfTwo(L.sectorBytes)).toBe(true);
    expect(isPowerOfTwo(L.blockBytes)).toBe(true);
    expect(L.blockBytes % L.sectorBytes).toBe(0);
  });

  it('a header lies within one sector: a power cut keeps or loses it whole', () => {
    expect(L.sectorBytes % BLOCK_HEADER_BYTES).toBe(0);
  });

  it('zeros are made in whole blocks, growing from the first extension to the full one', () => {
    expect(L.firstExtensionBytes % L.blockBytes).toBe(0);
    expect(L.preallocateBytes % L.firstExtensionBytes).toBe(0);
    expect(isPowerOfTwo(L.preallocateBytes / L.firstExtensionBytes)).toBe(true);
  });

  it('a segment is not outgrown by the zeros made ahead for it', () => {
    expect(L.preallocateBytes).toBeLessThanOrEqual(L.segmentTargetBytes);
  });

  it('recovery reads whole blocks, and at least one header with its payload begun', () => {
    expect(L.logReadBytes % L.blockBytes).toBe(0);
  });

  it('the largest record can wait in the queue, and so can a full batch', () => {
    expect(L.maxRecordBytes).toBeLessThanOrEqual(L.maxQueuedBytes);
    expect(L.maxBatchBytes).toBeLessThanOrEqual(L.maxQueuedBytes);
  });

  it('a payload length fits the 32 bits of a block header', () => {
    const overhead = L.blockBytes;
    expect(L.maxBatchBytes + L.maxRecordBytes + overhead).toBeLessThan(2 ** 32);
  });

  it('the reserve of a full disk holds a new segment and a batch of deletes at a restart', () => {
    expect(L.diskReserveBytes).toBeGreaterThanOrEqual(L.preallocateBytes + L.maxBatchBytes);
  });
});

describe('tables', () => {
  it('a row fits a record of the log, that it comes from', () => {
    expect(L.maxRowKeyBytes + L.maxRowValueBytes).toBeLessThan(L.maxRecordBytes);
  });

  it('one gathered write holds at least one block', () => {
    expect(L.tableWriteBytes).toBeGreaterThanOrEqual(L.tableBlockBytes + BLOCK_HEADER_BYTES);
  });

  it('one read ahead of a scan holds at least one block', () => {
    expect(L.scanReadBytes).toBeGreaterThanOrEqual(L.tableBlockBytes + BLOCK_HEADER_BYTES);
  });

  it('one read of a file holds at least one block of either kind', () => {
    const largest = Math.max(L.tableBlockBytes, L.extentBlockBytes);
    expect(L.fileReadBytes).toBeGreaterThanOrEqual(largest + BLOCK_HEADER_BYTES);
  });

  it('a merge needs two tables; the smallest tier is more than one block', () => {
    expect(L.tablesPerTier).toBeGreaterThanOrEqual(2);
    expect(L.smallestTierBytes).toBeGreaterThan(L.tableBlockBytes);
  });

  it('the cache holds many blocks and every row value', () => {
    expect(L.blockCacheBytes).toBeGreaterThanOrEqual(100 * L.extentBlockBytes);
    expect(L.blockCacheBytes).toBeGreaterThan(L.maxRowValueBytes);
  });

  it('a manifest of the most files with ordinary keys stays within its size', () => {
    expect(L.maxManifestBytes / L.maxManifestFiles).toBeGreaterThanOrEqual(512);
  });

  it('extent files of a database are far from what a manifest may name', () => {
    expect(2 * L.maxExtentFiles).toBeLessThan(L.maxManifestFiles);
  });
});

describe('database', () => {
  it('shards are powers of two: a bit mask of the hash picks one', () => {
    expect(isPowerOfTwo(L.defaultShardCount)).toBe(true);
    expect(isPowerOfTwo(L.maxShardCount)).toBe(true);
    expect(L.defaultShardCount).toBeLessThanOrEqual(L.maxShardCount);
  });

  it('a shard number fits the 16 bits of a record', () => {
    expect(L.maxShardCount).toBeLessThanOrEqual(2 ** 16);
  });

  it('a checkpoint starts long before commits have to wait for it', () => {
    expect(L.maxUncheckpointedBytes).toBeGreaterThanOrEqual(4 * L.checkpointLogBytes);
  });

  it('one full queue cannot carry the log from a checkpoint to the wall', () => {
    expect(L.checkpointLogBytes + L.maxQueuedBytes).toBeLessThan(L.maxUncheckpointedBytes);
  });

  it('a rewrite of extents can move the largest message', () => {
    expect(L.extentRewriteBytes).toBeGreaterThan(L.maxBodyBytes);
  });
});

describe('streams', () => {
  it('a body of the largest size fits one record, with all it travels with', () => {
    const metadata = L.maxPathBytes + L.maxContentTypeBytes + 2 * L.maxWriterTokenBytes;
    const lengths = 8 * L.maxJsonMessages; // at most a varint for each message
    expect(L.maxBodyBytes + L.maxJsonMessages + metadata + lengths).toBeLessThan(L.maxRecordBytes);
  });

  it('a stream, and a producer of it, fit a row key with their prefix', () => {
    expect(L.maxPathBytes + L.maxWriterTokenBytes + 64).toBeLessThanOrEqual(L.maxRowKeyBytes);
  });

  it('a path of the most segments is possible within its bytes', () => {
    expect(2 * L.maxPathSegments).toBeLessThanOrEqual(L.maxPathBytes);
  });

  it('a body of the most messages is possible: two bytes each at least', () => {
    expect(2 * L.maxJsonMessages).toBeLessThanOrEqual(L.maxBodyBytes);
  });

  it('one append of the most messages fits one extent', () => {
    expect(L.maxJsonMessages).toBeLessThanOrEqual(L.maxExtentMessages);
  });

  it('an extent is cut by its data, not by its blocks: it holds many', () => {
    expect(L.maxExtentBytes).toBeGreaterThanOrEqual(16 * L.extentBlockBytes);
  });

  it('a piece of a body is whole extent blocks, and a chunk is whole pieces', () => {
    expect(L.readPieceBytes % L.extentBlockBytes).toBe(0);
    expect(L.maxChunkBytes % L.readPieceBytes).toBe(0);
  });

  it('one stream cannot take the whole tail cache', () => {
    expect(L.tailCacheBytesPerStream).toBeLessThanOrEqual(L.tailCacheBytes / 16);
  });
});

describe('HTTP', () => {
  it('several of the largest bodies can be on their way at once, with the room they grow into', () => {
    expect(L.maxCollectedBodyBytes).toBeGreaterThanOrEqual(8 * L.maxBodyBytes);
  });

  it('the longest path fits the request line with every byte percent-encoded', () => {
    expect(3 * L.maxPathBytes + 1024).toBeLessThanOrEqual(L.maxUrlBytes);
  });

  it('the longest request line fits beside the longest values of our headers', () => {
    const ours = L.maxContentTypeBytes + 2 * L.maxWriterTokenBytes + 2048;
    expect(L.maxUrlBytes + ours).toBeLessThanOrEqual(L.maxHeaderBytes);
  });

  it('headers are part of a request: Node.js refuses a longer time for them', () => {
    expect(L.headersTimeoutMs).toBeLessThanOrEqual(L.requestTimeoutMs);
  });

  it('looking for slow senders is finer than the time they get', () => {
    expect(L.connectionsCheckMs).toBeLessThan(L.headersTimeoutMs);
  });

  it('an idle connection outlives the 60 s of common proxies: they close first, not we', () => {
    expect(L.keepAliveTimeoutMs).toBeGreaterThan(60_000);
  });

  it('a long-poll answers within the 60 s of common proxies, with room for the network', () => {
    expect(L.longPollTimeoutMs).toBeLessThanOrEqual(45_000);
  });

  it('a heartbeat reaches a proxy twice before it gives up, and before the rotation', () => {
    expect(2 * L.sseHeartbeatMs).toBeLessThanOrEqual(60_000);
    expect(2 * L.sseHeartbeatMs).toBeLessThanOrEqual(L.sseRotateMs);
  });

  it('one piece fits the buffer of an SSE reader: catching up does not drop it', () => {
    expect(2 * L.readPieceBytes).toBeLessThanOrEqual(L.maxSseBufferedBytes);
  });

  it('live readers leave connections for everybody else', () => {
    expect(L.maxLiveReaders).toBeLessThan(L.maxConnections);
  });
});

describe('kv', () => {
  it('the largest entry and the largest batch fit one record, with their heads', () => {
    const heads = L.maxTransactionOperations * 256;
    expect(L.maxEntryBatchBytes + heads).toBeLessThanOrEqual(L.maxRecordBytes);
    expect(L.maxEntryValueBytes + 2 * L.maxEntryKeyBytes).toBeLessThanOrEqual(L.maxRecordBytes);
  });

  it('the key of an entry fits every row about it', () => {
    expect(L.maxEntryKeyBytes + 128).toBeLessThanOrEqual(L.maxRowKeyBytes);
  });

  it('a token of the longest key is one', () => {
    expect(Math.ceil(((L.maxEntryKeyBytes + 64) * 4) / 3)).toBeLessThanOrEqual(L.maxPageTokenChars);
  });

  it('a value that rests in its row is far below the largest row', () => {
    expect(16 * L.inlineEntryBytes).toBeLessThanOrEqual(L.maxRowValueBytes);
  });

  it('the largest write may wait for its turn', () => {
    expect(2 * L.maxEntryBatchBytes).toBeLessThanOrEqual(L.maxWaitingEntryBytes);
  });

  it('a purge looks at the clock before it removes anything', () => {
    expect(L.purgeStartGraceMs).toBeGreaterThanOrEqual(5 * L.purgeIntervalMs);
    expect(L.reaperClockJumpMs).toBeGreaterThan(10 * L.purgeIntervalMs);
  });

  it('the largest change is kept', () => {
    expect(L.maxEntryValueBytes + L.maxEntryKeyBytes).toBeLessThan(L.maxKeptChangeBytes);
  });
});

describe('command line', () => {
  it('the lines of one request are a body that the server takes', () => {
    expect(L.appendLines).toBeLessThanOrEqual(L.maxJsonMessages);
    expect(L.appendLinesBytes + 2 * L.appendLines).toBeLessThanOrEqual(L.maxBodyBytes);
  });

  it('pauses before connecting again only grow', () => {
    expect(L.reconnectMs).toBeLessThanOrEqual(L.maxReconnectMs);
  });
});

describe('expiry', () => {
  it('the reaper looks at no fewer streams than it deletes', () => {
    expect(L.reaperDeletesPerRound).toBeLessThanOrEqual(L.reaperLooksPerRound);
  });

  it('a bulk is more than one ordinary round', () => {
    expect(L.reaperBulkMinimum).toBeGreaterThan(L.reaperDeletesPerRound);
  });

  it('the bulk minimum can be counted in one look', () => {
    expect(L.reaperBulkMinimum).toBeLessThanOrEqual(L.reaperLooksPerRound);
  });

  it('a jump of the clock is far more than one late round', () => {
    expect(L.reaperClockJumpMs).toBeGreaterThan(10 * L.reaperIntervalMs);
  });
});
