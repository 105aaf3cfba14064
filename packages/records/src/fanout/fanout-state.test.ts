import { RECORD_LIMITS } from '@holdfast/core';
import { SeededRandom } from '@holdfast/testkit';
import { describe, expect, test } from 'vitest';
import {
  compareDistances,
  coordinateFromBytes,
  peerCoordinate,
  type PeerId,
} from '../coordinate.ts';
import {
  type FanoutDisposition,
  type FanoutOutcome,
  type FanoutRules,
  fanoutRules,
} from './fanout-rules.ts';
import { FanoutState } from './fanout-state.ts';

const TARGET = coordinateFromBytes(Buffer.alloc(32, 7));
const SLOW = RECORD_LIMITS.slowPeerMs;
const TIMEOUT = RECORD_LIMITS.fanoutTimeoutMs;

/** Nearest to the target first: `PEERS[0]` is the nearest. */
const PEERS = Array.from({ length: 400 }, (_, i) => `peer-${i}` as PeerId).sort((a, b) =>
  compareDistances(TARGET, peerCoordinate(a), peerCoordinate(b)),
);

class Table {
  readonly state: FanoutState;
  now = 0;

  constructor(
    seeds: readonly number[],
    changes: Partial<FanoutRules> & { count?: number } = {},
    proved = true,
  ) {
    const rules = fanoutRules(TARGET, changes.count ?? 3, changes);
    this.state = new FanoutState(rules, peers(seeds, proved), 0);
  }

  /** Ranks of everybody who may be asked now, in this order. */
  take(): number[] {
    const taken: number[] = [];
    for (;;) {
      const peer = this.state.take(this.now);
      if (peer === undefined) return taken;
      taken.push(PEERS.indexOf(peer));
    }
  }

  tell(rank: number, disposition: FanoutDisposition, named: readonly number[] = []): void {
    this.state.report(PEERS[rank] as PeerId, disposition, peers(named, false), this.now);
  }

  passes(ms: number): void {
    this.now += ms;
    this.state.tick(this.now);
  }

  get outcome(): FanoutOutcome | undefined {
    return this.state.outcome;
  }
}

