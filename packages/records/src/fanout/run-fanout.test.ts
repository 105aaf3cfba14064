import { HoldfastError, RECORD_LIMITS, sleep } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import {
  compareDistances,
  coordinateFromBytes,
  peerCoordinate,
  type PeerId,
} from '../coordinate.ts';
import { AskedPeers, PeerTable } from '../peers/index.ts';
import { SimRpcNetwork } from '../rpc/sim/index.ts';
import { fanoutRules } from './fanout-rules.ts';
import { type FanoutAnswer, runFanout } from './run-fanout.ts';

const TARGET = coordinateFromBytes(Buffer.alloc(32, 7));
const ACCEPTED: FanoutAnswer = { disposition: 'accepted', peers: [] };
const PEERS = Array.from({ length: 30 }, (_, i) => `peer-${i}` as PeerId).sort((a, b) =>
  compareDistances(TARGET, peerCoordinate(a), peerCoordinate(b)),
);

function make() {
  const clock = new SimClock(new SeededRandom(1));
  const network = new SimRpcNetwork({ clock, random: new SeededRandom(2) });
  const rpc = network.open('self' as PeerId);
  const table = new PeerTable(rpc, clock);
  for (const id of PEERS) table.answered(id, 1);
  return { clock, table, components: { clock, peers: new AskedPeers(rpc, table, clock) } };
}

test('it asks beside each other, and ends what is under way once it is over', async () => {
  const { clock, components } = make();
  const ended: PeerId[] = [];
  const run = runFanout(components, fanoutRules(TARGET, 3), async (peer, signal) => {
    if (peer !== PEERS[0]) return ACCEPTED;
    try {
      await sleep(clock, 4_000, signal);
    } catch {
      ended.push(peer);
    }
    return ACCEPTED;
  });
  const outcome = await clock.run(run);
  expect(outcome.accepted).toEqual(PEERS.slice(1, 4));
  expect(clock.monotonicMs()).toBe(RECORD_LIMITS.slowPeerMs);
  await clock.runUntilIdle();
  expect(ended).toEqual([PEERS[0]]);
});

test('silence is silence, a broken contract makes a liar, and both are made up for', async () => {
  const { clock, components, table } = make();
  const run = runFanout(components, fanoutRules(TARGET, 3), (peer) => {
    if (peer === PEERS[0]) throw new HoldfastError('SIGNATURE_REJECTED', 'forged');
    if (peer === PEERS[1]) throw new HoldfastError('PEER_UNREACHABLE', 'gone');
    return Promise.resolve(ACCEPTED);
  });
  expect((await clock.run(run)).accepted).toEqual(PEERS.slice(2, 5));
  expect(table.isProved(PEERS[0] as PeerId)).toBe(false);
  expect(table.isProved(PEERS[1] as PeerId)).toBe(true);
});

test('what is not about a peer ends it with that error', async () => {
  const { clock, components } = make();
  const fail = (error: Error) =>
    clock.run(runFanout(components, fanoutRules(TARGET, 3), () => Promise.reject(error)));
  await expect(fail(new HoldfastError('CLOSED', 'closed'))).rejects.toMatchObject({
    code: 'CLOSED',
  });
  await expect(fail(new TypeError('a bug'))).rejects.toThrow('a bug');
});

test('a signal ends it as ABORTED, before it began or later', async () => {
  const { clock, components } = make();
  const abort = new AbortController();
  const { signal } = abort;
  const rules = fanoutRules(TARGET, 3);
  const silent = (_peer: PeerId, callSignal: AbortSignal): Promise<FanoutAnswer> =>
    sleep(clock, 60_000, callSignal).then(() => ACCEPTED);
  const run = runFanout(components, rules, silent, { signal }).catch((error: unknown) => error);
  await clock.advance(100);
  abort.abort();
  expect(await clock.run(run)).toMatchObject({ code: 'ABORTED' });
  const late = runFanout(components, rules, silent, { signal });
  await expect(late).rejects.toMatchObject({ code: 'ABORTED' });
});

test('peers that had the record before are asked in their place, this peer itself never', async () => {
  const { clock, components, table } = make();
  const far = 'not-known' as PeerId;
  const asked: PeerId[] = [];
  const seeds = [far, table.self];
  const run = runFanout(
    components,
    fanoutRules(TARGET, 40, { width: 40, throttled: false }),
    (peer) => {
      asked.push(peer);
      return Promise.resolve({ ...ACCEPTED, peers: [{ id: table.self, addresses: [] }] });
    },
    { seeds },
  );
  await clock.run(run);
  expect(asked).toContain(far);
  expect(asked).not.toContain(table.self);
  expect(asked).toHaveLength(RECORD_LIMITS.fanoutSeeds + 1);
});

test('its caller may know that it is enough, or until when it waits', async () => {
  const { clock, components } = make();
  let answers = 0;
  const call = async (): Promise<FanoutAnswer> => {
    await sleep(clock, 10 * ++answers);
    return ACCEPTED;
  };
  const rules = fanoutRules(TARGET, Infinity, { throttled: false, lanes: 3 });
  const check = () => (answers >= 4 ? 'done' : 'open');
  const done = await clock.run(runFanout(components, rules, call, { check }));
  expect(done).toMatchObject({ kind: 'consensus', degraded: false });
  const startedMs = clock.monotonicMs();
  const slow = (): Promise<FanoutAnswer> => sleep(clock, 700).then(() => ACCEPTED);
  const closesAtMs = startedMs + 1_000;
  const closed = await clock.run(
    runFanout(components, rules, slow, { check: () => ({ closesAtMs }) }),
  );
  expect(closed.accepted).toHaveLength(3);
  expect(clock.monotonicMs()).toBe(closesAtMs);
});
