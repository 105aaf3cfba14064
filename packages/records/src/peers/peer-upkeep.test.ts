import { RECORD_LIMITS, SILENT } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import {
  compareDistances,
  coordinateFromBytes,
  peerCoordinate,
  type PeerId,
} from '../coordinate.ts';
import type { PeerInfo, Question } from '../messages.ts';
import { type SimRpc, SimRpcNetwork, simPeer } from '../rpc/sim/index.ts';
import { AskedPeers } from './asked-peers.ts';
import { PeerTable } from './peer-table.ts';
import { PeerUpkeep } from './peer-upkeep.ts';

interface Peer {
  readonly id: PeerId;
  readonly rpc: SimRpc;
  readonly table: PeerTable;
  readonly asked: AskedPeers;
  readonly upkeep: PeerUpkeep;
}

class Town {
  readonly clock = new SimClock(new SeededRandom(1));
  readonly network = new SimRpcNetwork({ clock: this.clock, random: new SeededRandom(2) });
  readonly peers: Peer[] = [];
  questions = 0;

  open(id: string, bootstrap: readonly PeerInfo[]): Peer {
    const { clock } = this;
    const rpc = this.network.open(id as PeerId);
    const table = new PeerTable(rpc, clock);
    const asked = new AskedPeers(rpc, table, clock);
    rpc.serve({
      answer: (_from, question) => Promise.resolve(this.#answer(table, question)),
      hear: () => undefined,
    });
    const random = new SeededRandom(this.peers.length);
    const parts = { rpc, peers: asked, clock, random, logger: SILENT };
    const upkeep = new PeerUpkeep(parts, { bootstrap });
    const peer = { id: id as PeerId, rpc, table, asked, upkeep };
    this.peers.push(peer);
    return peer;
  }

  async populate(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const peer = this.open(`p${i}`, i === 0 ? [] : [simPeer('p0' as PeerId)]);
      await this.clock.run(peer.upkeep.start());
    }
  }

  #answer(table: PeerTable, question: Question) {
    this.questions++;
    if (question.type === 'ping') return { type: 'ping' } as const;
    if (question.type !== 'find') return { type: 'invalid' } as const;
    return { type: 'find', peers: table.nearerThanSelf(question.target, 20) } as const;
  }
}

test('who knows one peer comes to know those near it, and they come to know it', async () => {
  const town = new Town();
  await town.populate(28);
  await town.clock.advance(2 * RECORD_LIMITS.peerRefreshMs);
  for (const { id, table } of town.peers) {
    const near = town.peers
      .filter((other) => other.id !== id)
      .sort((a, b) =>
        compareDistances(table.selfCoordinate, peerCoordinate(a.id), peerCoordinate(b.id)),
      )
      .slice(0, 8);
    for (const other of near) expect(table.isProved(other.id), `${id} ${other.id}`).toBe(true);
  }
});

test('the dead are forgotten, and come back when they are there again', async () => {
  const town = new Town();
  await town.populate(14);
  const first = town.peers[0] as Peer;
  expect(first.table.isProved('p7' as PeerId)).toBe(true);
  town.network.crash('p7' as PeerId);
  await town.clock.advance(4 * RECORD_LIMITS.peerRefreshMs);
  expect(first.table.isProved('p7' as PeerId)).toBe(false);
  await town.clock.run(town.open('p7', [simPeer('p3' as PeerId)]).upkeep.start());
  await town.clock.advance(RECORD_LIMITS.peerRefreshMs);
  expect(first.table.isProved('p7' as PeerId)).toBe(true);
});

test('who is alone looks again and again, less and less often, and finds whoever comes', async () => {
  const town = new Town();
  const alone = town.open('alone', [simPeer('late' as PeerId)]);
  await town.clock.run(alone.upkeep.start());
  await town.clock.advance(120_000);
  const late = town.open('late', []);
  await town.clock.run(late.upkeep.start());
  await town.clock.advance(RECORD_LIMITS.peerRefreshMs);
  expect(alone.table.isProved(late.id)).toBe(true);
  expect(late.table.isProved(alone.id)).toBe(true);
});

test('an outage makes nobody forgotten', async () => {
  const town = new Town();
  await town.populate(12);
  const one = town.peers[4] as Peer;
  const before = one.table.size;
  town.network.partition(
    [one.id],
    town.peers.map(({ id }) => id).filter((id) => id !== one.id),
  );
  await town.clock.advance(5 * RECORD_LIMITS.peerRefreshMs);
  town.network.heal();
  expect(one.table.size).toBe(before);
});

test('a peer that names others than nearer ones is out, and what it named is not heard of', async () => {
  const town = new Town();
  const one = town.open('one', []);
  const liar = town.network.open('liar' as PeerId);
  one.rpc.learn(liar.self);
  const target = coordinateFromBytes(Buffer.alloc(32));
  const ids = Array.from({ length: 50 }, (_, i) => `x${i}` as PeerId);
  const far = ids.find(
    (id) => compareDistances(target, peerCoordinate(id), peerCoordinate(liar.self.id)) > 0,
  ) as PeerId;
  liar.serve({
    answer: () => Promise.resolve({ type: 'find', peers: [simPeer(far)] }),
    hear: () => undefined,
  });
  one.table.answered(liar.self.id, 1);
  const asked = one.asked.ask(liar.self.id, { type: 'find', target });
  await expect(town.clock.run(asked)).rejects.toMatchObject({ code: 'PEER_MESSAGE_INVALID' });
  expect(one.table.isProved(liar.self.id)).toBe(false);
  expect(one.table.candidates(10)).toEqual([]);
});

test('close ends a round, and nothing is asked any more', async () => {
  const town = new Town();
  await town.populate(5);
  const [first] = town.peers as [Peer];
  const round = first.upkeep.refresh();
  await town.clock.run(Promise.all(town.peers.map(({ upkeep }) => upkeep.close())));
  await town.clock.run(round);
  await town.clock.advance(1_000);
  const before = town.questions;
  await town.clock.advance(10 * RECORD_LIMITS.peerRefreshMs);
  expect(town.questions).toBe(before);
});