function peers(ranks: readonly number[], proved: boolean): { id: PeerId; proved: boolean }[] {
  return ranks.map((rank) => ({ id: PEERS[rank] as PeerId, proved }));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function ids(...ranks: readonly number[]): PeerId[] {
  return ranks.map((rank) => PEERS[rank] as PeerId);
}

describe('whom a fanout asks', () => {
  test('the nearest, no more than must agree, and it is done when they do', () => {
    const table = new Table(range(0, 20).reverse());
    expect(table.take()).toEqual([0, 1, 2]);
    for (const rank of [0, 1, 2]) table.tell(rank, 'accepted');
    expect(table.outcome).toMatchObject({ kind: 'consensus', degraded: false, restarts: 0 });
    expect(table.outcome?.accepted).toEqual(ids(0, 1, 2));
    expect(table.take()).toEqual([]);
  });

  test('a nearer peer that is slow unlocks the next one after a third of the timeout', () => {
    const table = new Table(range(0, 20));
    table.take();
    table.tell(1, 'accepted');
    table.tell(2, 'accepted');
    expect(table.take()).toEqual([]);
    expect(table.state.nextChangeMs(0)).toBe(SLOW);
    table.passes(SLOW - 1);
    expect(table.take()).toEqual([]);
    table.passes(1);
    expect(table.take()).toEqual([3]);
    table.tell(3, 'accepted');
    expect(table.outcome?.accepted).toEqual(ids(1, 2, 3));
  });

  test('one that lags behind is made up for by another one', () => {
    const table = new Table(range(0, 20));
    table.take();
    table.tell(0, 'stale');
    expect(table.take()).toEqual([3]);
    table.tell(1, 'declined');
    expect(table.take()).toEqual([4]);
    table.tell(2, 'silent');
    expect(table.take()).toEqual([5]);
  });

  test('unthrottled it has as many under way as there are lanes', () => {
    const table = new Table(range(0, 20), { throttled: false });
    expect(table.take()).toEqual([0, 1, 2, 3, 4]);
    table.passes(SLOW);
    expect(table.take()).toEqual([5, 6, 7, 8, 9]);
    table.passes(SLOW);
    expect(table.take()).toEqual([]); // the window is asked
  });

  test('peers that are named are asked in their place, each once', () => {
    const table = new Table([50, 60, 70]);
    expect(table.take()).toEqual([50, 60, 70]);
    table.tell(60, 'declined', [5, 50, 6]);
    expect(table.take()).toEqual([5]);
    table.tell(50, 'declined', [5, 6, 4]);
    expect(table.take()).toEqual([4]);
    table.tell(5, 'accepted', [4]);
    expect(table.take()).toEqual([]);
  });
});

describe('the window of a fanout', () => {
  test('what lies behind the width is not asked', () => {
    const table = new Table(range(0, 20), { throttled: false, lanes: 20 });
    expect(table.take()).toEqual(range(0, 10));
    for (const rank of range(0, 10)) table.tell(rank, 'declined');
    expect(table.outcome).toMatchObject({ kind: 'exhausted', degraded: false, answered: 10 });
  });

  test('nearer peers that answer push those behind out, and acceptances with them', () => {
    const table = new Table([30, 31, 32], { width: 4 });
    table.take();
    table.tell(30, 'accepted', [1, 2, 3, 4]);
    table.tell(31, 'accepted');
    expect(table.take()).toEqual([]); // 32 is still under way
    table.tell(32, 'silent');
    expect(table.take()).toEqual([1]);
    table.tell(1, 'stale');
    expect(table.take()).toEqual([2]);
    table.tell(2, 'stale');
    table.tell(3, 'stale');
    table.take();
    table.tell(3, 'stale');
    table.take();
    table.tell(4, 'stale');
    expect(table.outcome).toMatchObject({ kind: 'exhausted', accepted: [] });
    expect(table.outcome?.stale).toEqual(ids(1, 2, 3, 4));
    expect(table.outcome?.holders).toEqual(ids(1, 2, 3, 4, 30, 31));
  });

  test('the dead and those that lied leave their places to others', () => {
    const table = new Table(range(0, 20), { throttled: false, lanes: 20 });
    table.take();
    for (const rank of range(0, 8)) table.tell(rank, rank % 2 === 0 ? 'silent' : 'invalid');
    expect(table.take()).toEqual(range(10, 18));
  });

  test('invented peers push nobody out, and take half of the lanes at most', () => {
    const table = new Table(range(300, 320));
    expect(table.take()).toEqual([300, 301, 302]);
    table.tell(300, 'stale', range(0, 20)); // it names twenty that do not exist
    expect(table.take()).toEqual([0]);
    table.tell(301, 'accepted');
    table.passes(SLOW);
    expect(table.take()).toEqual([1, 2]);
    table.tell(302, 'accepted');
    expect(table.take()).toEqual([]); // 302 accepted, and two that may be there
    table.passes(SLOW);
    expect(table.take()).toEqual([3]);
    table.tell(3, 'silent');
    expect(table.take()).toEqual([4]);
  });

  test('beside invented peers there is always a lane for one that is proved', () => {
    const table = new Table(range(300, 320), { throttled: false });
    table.take();
    for (const rank of range(300, 305))
      table.tell(rank, 'stale', range(rank - 300, 100).slice(0, 20));
    const taken = table.take();
    expect(taken.filter((rank) => rank < 100)).toHaveLength(2);
    expect(taken.filter((rank) => rank >= 300)).toHaveLength(3);
  });

  test('it takes note of so many peers, and drops no proved ones for others', () => {
    const table = new Table(range(300, 310), { maxPeers: 16, throttled: false, lanes: 100 });
    table.take();
    table.tell(309, 'declined', range(0, 20));
    const taken = table.take();
    expect(taken).toHaveLength(6);
    for (const rank of taken) table.tell(rank, 'silent');
    for (const rank of range(300, 309)) table.tell(rank, 'declined');
    expect(table.outcome).toMatchObject({ kind: 'exhausted', there: 10 });
  });
});

describe('how a fanout ends', () => {
  test('all decline: exhausted, without those behind the width', () => {
    const table = new Table(range(0, 20));
    for (let taken = table.take(); taken.length > 0; taken = table.take()) {
      for (const rank of taken) table.tell(rank, 'declined');
    }
    expect(table.outcome).toMatchObject({ kind: 'exhausted', answered: 10, degraded: false });
  });

  test('nobody is known: exhausted at once, and nothing is agreed', () => {
    const table = new Table([]);
    expect(table.outcome).toMatchObject({ kind: 'exhausted', degraded: false, there: 0 });
  });

  test('each acceptance moves the deadline, nothing else does', () => {
    const table = new Table(range(0, 20));
    table.take();
    table.passes(TIMEOUT - 1);
    table.tell(0, 'accepted');
    table.passes(TIMEOUT - 1);
    expect(table.outcome).toBeUndefined();
    table.tell(1, 'stale');
    table.tell(2, 'declined');
    expect(table.state.nextChangeMs(table.now)).toBe(table.now + 1);
    table.passes(1);
    expect(table.outcome).toMatchObject({ kind: 'timeout', accepted: ids(0), stale: ids(1) });
  });

  test('who is smaller than the count agrees when all are, and says `degraded`', () => {
    const table = new Table([0, 1], { count: 5 });
    expect(table.take()).toEqual([0, 1]);
    table.tell(0, 'accepted');
    expect(table.outcome).toBeUndefined();
    table.tell(1, 'accepted');
    expect(table.outcome).toMatchObject({ kind: 'consensus', degraded: true, there: 2 });
  });

  test('a silent one of a small network is missed, one that lied is not', () => {
    const silent = new Table([0, 1, 2], { count: 5 });
    silent.take();
    silent.tell(0, 'accepted');
    silent.tell(1, 'accepted');
    silent.tell(2, 'silent');
    expect(silent.outcome).toMatchObject({ kind: 'exhausted', degraded: false });
    const lied = new Table([0, 1, 2], { count: 5 });
    lied.take();
    lied.tell(0, 'accepted');
    lied.tell(1, 'accepted');
    lied.tell(2, 'invalid');
    expect(lied.outcome).toMatchObject({ kind: 'consensus', degraded: true });
  });

  test('invented peers do not make a small network large', () => {
    const table = new Table([300, 301], { count: 5 });
    table.take();
    table.tell(300, 'accepted', [1, 2]);
    table.tell(301, 'accepted');
    table.take();
    table.tell(1, 'silent');
    table.tell(2, 'silent');
    expect(table.outcome).toMatchObject({ kind: 'consensus', degraded: true, there: 2 });
  });

  test('somebody else may know that it is enough, now or by some time', () => {
    const done = new Table(range(0, 20), { count: Infinity, throttled: false });
    done.take();
    done.tell(0, 'accepted');
    done.state.conclude();
    expect(done.outcome).toMatchObject({ kind: 'consensus', accepted: ids(0) });
    const closing = new Table(range(0, 20), { count: 5 });
    closing.take();
    closing.tell(0, 'accepted');
    closing.state.closeAt(100);
    closing.passes(99);
    expect(closing.outcome).toBeUndefined();
    closing.passes(1);
    expect(closing.outcome).toMatchObject({ kind: 'consensus', accepted: ids(0) });
  });

  test('nothing changes an outcome', () => {
    const table = new Table(range(0, 20), { throttled: false });
    table.take();
    for (const rank of [0, 1, 2]) table.tell(rank, 'accepted');
    const { outcome } = table;
    table.tell(3, 'accepted-newer-restart');
    table.passes(TIMEOUT);
    expect(table.outcome).toBe(outcome);
  });
});

describe('something newer', () => {
  test('leaves behind those that accepted before: a get goes on without them', () => {
    const table = new Table(range(0, 20));
    table.take();
    table.tell(0, 'accepted');
    table.tell(1, 'accepted');
    table.tell(2, 'accepted-newer');
    expect(table.outcome).toBeUndefined();
    expect(table.take()).toEqual([3, 4]);
    table.tell(3, 'accepted');
    table.tell(4, 'accepted');
    expect(table.outcome).toMatchObject({ kind: 'consensus', accepted: ids(2, 3, 4) });
    expect(table.outcome?.stale).toEqual(ids(0, 1));
  });

  test('of nine that lag behind and one that does not, the one is found', () => {
    const table = new Table(range(0, 20));
    for (let taken = table.take(); taken.length > 0; taken = table.take()) {
      for (const rank of taken) table.tell(rank, rank === 9 ? 'accepted-newer' : 'stale');
    }
    expect(table.outcome).toMatchObject({ kind: 'exhausted', accepted: ids(9) });
    expect(table.outcome?.stale).toEqual(ids(0, 1, 2, 3, 4, 5, 6, 7, 8));
  });

  test('restarts a set: all who took the older one are asked again', () => {
    const table = new Table(range(0, 20), { count: 5 });
    expect(table.take()).toEqual([0, 1, 2, 3, 4]);
    table.tell(0, 'accepted');
    table.tell(1, 'accepted');
    table.tell(2, 'accepted-newer-restart');
    expect(table.take()).toEqual([0, 1]);
    table.tell(3, 'accepted'); // of the older value: it does not count
    expect(table.take()).toEqual([3]);
    table.tell(4, 'stale'); // behind, too
    expect(table.take()).toEqual([4]);
    for (const rank of [0, 1, 3, 4]) table.tell(rank, 'accepted');
    expect(table.outcome).toMatchObject({ kind: 'consensus', restarts: 1 });
    expect(table.outcome?.accepted).toEqual(ids(0, 1, 2, 3, 4));
  });

  test('restarts no more often than it may, and then says that it did not agree', () => {
    const table = new Table(range(0, 20), { count: 2, maxRestarts: 3, width: 4 });
    let asked = 0;
    for (let taken = table.take(); taken.length > 0; taken = table.take()) {
      for (const rank of taken) {
        asked++;
        table.tell(rank, 'accepted-newer-restart');
      }
    }
    expect(table.outcome).toMatchObject({ kind: 'exhausted', restarts: 3 });
    expect(asked).toBeLessThanOrEqual(4 * 4);
  });
});

test('whatever peers say, a fanout ends, asks within bounds, and agrees only within the width', () => {
  const dispositions = [
    'silent',
    'invalid',
    'declined',
    'stale',
    'accepted',
    'accepted-newer',
    'accepted-newer-restart',
  ] as const;
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed);
    const count = random.between(1, 6);
    const rules = { count, maxPeers: 64, maxRestarts: 3, throttled: random.chance(0.5) };
    const table = new Table(random.shuffle(range(100, 300)).slice(0, random.between(0, 20)), rules);
    const under: number[] = [];
    const favourite = random.pick(dispositions);
    let asked = 0;
    for (let steps = 0; table.outcome === undefined; steps++) {
      expect(steps, `seed ${seed}`).toBeLessThan(5_000);
      const taken = table.take();
      asked += taken.length;
      under.push(...taken);
      const [rank] = under.splice(random.integer(Math.max(1, under.length)), 1);
      if (rank === undefined || random.chance(0.1)) {
        if (rank !== undefined) under.push(rank);
        table.passes(table.state.nextChangeMs(table.now) - table.now);
        continue;
      }
      table.passes(random.integer(200));
      const disposition = random.chance(0.5) ? favourite : random.pick(dispositions);
      const named = range(0, random.integer(10)).map(() => random.integer(Math.max(1, rank)));
      table.tell(rank, disposition, [...new Set(named)]);
    }
    expect(asked, `seed ${seed}`).toBeLessThanOrEqual(64 * 4);
    const { kind, accepted, degraded, there } = table.outcome;
    if (kind === 'consensus') {
      expect(accepted.length).toBeGreaterThanOrEqual(degraded ? 1 : count);
      if (degraded) expect(accepted.length).toBeGreaterThanOrEqual(there);
    }
    const order = accepted.map((id) => PEERS.indexOf(id));
    expect(order).toEqual([...order].sort((a, b) => a - b));
  }
});
