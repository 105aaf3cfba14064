/** The thread of `NodeCompactor`: one request at a time, one reply each. */
import { parentPort } from 'node:worker_threads';
import { BlockCodec, KeyRing, NodeClock, NodeFileSystem, NodeRandom } from '@holdfast/core';
import { compactTables } from './compaction.ts';
import {
  type CompactionReply,
  type CompactionRequest,
  postableError,
  postableInfo,
  receivedJob,
} from './compaction-message.ts';
import { paceByRate } from './pace.ts';

const fileSystem = new NodeFileSystem();
const clock = new NodeClock();

async function reply(request: CompactionRequest): Promise<CompactionReply> {
  try {
    const job = receivedJob(request.job);
    const { keys } = request;
    const ring = keys === undefined ? undefined : new KeyRing(keys, new NodeRandom());
    const codec = new BlockCodec(job.databaseId, ring);
    const pace = paceByRate(clock, request.bytesPerSecond);
    const info = await compactTables({ fileSystem, codec, pace }, job);
    return { ok: true, info: info === undefined ? undefined : postableInfo(info) };
  } catch (error) {
    return { ok: false, error: postableError(error) };
  }
}

parentPort?.on('message', (request: CompactionRequest) => {
  void reply(request).then((answer) => parentPort?.postMessage(answer));
});
