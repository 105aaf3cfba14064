import { JSON_TYPE, OCTETS, PREFIX, type BenchTarget } from './bench-target.ts';
import { closedLoop, eachOnce } from './closed-loop.ts';
import { headerOf, LoadConnection, requestBytes } from './load-connection.ts';
import type { Metrics } from './measure.ts';
import { freshName, type Scale, type Scenario } from './scenario.ts';

const PAYLOAD = Buffer.alloc(100, 0x61);
const BATCH = 100;

const appendTo = (stream: string): Buffer => requestBytes('POST', PREFIX + stream, OCTETS, PAYLOAD);

async function appends(
  target: BenchTarget,
  scale: Scale,
  streams: number,
  connections: number,
): Promise<Metrics> {
  const names = Array.from({ length: streams }, () => freshName('append'));
  for (const name of names) await target.create(name);
  const requests = names.map((name) => ({ bytes: appendTo(name) }));
  const turns = Array.from({ length: connections }, (_, index) => index);
  const metrics = await closedLoop(target, {
    connections,
    warmupMs: scale.warmupMs,
    measureMs: scale.measureMs,
    next: (index) => requests[(turns[index] as number)++ % streams] as { bytes: Buffer },
  });
  for (const name of names) await target.removeStream(name);
  return metrics;
}

async function manyStreams(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const { manyStreams: count } = scale;
  const names = Array.from({ length: count }, () => freshName('many'));
  const created = await eachOnce(target, 32, count, (index) =>
    requestBytes('PUT', PREFIX + (names[index] as string), OCTETS),
  );
  const requests = names.map((name) => ({ bytes: appendTo(name) }));
  let next = 0;
  const metrics = await closedLoop(target, {
    connections: 64,
    warmupMs: scale.warmupMs,
    measureMs: scale.measureMs,
    next: () => requests[next++ % count] as { bytes: Buffer },
  });
  await eachOnce(target, 32, count, (index) =>
    requestBytes('DELETE', PREFIX + (names[index] as string)),
  );
  return {
    ...metrics,
    createsPerSecond: count / created.seconds,
    createCpuUs: (created.cpu / count) * 1e6,
    createErrors: created.errors,
  };
}

async function jsonBatches(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const name = freshName('json');
  await target.create(name, JSON_TYPE);
  const batch = Array.from({ length: BATCH }, (_, n) => ({
    n,
    id: `user-${n}`,
    at: 1_700_000_000_000 + n,
    text: 'x'.repeat(50),
  }));
  const bytes = requestBytes('POST', PREFIX + name, JSON_TYPE, JSON.stringify(batch));
  const metrics = await closedLoop(target, {
    connections: 16,
    warmupMs: scale.warmupMs,
    measureMs: scale.measureMs,
    next: () => ({ bytes }),
  });
  await target.removeStream(name);
  return { ...metrics, messagesPerSecond: (metrics['perSecond'] ?? 0) * BATCH };
}

/** 70 % append, 20 % read of the tail, 10 % HEAD over 64 streams with a live reader each. */
async function mixed(target: BenchTarget, scale: Scale): Promise<Metrics> {
  const STREAMS = 64;
  const names = Array.from({ length: STREAMS }, () => freshName('mixed'));
  const offsets: string[] = [];
  for (const name of names) offsets.push(await target.create(name, JSON_TYPE));
  const body = JSON.stringify({ n: 1, pad: 'x'.repeat(85) });
  const append = names.map((name) => requestBytes('POST', PREFIX + name, JSON_TYPE, body));
  const head = names.map((name) => requestBytes('HEAD', PREFIX + name));

  let delivered = 0;
  const readers = await LoadConnection.openMany(target.port, STREAMS);
  await Promise.all(
    readers.map((reader, index) =>
      reader.listen(
        requestBytes('GET', `${PREFIX}${names[index]}?offset=now&live=sse`),
        (bytes) => {
          for (let at = bytes.indexOf('"n":'); at >= 0; at = bytes.indexOf('"n":', at + 4))
            delivered++;
        },
      ),
    ),
  );
  const turns = Array.from({ length: 64 }, (_, index) => index);
  const metrics = await closedLoop(target, {
    connections: 64,
    warmupMs: scale.warmupMs,
    measureMs: scale.measureMs,
    next: (index) => {
      const turn = (turns[index] as number)++;
      const stream = turn % STREAMS;
      const kind = (turn * 7) % 10;
      const moved = (answer: { head: string }): void => {
        const next = headerOf(answer.head, 'stream-next-offset') ?? '';
        if (next > (offsets[stream] as string)) offsets[stream] = next;
      };
      if (kind < 7) return { bytes: append[stream] as Buffer, onAnswer: moved };
      if (kind === 9) return { bytes: head[stream] as Buffer, isHead: true };
      const path = `${PREFIX}${names[stream]}?offset=${offsets[stream]}`;
      return { bytes: requestBytes('GET', path), onAnswer: moved };
    },
  });
  for (const reader of readers) reader.close();
  for (const name of names) await target.removeStream(name);
  return { ...metrics, delivered };
}

export const APPEND_SCENARIOS: readonly Scenario[] = [
  { id: 'append-1-stream-c64', run: (target, scale) => appends(target, scale, 1, 64) },
  { id: 'append-1-stream-c1', run: (target, scale) => appends(target, scale, 1, 1) },
  { id: 'append-64-streams-c64', run: (target, scale) => appends(target, scale, 64, 64) },
  { id: 'many-streams', run: manyStreams },
  { id: 'json-batches', run: jsonBatches },
  { id: 'mixed', run: mixed },
];
