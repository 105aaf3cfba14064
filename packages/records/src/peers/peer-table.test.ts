import { RECORD_LIMITS } from '@holdfast/core';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { expect, test } from 'vitest';
import {
  compareDistances,
  coordinateFromBytes,
  peerCoordinate,
  type PeerId,
  sharedPrefixBits,
} from '../coordinate.ts';
import { SimRpcNetwork, simPeer } from '../rpc/sim/index.ts';
import { CoordinateIndex } from './coordinate-index.ts';
import { PeerTable, type PeerTableSettings } from './peer-table.ts';

function make(settings: PeerTableSettings = {}) {
  const clock = new SimClock(new SeededRandom(1));
  const network = new SimRpcNetwork({ clock, random: new SeededRandom(2) });
  const rpc = network.open('self' as PeerId);
  return { clock, rpc, table: new PeerTable(rpc, clock, settings) };
}

const IDS = Array.from({ length: 300 }, (_, i) => `peer-${i}` as PeerId);

test('the index gives everything, nearest first, whatever the target', () => {
  const random = new SeededRandom(5);
  for (let round = 0; round < 40; round++) {
    const index = new CoordinateIndex<{ coordinate: ReturnType<typeof peerCoordinate> }>();
    const entries = random.shuffle(IDS).slice(0, random.integer(100));
    const placed = entries.map((id) => ({ coordinate: peerCoordinate(id) }));
    for (const entry of placed) index.add(entry);
    for (const gone of placed.splice(0, random.integer(20))) index.remove(gone);
    const target = coordinateFromBytes(random.bytes(32));
    const wanted = [...placed].sort((a, b) => compareDistances(target, a.coordinate, b.coordinate));
    expect([...index.nearest(target)]).toEqual(wanted);
    expect(index.size).toBe(placed.length);
  }
});

test('only who answered counts, and this peer itself never', () => {
  const { table } = make();
  table.heardOf([...IDS.slice(0, 10).map(simPeer), simPeer('self' as PeerId)]);
  expect(table.nearest(table.selfCoordinate, 20)).toEqual([]);
  table.answered('self' as PeerId, 1);
  table.answered('peer-3' as PeerId, 1);
  expect(table.nearest(table.selfCoordinate, 20)).toEqual([simPeer('peer-3' as PeerId)]);
  expect(table.candidates(20)).not.toContain('peer-3');
  expect(table.candidates(20)).not.toContain('self');
});

test('the nearest come first, and those nearer than this peer end where it would stand', () => {
  const { table } = make();
  table.heardOf(IDS.map(simPeer));
  for (const id of IDS) table.answered(id, 1);
  for (let i = 0; i < 5; i++) {
    const target = peerCoordinate(`place-${i}` as PeerId);
    const order = [...IDS].sort((a, b) =>
      compareDistances(target, peerCoordinate(a), peerCoordinate(b)),
    );
    expect(table.nearest(target, 20).map(({ id }) => id)).toEqual(order.slice(0, 20));
    const nearer = order.filter(
      (id) => compareDistances(target, peerCoordinate(id), table.selfCoordinate) < 0,
    );
    expect(table.nearerThanSelf(target, 20).map(({ id }) => id)).toEqual(nearer.slice(0, 20));
  }
  expect(table.nearerThanSelf(table.selfCoordinate, 20)).toEqual([]);
});

test('who fails twice on end counts no longer, and is forgotten after as many more', () => {
  const { table } = make();
  const id = 'peer-1' as PeerId;
  table.heardOf([simPeer(id)]);
  table.answered(id, 1);
  table.failed(id);
  table.answered(id, 1);
  table.failed(id);
  expect(table.isProved(id)).toBe(true);
  table.failed(id);
  expect(table.isProved(id)).toBe(false);
  expect(table.candidates(5)).toEqual([id]);
  table.failed(id);
  table.failed(id);
  expect(table.candidates(5)).toEqual([]);
});

test('who lied is out at once', () => {
  const { table } = make();
  table.answered('peer-1' as PeerId, 1);
  table.distrust('peer-1' as PeerId);
  expect(table.size).toBe(0);
  expect(table.candidates(5)).toEqual([]);
});

test('invented peers, however many, take no place of one that answered', () => {
  const { table } = make({ maxCandidatePeers: 50 });
  for (const id of IDS.slice(0, 20)) table.answered(id, 1);
  table.heardOf(Array.from({ length: 2_000 }, (_, i) => simPeer(`fake-${i}` as PeerId)));
  expect(table.size).toBe(20);
  expect(table.candidates(1_000)).toHaveLength(50);
});

test('a full table takes newcomers where most are known, for the one silent longest', async () => {
  const { table, clock } = make({ maxKnownPeers: 40 });
  for (const id of IDS.slice(0, 40)) {
    table.answered(id, 1);
    await clock.advance(1);
  }
  const rare = [...table.nearest(table.selfCoordinate, 3)].map(({ id }) => id);
  for (const id of IDS.slice(40)) table.answered(id, 1);
  expect(table.size).toBe(40);
  for (const id of rare) expect(table.isProved(id)).toBe(true);
  await clock.advance(RECORD_LIMITS.peerRefreshMs);
  for (const id of IDS.slice(40)) table.answered(id, 1);
  expect(table.size).toBe(40);
  const part = (id: PeerId): number => sharedPrefixBits(table.selfCoordinate, peerCoordinate(id));
  const known = new Set(table.nearest(table.selfCoordinate, 40).map(({ id }) => part(id)));
  expect(known.size).toBeGreaterThan(3);
});

test('those silent longest are told first', async () => {
  const { table, clock } = make();
  for (const id of IDS.slice(0, 5)) {
    table.answered(id, 1);
    await clock.advance(10);
  }
  table.answered(IDS[0] as PeerId, 1);
  expect(table.silentSince(clock.monotonicMs(), 2)).toEqual([IDS[1], IDS[2]]);
});
