/**
 * Histories of records in a network that loses messages, parts, and has slow, silent, dead and lying
 * peers, while several devices of one owner write the same subkeys.
 *
 * What holds all the time: nobody reads what was not written; whoever reads one value never reads one
 * afterwards that loses against it, across restarts; no peer's store ever goes back; of the honest peers
 * that a committed set names each holds it, or what wins over it. At the end, when everything is there
 * again and what was queued was sent, everybody reads the same, and it is what wins over all that
 * anybody knows.
 */
import { isHoldfastError, sleep } from '@holdfast/core';
import { type HistoryRange, runHistories, SeededRandom } from '@holdfast/testkit';
import {
  compareValues,
  type GetResult,
  openValue,
  type RecordId,
  type SetResult,
  type VerifiedValue,
} from '../../src/index.ts';
import { lies } from './lies.ts';
import type { RecordPeer } from './record-peer.ts';
import { RecordWorld, type WorldRecord } from './record-world.ts';

export interface RecordHistoryTotals {
  histories: number;
  committed: number;
  pending: number;
  superseded: number;
  reads: number;
  unavailable: number;
  crashes: number;
  partitions: number;
}

export interface RecordHistoryShape {
  readonly peers: number;
  readonly records: number;
  readonly steps: number;
  /** Of peers that lie: 0 to 1. */
  readonly lying: number;
  /** How often peers look round; default: as they do. */
  readonly refreshMs?: number;
}

/** And the seed. */
const REPLAY = 'npm run simulate -- --only records --histories 1 --seed';
const SMALL: RecordHistoryShape = { peers: 40, records: 2, steps: 6, lying: 0.1 };
const DEVICES = 3;
const EXPECTED: ReadonlySet<string> = new Set(['PEERS_UNAVAILABLE', 'RECORD_LOCKED']);

export async function runRecordHistories(range: HistoryRange): Promise<RecordHistoryTotals> {
  const totals = noTotals();
  await runHistories(range, REPLAY, async (seed) => {
    await runRecordHistory(seed, SMALL, totals);
  });
  return totals;
}

export function noTotals(): RecordHistoryTotals {
  return {
    histories: 0,
    committed: 0,
    pending: 0,
    superseded: 0,
    reads: 0,
    unavailable: 0,
    crashes: 0,
    partitions: 0,
  };
}

/** @returns its trace: equal for two runs that were the same. */
export async function runRecordHistory(
  seed: number,
  shape: RecordHistoryShape,
  totals: RecordHistoryTotals = noTotals(),
): Promise<string> {
  const history = await History.open(seed, shape, totals);
  await history.run();
  totals.histories++;
  return history.trace();
}

/** One device of the owner, on a peer of its own. */
interface Device {
  readonly peer: RecordPeer;
  readonly record: WorldRecord;
  /** The last one that was read here. */
  seen: VerifiedValue | undefined;
}

class History {
  readonly #world: RecordWorld;
  readonly #random: SeededRandom;
  readonly #shape: RecordHistoryShape;
  readonly #totals: RecordHistoryTotals;
  readonly #liars: ReadonlySet<RecordPeer>;
  readonly #devices: Device[] = [];
  readonly #records: WorldRecord[] = [];
  /** Everything that anybody wrote, by record. */
  readonly #written = new Map<RecordId, Set<string>>();
  /** The newest value that each store was seen with. */
  readonly #kept = new Map<string, VerifiedValue>();
  #writes = 0;

  private constructor(
    world: RecordWorld,
    random: SeededRandom,
    shape: RecordHistoryShape,
    totals: RecordHistoryTotals,
    liars: ReadonlySet<RecordPeer>,
  ) {
    this.#world = world;
    this.#random = random;
    this.#shape = shape;
    this.#totals = totals;
    this.#liars = liars;
  }

  static async open(
    seed: number,
    shape: RecordHistoryShape,
    totals: RecordHistoryTotals,
  ): Promise<History> {
    const random = new SeededRandom(seed ^ 0x5eed);
    const ways = lies(random.fork());
    const lying = new Map<number, string>();
    // The first ones are where everybody begins.
    for (let i = 3; i < shape.peers; i++) {
      if (random.chance(shape.lying)) lying.set(i, random.pick(Object.keys(ways)));
    }
    const world = await RecordWorld.open({
      seed,
      peers: shape.peers,
      latencyMs: random.between(2, 60),
      refreshMs: shape.refreshMs,
      behaviour: (i) => ways[lying.get(i) ?? ''],
    });
    const liars = new Set([...lying.keys()].map((i) => world.peer(i)));
    const history = new History(world, random, shape, totals, liars);
    await history.#makeRecords();
    return history;
  }

