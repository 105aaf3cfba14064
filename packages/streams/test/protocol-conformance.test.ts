/**
 * The published suite against the handlers alone, over a store in memory. Every second read
 * answers late and in pieces, and chunks are small, so that both ways through the handlers run.
 */
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { afterAll, beforeAll } from 'vitest';
import { MemoryStreamStore } from './memory-stream-store.ts';
import { serveProtocol, type ProtocolServer } from './protocol-server.ts';

const LONG_POLL_TIMEOUT_MS = 500;
const CHUNK_BYTES = 4 * 1024;

const options = { baseUrl: '', longPollTimeoutMs: LONG_POLL_TIMEOUT_MS };
let served: ProtocolServer;

beforeAll(async () => {
  served = await serveProtocol(new MemoryStreamStore({ slowReads: 'every-second' }), {
    longPollTimeoutMs: LONG_POLL_TIMEOUT_MS,
    maxChunkBytes: CHUNK_BYTES,
  });
  options.baseUrl = served.baseUrl;
});

afterAll(() => served.close());

runConformanceTests(options);
