import { conformance } from './conformance.ts';
import { expectStatus, inParallel, JSON_TYPE, OCTETS, request } from './http-request.ts';
import type { ServerProcess } from './server-process.ts';

const STREAMS = 200;
const WRITERS = 32;

// The suite then runs on a server whose state came out of recovery, not out of a fresh start.
conformance('on disk, after a kill and recovery', {}, async (server) => {
  await populate(server);
  const cut = inParallel(STREAMS, WRITERS, async (index) => {
    // Some of these are in flight when the power goes: their answers do not matter.
    await request('POST', server.stream(`before/${index}`), {
      headers: index % 2 === 0 ? JSON_TYPE : OCTETS,
      body: '{"unanswered":true}',
    }).catch(() => undefined);
  });
  await server.kill();
  await cut;
  await server.restart();
});

async function populate(server: ServerProcess): Promise<void> {
  await inParallel(STREAMS, WRITERS, async (index) => {
    const headers = index % 2 === 0 ? JSON_TYPE : OCTETS;
    const url = server.stream(`before/${index}`);
    await expectStatus(201, 'PUT', url, { headers });
    for (let n = 0; n < 5; n++) {
      await expectStatus(204, 'POST', url, { headers, body: JSON.stringify({ n, index }) });
    }
    if (index % 10 === 0) {
      const fork = { 'stream-forked-from': `/v1/stream/before/${index}` };
      await expectStatus(201, 'PUT', `${url}/fork`, { headers: fork });
    }
    if (index % 20 === 0) await expectStatus(204, 'DELETE', url);
  });
}