  async run(): Promise<void> {
    const world = this.#world;
    world.network.loss = this.#random.integer(3) / 100;
    const work = this.#devices.map((device) => this.#live(device));
    const over = { now: false };
    const trouble = this.#makeTrouble(over);
    await world.run(Promise.all(work));
    over.now = true;
    await world.run(trouble);
    await this.#calmDown();
    await this.#agree();
    await world.close();
  }

  trace(): string {
    return this.#world.traceHash();
  }

  async #makeRecords(): Promise<void> {
    const world = this.#world;
    const honest = this.#random.shuffle(world.peers.filter((peer) => !this.#liars.has(peer)));
    for (let i = 0; i < this.#shape.records; i++) {
      const record = world.makeRecord();
      this.#records.push(record);
      this.#written.set(record.key.id, new Set());
      for (const peer of honest.splice(0, DEVICES)) {
        await world.openAt(record, peer);
        this.#devices.push({ peer, record, seen: undefined });
      }
    }
  }

  // -- what devices do -----------------------------------------------------------------------

  async #live(device: Device): Promise<void> {
    const random = this.#random.fork();
    for (let step = 0; step < this.#shape.steps; step++) {
      await sleep(this.#world.clock, random.integer(8_000));
      try {
        await this.#act(device, random);
      } catch (error) {
        if (!isHoldfastError(error) || !EXPECTED.has(error.code)) throw error;
        this.#totals.unavailable++;
      }
    }
  }

  async #act(device: Device, random: SeededRandom): Promise<void> {
    const { peer, record } = device;
    const writer = record.owner;
    switch (random.integer(8)) {
      case 0:
      case 1:
      case 2:
        return this.#set(device, { writer, allowOffline: random.chance(0.8) });
      case 3:
        this.#note(record, 'erased');
        return this.#judgeSet(device, await peer.engine.erase(record.key, 0, { writer }));
      case 4:
        await peer.engine.inspect(record.key, { scope: random.pick(['get', 'set']) });
        return;
      case 5:
        return this.#restart(device);
      default:
        return this.#read(device, random.chance(0.8));
    }
  }

  async #set(device: Device, options: { writer: WorldRecord['owner']; allowOffline: boolean }) {
    const { peer, record } = device;
    const text = `${peer.id} ${++this.#writes}`;
    this.#note(record, text);
    const result = await peer.engine.set(record.key, 0, Buffer.from(text), options);
    await this.#judgeSet(device, result);
  }

  async #judgeSet({ peer, record }: Device, result: SetResult): Promise<void> {
    this.#totals[result.status]++;
    this.#world.note(`${result.status} ${result.sequence}`);
    if (result.status !== 'committed') return;
    const sent = await peer.local.value(record.key.id, 0);
    for (const id of result.peers) {
      const keeper = this.#world.peers.find((other) => other.id === id) as RecordPeer;
      if (this.#liars.has(keeper) || !keeper.isUp) continue;
      const kept = await keeper.remote.value(record.key.id, 0);
      const isKept = kept !== undefined && kept.sequence >= result.sequence;
      if (!isKept) throw new Error(`a peer of a committed set does not hold it: ${id}`);
    }
    if (sent !== undefined && sent.sequence < result.sequence) throw new Error('it is not here');
  }

  async #read(device: Device, forceRefresh: boolean): Promise<void> {
    const { peer, record } = device;
    const result = await peer.engine.get(record.key, 0, { forceRefresh });
    this.#totals.reads++;
    this.#world.note(`read ${result.status}`);
    await this.#judgeRead(device, result);
  }

  async #judgeRead(device: Device, result: GetResult): Promise<void> {
    const { peer, record, seen } = device;
    if (result.status === 'absent') {
      if (seen !== undefined) throw new Error(`what was read is gone at ${peer.id}`);
      return;
    }
    const text = result.status === 'erased' ? 'erased' : Buffer.from(result.data).toString();
    if (this.#written.get(record.key.id)?.has(text) !== true) {
      throw new Error(`nobody wrote what was read: ${text}`);
    }
    const value = await peer.local.value(record.key.id, 0);
    if (value === undefined) throw new Error('what was read is not here');
    if (seen !== undefined && compareValues(value, seen) < 0) {
      throw new Error(`an older value came back at ${peer.id}`);
    }
    device.seen = value;
  }

  async #restart({ peer }: Device): Promise<void> {
    await peer.engine.idle();
    peer.crash();
    this.#totals.crashes++;
    await sleep(this.#world.clock, 500);
    await peer.start();
  }

  #note(record: WorldRecord, text: string): void {
    this.#written.get(record.key.id)?.add(text);
  }

  // -- what befalls them ---------------------------------------------------------------------

  async #makeTrouble(over: { now: boolean }): Promise<void> {
    const { clock, network } = this.#world;
    const random = this.#random.fork();
    const devices = new Set(this.#devices.map(({ peer }) => peer));
    const others = this.#world.peers.slice(3).filter((peer) => !devices.has(peer));
    while (!over.now) {
      await sleep(clock, 500 + random.integer(4_000));
      const peer = random.pick(others);
      const conditions = network.conditionsOf(peer.id);
      switch (random.integer(6)) {
        case 0:
          this.#part(random);
          break;
        case 1:
          network.heal();
          break;
        case 2:
          conditions.slowMs = random.pick([0, 500, 3_000, 20_000]);
          break;
        case 3:
          conditions.silent = !conditions.silent;
          break;
        case 4:
          conditions.garbled = !conditions.garbled;
          break;
        default:
          await this.#crashOrStart(peer);
      }
      await this.#audit();
    }
  }

  #part(random: SeededRandom): void {
    this.#totals.partitions++;
    const ids = random.shuffle(this.#world.peers.map(({ id }) => id));
    const at = random.between(1, ids.length - 1);
    this.#world.network.partition(ids.slice(0, at), ids.slice(at));
  }

  async #crashOrStart(peer: RecordPeer): Promise<void> {
    if (peer.isUp) {
      peer.crash();
      this.#totals.crashes++;
    } else {
      await peer.start();
    }
  }

  /** No store goes back. */
  async #audit(): Promise<void> {
    for (const peer of this.#world.peers) {
      if (!peer.isUp) continue;
      for (const { key } of this.#records) {
        for (const [kind, store] of [
          ['local', peer.local],
          ['remote', peer.remote],
        ] as const) {
          const place = `${peer.id} ${kind} ${key.id}`;
          const value = await store.value(key.id, 0);
          const before = this.#kept.get(place);
          if (before !== undefined && (value === undefined || compareValues(value, before) < 0)) {
            throw new Error(`a store went back: ${place}`);
          }
          if (value !== undefined) this.#kept.set(place, value);
        }
      }
    }
  }

  // -- how it ends ---------------------------------------------------------------------------

  async #calmDown(): Promise<void> {
    const world = this.#world;
    world.network.heal();
    world.network.loss = 0;
    for (const { id } of world.peers) {
      Object.assign(world.network.conditionsOf(id), { slowMs: 0, silent: false, garbled: false });
    }
    for (const peer of world.peers) if (!peer.isUp) await world.run(peer.start());
    await world.clock.advance(20_000);
    await world.run(Promise.all(world.peers.map((peer) => peer.refresh())));
  }

  async #agree(): Promise<void> {
    const world = this.#world;
    for (let round = 0; round < 2; round++) {
      for (const { peer, record } of this.#devices) {
        await world.run(peer.engine.push(record.key.id, 0));
      }
    }
    for (const record of this.#records) {
      const devices = this.#devices.filter((device) => device.record === record);
      const winner = await this.#winner(record);
      const texts: (string | undefined)[] = [];
      for (const device of devices) {
        const { peer } = device;
        const result = await world.run(peer.engine.get(record.key, 0, { forceRefresh: true }));
        await this.#judgeRead(device, result);
        await world.run(peer.engine.idle());
        const value = await peer.local.value(record.key.id, 0);
        texts.push(value && textOf(value, record));
      }
      const wanted = winner && textOf(winner, record);
      if (texts.some((text) => text !== wanted)) {
        throw new Error(`devices do not agree: ${texts.join(', ')}; the winner is ${wanted}`);
      }
      for (const { peer } of devices) {
        const left = [...peer.pending.of(record.key.id)];
        if (winner !== undefined && left.length > 0) throw new Error(`queued still at ${peer.id}`);
      }
    }
    await this.#audit();
  }

  /** Over everything that anybody holds. */
  async #winner({ key }: WorldRecord): Promise<VerifiedValue | undefined> {
    let winner: VerifiedValue | undefined;
    for (const { local, remote } of this.#world.peers) {
      for (const store of [local, remote]) {
        const value = await store.value(key.id, 0);
        if (value === undefined) continue;
        if (winner === undefined || compareValues(value, winner) > 0) winner = value;
      }
    }
    return winner;
  }
}

function textOf(value: VerifiedValue, { key }: WorldRecord): string {
  if (value.kind === 'erased') return 'erased';
  return openValue(value, value, key.secret as Buffer).toString();
}
