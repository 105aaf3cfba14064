/** Peers of a simulated network with records as applications have them, which they lose and open again. */
import { SILENT } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import { type PeerId, PeerRecords, type RecordsEvent, type Statement } from '../../src/index.ts';
import type { RecordPeer } from '../sim/record-peer.ts';
import { RecordWorld, type WorldSettings } from '../sim/record-world.ts';

type Hearing = (from: PeerId, statement: Statement) => void;

export class RecordsLife {
  readonly world: RecordWorld;
  readonly events = new Map<RecordPeer, RecordsEvent[]>();
  readonly #metadata = new Map<RecordPeer, KvStore>();
  readonly #onHear = new Map<RecordPeer, Hearing>();
  readonly #records = new Map<RecordPeer, PeerRecords>();

  private constructor(world: RecordWorld) {
    this.world = world;
  }

  static async open(settings: Partial<WorldSettings> = {}): Promise<RecordsLife> {
    return new RecordsLife(await RecordWorld.open({ seed: 1, peers: 24, ...settings }));
  }

  /** Opens the records of this peer, as a start of its process does. */
  async records(number: number): Promise<PeerRecords> {
    const peer = this.world.peer(number);
    const events: RecordsEvent[] = [];
    this.events.set(peer, events);
    const records = await this.run(
      PeerRecords.open({
        clock: this.world.clock,
        random: this.world.random,
        logger: SILENT,
        rpc: peer.rpc,
        peers: peer.peers,
        local: peer.local,
        metadata: this.metadata(number),
      }),
    );
    records.on((event) => void events.push(event));
    this.#records.set(peer, records);
    peer.behave((honest) => ({
      answer: (from, question) => honest.answer(from, question),
      hear: (from, statement) => {
        this.#onHear.get(peer)?.(from, statement);
        records.hear(from, statement);
      },
    }));
    return records;
  }

  /** Told of each statement that this peer is told. */
  onHear(number: number, listener: Hearing): void {
    this.#onHear.set(this.world.peer(number), listener);
  }

  metadata(number: number): KvStore {
    const peer = this.world.peer(number);
    const { clock } = this.world;
    const kv = this.#metadata.get(peer) ?? openMemoryKvStore({ clock }, { id: 'metadata' });
    this.#metadata.set(peer, kv);
    return kv;
  }

  eventsOf(number: number): RecordsEvent[] {
    return this.events.get(this.world.peer(number)) as RecordsEvent[];
  }

  /** Killed, and started again on what is in its stores. */
  async restart(number: number): Promise<PeerRecords> {
    const peer = this.world.peer(number);
    const killed = this.#records.get(peer);
    peer.crash();
    // What belonged to the killed process does nothing any more; what it waits for never comes.
    void killed?.dispose();
    await this.run(peer.start());
    return this.records(number);
  }

  /** This peer on one side, all others on another. */
  isolate(number: number): void {
    const alone = this.world.peer(number).id;
    const others = this.world.peers.map(({ id }) => id).filter((id) => id !== alone);
    this.world.network.partition(others, [alone]);
  }

  run<Result>(promise: Promise<Result>): Promise<Result> {
    return this.world.run(promise);
  }

  async close(): Promise<void> {
    await this.run(Promise.all([...this.#records.values()].map((records) => records.dispose())));
    await this.world.close();
  }
}
