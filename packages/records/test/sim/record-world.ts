/** Many peers in one simulated network, from one seed. */
import {
  compareDistances,
  createDescriptor,
  createKeyPair,
  keyOf,
  type KeyPair,
  peerCoordinate,
  type PeerId,
  recordCoordinate,
  type RecordId,
  type RecordKey,
  type RecordSchema,
  SimRpcNetwork,
  type SimRpcSettings,
  simPeer,
  type VerifiedDescriptor,
} from '../../src/index.ts';
import { SeededRandom, SimClock, TraceHash } from '@holdfast/testkit';
import { type Behaviour, RecordPeer } from './record-peer.ts';

export interface WorldSettings extends SimRpcSettings {
  readonly seed: number;
  readonly peers: number;
  /** By number of the peer. */
  readonly behaviour?: ((peer: number) => Behaviour | undefined) | undefined;
  readonly refreshMs?: number | undefined;
}

export interface WorldRecord {
  readonly key: RecordKey;
  readonly owner: KeyPair;
  readonly descriptor: VerifiedDescriptor;
}

const BOOTSTRAP = 3;
const STARTING_AT_ONCE = 20;

export class RecordWorld {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly network: SimRpcNetwork;
  readonly peers: readonly RecordPeer[];
  readonly #trace = new TraceHash();

  private constructor(settings: WorldSettings) {
    const root = new SeededRandom(settings.seed);
    this.clock = new SimClock(root.fork());
    this.random = root.fork();
    const observe = (line: string): void => this.#trace.addText(line);
    this.network = new SimRpcNetwork({ clock: this.clock, random: root.fork(), observe }, settings);
    const ids = Array.from({ length: settings.peers }, (_, i) => `peer-${i}` as PeerId);
    const bootstrap = ids.slice(0, BOOTSTRAP).map(simPeer);
    this.peers = ids.map(
      (id, i) =>
        new RecordPeer(this.network, root.fork(), {
          id,
          bootstrap,
          behaviour: settings.behaviour?.(i),
          refreshMs: settings.refreshMs,
        }),
    );
  }

  /** All have looked round when it resolves. */
  static async open(settings: WorldSettings): Promise<RecordWorld> {
    const world = new RecordWorld(settings);
    const waiting = [...world.peers];
    while (waiting.length > 0) {
      const some = waiting.splice(0, STARTING_AT_ONCE);
      await world.clock.run(Promise.all(some.map((peer) => peer.start())));
    }
    return world;
  }

  run<Result>(promise: Promise<Result>): Promise<Result> {
    return this.clock.run(promise);
  }

  peer(number: number): RecordPeer {
    return this.peers[number] as RecordPeer;
  }

  /** Nearest to the record first. */
  nearest(record: RecordId): RecordPeer[] {
    const target = recordCoordinate(record);
    return [...this.peers].sort((a, b) =>
      compareDistances(target, peerCoordinate(a.id), peerCoordinate(b.id)),
    );
  }

  makeRecord(schema: RecordSchema = { type: 'default', subkeys: 2 }): WorldRecord {
    const owner = createKeyPair(this.random);
    const descriptor = createDescriptor(schema, owner);
    return { key: keyOf(descriptor.id, this.random.bytes(32)), owner, descriptor };
  }

  /** As if these peers had opened it. */
  async openAt({ descriptor }: WorldRecord, ...peers: readonly RecordPeer[]): Promise<void> {
    for (const peer of peers) await this.run(peer.local.create(descriptor));
  }

  note(text: string): void {
    this.#trace.addText(text);
  }

  traceHash(): string {
    return `${this.#trace.digest()} ${this.clock.traceHash()}`;
  }

  async close(): Promise<void> {
    await this.run(Promise.all(this.peers.map((peer) => peer.close())));
  }
}
