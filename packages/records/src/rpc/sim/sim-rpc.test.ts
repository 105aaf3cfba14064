import { hasCode, RECORD_LIMITS, sleep } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import type { PeerId } from '../../coordinate.ts';
import type { Answer, InvalidAnswer, Question, Statement } from '../../messages.ts';
import type { RpcEvent } from '../../rpc.ts';
import { SubkeySet } from '../../subkey-set.ts';
import type { RecordId } from '../../record-key.ts';
import type { WatchId } from '../../messages.ts';
import { SimRpcNetwork, simPeer, type SimRpcSettings } from './sim-rpc-network.ts';

const A = 'a' as PeerId;
const B = 'b' as PeerId;
const C = 'c' as PeerId;
const PING = { type: 'ping' } as const;
const CHANGED: Statement = {
  type: 'changed',
  record: '00'.repeat(32) as RecordId,
  watch: '00000000000000ff' as WatchId,
  subkeys: SubkeySet.of(0),
  count: undefined,
  value: undefined,
};

interface World {
  readonly clock: SimClock;
  readonly network: SimRpcNetwork;
  readonly lines: string[];
}

function world(seed = 1, settings: SimRpcSettings = {}): World {
  const clock = new SimClock(new SeededRandom(seed));
  const lines: string[] = [];
  const random = new SeededRandom(seed + 1);
  const observe = (line: string): void => void lines.push(line);
  return { clock, network: new SimRpcNetwork({ clock, random, observe }, settings), lines };
}

function pong(_from: PeerId, question: Question): Promise<Answer | InvalidAnswer> {
  return Promise.resolve(question.type === 'ping' ? PING : { type: 'invalid' });
}

function pair(settings: SimRpcSettings = {}) {
  const made = world(1, settings);
  const a = made.network.open(A);
  const b = made.network.open(B);
  a.learn(b.self);
  b.learn(a.self);
  return { ...made, a, b };
}

test('a question is answered by whom it was put to, who knows who asks', async () => {
  const { clock, a, b } = pair();
  const asked: PeerId[] = [];
  b.serve({ answer: (from, q) => (asked.push(from), pong(from, q)), hear: () => undefined });
  expect(await clock.run(a.ask(B, PING))).toEqual(PING);
  expect(asked).toEqual([A]);
  expect(a.connected()).toEqual([B]);
  expect(b.connected()).toEqual([A]);
  expect(b.online).toBe(true);
});

test('an answer of another type, and `invalid`, are PEER_MESSAGE_INVALID', async () => {
  const { clock, a, b } = pair();
  let answer: Answer | InvalidAnswer = { type: 'find', peers: [] };
  b.serve({ answer: () => Promise.resolve(answer), hear: () => undefined });
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject({ code: 'PEER_MESSAGE_INVALID' });
  answer = { type: 'invalid' };
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject({ code: 'PEER_MESSAGE_INVALID' });
});

test('a service that throws gives the asker `invalid`', async () => {
  const { clock, a, b } = pair();
  b.serve({ answer: () => Promise.reject(new Error('oh')), hear: () => undefined });
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject({ code: 'PEER_MESSAGE_INVALID' });
});

test('damaged bytes are PEER_MESSAGE_INVALID and end the link', async () => {
  const { clock, network, a, b } = pair();
  b.serve({ answer: pong, hear: () => undefined });
  network.conditionsOf(B).garbled = true;
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject({ code: 'PEER_MESSAGE_INVALID' });
  expect(a.online).toBe(false);
  network.conditionsOf(B).garbled = false;
  expect(await clock.run(a.ask(B, PING))).toEqual(PING);
});

test('nobody there, nobody known: unreachable, and certainly not sent', async () => {
  const { clock, network, a } = pair();
  const wanted = { code: 'PEER_UNREACHABLE', effect: 'none' };
  await expect(clock.run(a.ask(C, PING))).rejects.toMatchObject(wanted);
  a.learn(simPeer(C));
  await expect(clock.run(a.ask(C, PING))).rejects.toMatchObject(wanted);
  network.crash(B);
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject(wanted);
});

test('silence ends a call when its time is over, and the peer may have acted on it', async () => {
  const { clock, network, a, b } = pair();
  b.serve({ answer: pong, hear: () => undefined });
  network.conditionsOf(B).silent = true;
  const before = clock.monotonicMs();
  const wanted = { code: 'PEER_UNREACHABLE', effect: 'unknown' };
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject(wanted);
  expect(clock.monotonicMs() - before).toBe(RECORD_LIMITS.rpcTimeoutMs);
});

test('a slow peer delays no other, and its late answer disturbs nothing', async () => {
  const { clock, network, a, b } = pair();
  const c = network.open(C);
  a.learn(c.self);
  b.serve({ answer: pong, hear: () => undefined });
  c.serve({ answer: pong, hear: () => undefined });
  network.conditionsOf(B).slowMs = 3_000;
  const late = a.ask(B, PING, { timeoutMs: 1_000 }).catch((error: unknown) => error);
  expect(await clock.run(a.ask(C, PING))).toEqual(PING);
  expect(clock.monotonicMs()).toBeLessThan(1_000);
  expect(hasCode(await clock.run(late), 'PEER_UNREACHABLE')).toBe(true);
  await clock.advance(10_000);
  network.conditionsOf(B).slowMs = 0;
  expect(await clock.run(a.ask(B, PING))).toEqual(PING);
});

test('a signal ends a call as ABORTED', async () => {
  const { clock, network, a } = pair();
  network.conditionsOf(B).silent = true;
  const abort = new AbortController();
  const asked = a.ask(B, PING, { signal: abort.signal }).catch((error: unknown) => error);
  await clock.advance(500);
  abort.abort();
  expect(hasCode(await clock.run(asked), 'ABORTED')).toBe(true);
  await expect(a.ask(B, PING, { signal: abort.signal })).rejects.toMatchObject({ code: 'ABORTED' });
});

