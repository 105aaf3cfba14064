/**
 * Peers in virtual time, each with a store and a host of transactions, and nothing else of a server: what a
 * transaction needs of the network.
 */
import { RECORD_LIMITS, SILENT } from '@holdfast/core';
import { openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import { recordCoordinate, type PeerId } from '../../src/coordinate.ts';
import type { KeyPair } from '../../src/key-pair.ts';
import type { Answer, InvalidAnswer, Question } from '../../src/messages.ts';
import { AskedPeers } from '../../src/peers/asked-peers.ts';
import { PeerTable } from '../../src/peers/peer-table.ts';
import { createDescriptor, type VerifiedDescriptor } from '../../src/record-descriptor.ts';
import { keyOf } from '../../src/record-key.ts';
import type { RecordStore } from '../../src/record-store.ts';
import { SimRpcNetwork, type SimRpcSettings } from '../../src/rpc/sim/index.ts';
import type { RecordSchema } from '../../src/schema.ts';
import { sequence } from '../../src/sequence.ts';
import {
  createErasure,
  createValue,
  openValue,
  type VerifiedValue,
  verifyValue,
} from '../../src/signed-value.ts';
import { openRecordStore } from '../../src/store/index.ts';
import {
  beginTransaction,
  type NetworkTransaction,
  TransactionHost,
} from '../../src/transactions/index.ts';
import type { TransactionSubject } from '../../src/transactions/begun-record.ts';
import { OWNER, SECRET } from '../sample-messages.ts';

export interface WorldPeer {
  readonly id: PeerId;
  readonly asked: AskedPeers;
  readonly remote: RecordStore;
  readonly local: RecordStore;
  readonly host: TransactionHost;
  /** Instead of what it would answer. */
  lie: ((question: Question, honest: Answer | InvalidAnswer) => Answer | InvalidAnswer) | undefined;
  /** Before it answers. */
  before: ((question: Question) => void) | undefined;
}

export class TransactionWorld {
  readonly clock: SimClock;
  readonly network: SimRpcNetwork;
  readonly random: SeededRandom;
  readonly peers: WorldPeer[] = [];
  readonly lines: string[] = [];

  private constructor(seed: number, settings: SimRpcSettings) {
    this.clock = new SimClock(new SeededRandom(seed));
    this.random = new SeededRandom(seed + 1);
    const observe = (line: string): void => void this.lines.push(line);
    const { clock, random } = this;
    this.network = new SimRpcNetwork({ clock, random, observe }, settings);
  }

  /** All peers know each other. */
  static async open(count: number, seed = 1, settings: SimRpcSettings = {}) {
    const world = new TransactionWorld(seed, settings);
    for (let n = 0; n < count; n++) await world.#add(`peer-${n}` as PeerId);
    for (const { asked } of world.peers) {
      for (const { id } of world.peers) {
        if (id === asked.table.self) continue;
        asked.table.heardOf([{ id, addresses: [`sim:${id}`] }]);
        asked.table.answered(id, 10);
      }
    }
    return world;
  }

  /** Waits in virtual time. */
  run<Result>(promise: Promise<Result>): Promise<Result> {
    promise.catch(() => undefined); // who waits for it later sees it
    return this.clock.run(promise);
  }

  begin(from: number, ...subjects: readonly TransactionSubject[]): Promise<NetworkTransaction> {
    return this.run(this.beginBeside(from, ...subjects));
  }

  /** For several at once, which one `run` waits for. */
  beginBeside(from: number, ...subjects: readonly TransactionSubject[]) {
    const { asked: peers, local } = this.peers[from] as WorldPeer;
    const { clock, random } = this;
    return beginTransaction({ clock, random, peers, local }, subjects);
  }

  /** Peers by distance from the record. */
  near({ key }: TransactionSubject): WorldPeer[] {
    const first = this.peers[0] as WorldPeer;
    const order = first.asked.table
      .nearest(recordCoordinate(key.id), this.peers.length)
      .map(({ id }) => this.peer(id));
    return order; // without the first peer itself
  }

  peer(id: PeerId): WorldPeer {
    return this.peers.find((peer) => peer.id === id) as WorldPeer;
  }

  /** What each peer holds in a subkey, as text; peers without the record are left out. */
  async held({ key }: TransactionSubject, subkey: number): Promise<Map<PeerId, string>> {
    const texts = new Map<PeerId, string>();
    for (const { id, remote } of this.peers) {
      const value = await remote.value(key.id, subkey);
      if (value !== undefined) texts.set(id, openValue(value, value, SECRET).toString());
    }
    return texts;
  }

  /** Puts a value to some peers, as plain sets would. */
  async plant(
    value: VerifiedValue,
    { descriptor }: TransactionSubject,
    peers: readonly WorldPeer[],
  ) {
    for (const { remote } of peers) {
      await remote.write(descriptor, [value], { origin: 'planter' as PeerId });
    }
  }

  async #add(id: PeerId): Promise<void> {
    const { clock, random } = this;
    const rpc = this.network.open(id);
    const table = new PeerTable(rpc, clock);
    const asked = new AskedPeers(rpc, table, clock);
    const components = { nowMs: () => clock.now(), logger: SILENT };
    const open = (kind: 'local' | 'remote') =>
      openRecordStore({ kind }, { ...components, kv: openMemoryKvStore({ clock }, { id: kind }) });
    const [remote, local] = [await open('remote'), await open('local')];
    const host = new TransactionHost({ self: id, store: remote, clock, random });
    const peer: WorldPeer = {
      id,
      asked,
      remote,
      local,
      host,
      lie: undefined,
      before: undefined,
    };
    const answer = async (from: PeerId, question: Question): Promise<Answer | InvalidAnswer> => {
      peer.before?.(question);
      const honest = await answerOf(peer, from, question);
      return peer.lie?.(question, honest) ?? honest;
    };
    rpc.serve({ answer, hear: () => undefined });
    this.peers.push(peer);
  }
}

async function answerOf(
  { host, asked: { table } }: WorldPeer,
  from: PeerId,
  question: Question,
): Promise<Answer | InvalidAnswer> {
  if (question.type === 'command') return host.command(from, question);
  if (question.type !== 'begin') return { type: 'invalid' };
  const { consensusWidth, maxPeersInAnswer } = RECORD_LIMITS;
  const peers = table.nearerThanSelf(recordCoordinate(question.record), maxPeersInAnswer);
  if (peers.length >= consensusWidth) return { type: 'begin', status: 'far', peers };
  return host.begin(from, question, peers);
}

/** @param writer of the transaction; the owner has room of its own. */
export function subjectOf(
  subkeys: number,
  owner: KeyPair = OWNER,
  writer: KeyPair | undefined = owner,
): TransactionSubject {
  const schema: RecordSchema = { type: 'default', subkeys };
  const descriptor: VerifiedDescriptor = createDescriptor(schema, owner);
  return { key: keyOf(descriptor.id, SECRET), descriptor, writer };
}

const nonces = new SeededRandom(99);

export function valueOf(
  { descriptor }: TransactionSubject,
  subkey: number,
  number: number,
  text: string | undefined,
): VerifiedValue {
  const about = { record: descriptor.id, subkey, sequence: sequence(number), writer: OWNER };
  const value =
    text === undefined
      ? createErasure(about)
      : createValue(about, SECRET, Buffer.from(text), nonces);
  return verifyValue(value, descriptor, subkey);
}