test('statements go over the link that there is, and none is made for them', async () => {
  const { clock, a, b } = pair();
  const heard: Statement[] = [];
  b.serve({ answer: pong, hear: (_from, statement) => void heard.push(statement) });
  expect(a.tell(B, CHANGED)).toBe(false);
  await clock.run(a.ask(B, PING));
  expect(a.tell(B, CHANGED)).toBe(true);
  await clock.advance(1_000);
  expect(heard).toEqual([CHANGED]);
});

test('of one peer so many questions are served beside each other, the rest waits', async () => {
  const { clock, a, b } = pair();
  let under = 0;
  let most = 0;
  b.serve({
    answer: async (from, question) => {
      most = Math.max(most, ++under);
      await sleep(clock, 10);
      under--;
      return pong(from, question);
    },
    hear: () => undefined,
  });
  const asked = Array.from({ length: 200 }, () => a.ask(B, PING));
  expect(await clock.run(Promise.all(asked))).toHaveLength(200);
  expect(most).toBe(RECORD_LIMITS.maxQuestionsOfPeer);
});

test('of peers it is told about, however many, it keeps so many, and those it is linked to', async () => {
  const { clock, a, b } = pair();
  b.serve({ answer: pong, hear: () => undefined });
  await clock.run(a.ask(B, PING));
  const ids = Array.from({ length: RECORD_LIMITS.maxLearnedPeers + 10 }, (_, i) => `x${i}`);
  for (const id of ids) a.learn(simPeer(id as PeerId));
  const kept = ids.filter((id) => a.addressesOf(id as PeerId).length > 0);
  expect(kept).toHaveLength(RECORD_LIMITS.maxLearnedPeers - 1);
  expect(kept.at(-1)).toBe(ids.at(-1));
  expect(a.addressesOf(B)).not.toEqual([]);
});

test('two that dial each other at once have one link', async () => {
  const { clock, a, b, lines } = pair();
  a.serve({ answer: pong, hear: () => undefined });
  b.serve({ answer: pong, hear: () => undefined });
  await clock.run(Promise.all([a.ask(B, PING), b.ask(A, PING), a.ask(B, PING)]));
  expect(lines.filter((line) => / link /.test(line))).toHaveLength(1);
});

test('a partition cuts, lets nobody through, and heals', async () => {
  const { clock, network, a, b } = pair();
  const events: RpcEvent[] = [];
  a.on((event) => void events.push(event));
  a.on(() => {
    throw new Error('a listener that throws stops no other');
  });
  b.serve({ answer: pong, hear: () => undefined });
  await clock.run(a.ask(B, PING));
  network.partition([A], [B]);
  await expect(clock.run(a.ask(B, PING))).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
  network.heal();
  await clock.run(a.ask(B, PING));
  expect(events).toEqual([
    { type: 'connected', peer: B },
    { type: 'online' },
    { type: 'disconnected', peer: B },
    { type: 'offline' },
    { type: 'connected', peer: B },
    { type: 'online' },
  ]);
});

test('the end of a link ends what is under way on it', async () => {
  const { clock, network, a, b } = pair();
  b.serve({ answer: pong, hear: () => undefined });
  await clock.run(a.ask(B, PING));
  network.conditionsOf(B).silent = true;
  const asked = a.ask(B, PING).catch((error: unknown) => error);
  await clock.advance(100);
  network.crash(B);
  const wanted = { code: 'PEER_UNREACHABLE', effect: 'unknown' };
  expect(await clock.run(asked)).toMatchObject(wanted);
  expect(clock.monotonicMs()).toBeLessThan(RECORD_LIMITS.rpcTimeoutMs);
});

test('close ends calls as CLOSED, waits for what is being served, and is idempotent', async () => {
  const { clock, network, a, b } = pair();
  let served = false;
  b.serve({
    answer: async (from, question) => {
      await sleep(clock, 500);
      served = true;
      return pong(from, question);
    },
    hear: () => undefined,
  });
  const asked = a.ask(B, PING).catch((error: unknown) => error);
  await clock.advance(100);
  const closing = Promise.all([b.close(), b.close()]);
  await clock.run(closing);
  expect(served).toBe(true);
  expect(hasCode(await clock.run(asked), 'PEER_UNREACHABLE')).toBe(true);
  await expect(b.ask(A, PING)).rejects.toMatchObject({ code: 'CLOSED' });
  const again = a.ask(B, PING).catch((error: unknown) => error);
  await clock.run(a.close());
  expect(hasCode(await again, 'CLOSED')).toBe(true);
  expect(() => network.open(B)).not.toThrow();
});

test('the same seed gives the same network, with loss and chance; another one another', async () => {
  const run = async (seed: number): Promise<string> => {
    const { clock, network, lines } = world(seed, { loss: 0.2 });
    const peers = Array.from({ length: 8 }, (_, i) => network.open(`p${i}` as PeerId));
    for (const peer of peers) {
      peer.serve({ answer: pong, hear: () => undefined });
      for (const other of peers) peer.learn(other.self);
    }
    const asked = peers.flatMap((peer) =>
      peers
        .filter((other) => other !== peer)
        .map((other) => peer.ask(other.self.id, PING).catch(() => undefined)),
    );
    await clock.run(Promise.all(asked));
    return lines.join('\n');
  };
  const first = await run(3);
  expect(await run(3)).toBe(first);
  expect(await run(4)).not.toBe(first);
  expect(first).toContain('lost');
});
