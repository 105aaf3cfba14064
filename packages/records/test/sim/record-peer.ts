/** One peer of a simulated network: its two stores, its server, its engine and its table of peers. */
import { type Clock, type Random, SILENT } from '@holdfast/core';
import { type KvStore, openMemoryKvStore } from '@holdfast/kv';
import {
  AskedPeers,
  NO_SUBKEYS,
  openRecordStore,
  type PeerId,
  type PeerInfo,
  PeerTable,
  PeerUpkeep,
  type PendingWrites,
  type Question,
  type Answer,
  RecordEngine,
  RecordServer,
  type RecordId,
  type RecordStore,
  type RpcService,
  type SimRpc,
  type SimRpcNetwork,
  type SubkeySet,
} from '../../src/index.ts';

export type Behaviour = (honest: RpcService, peer: RecordPeer) => RpcService;

export interface RecordPeerSettings {
  readonly id: PeerId;
  readonly bootstrap: readonly PeerInfo[];
  readonly behaviour?: Behaviour | undefined;
  readonly refreshMs?: number | undefined;
}

export class PendingInMemory implements PendingWrites {
  readonly #subkeys = new Map<RecordId, SubkeySet>();

  add(record: RecordId, subkey: number): Promise<void> {
    this.#subkeys.set(record, this.of(record).with(subkey));
    return Promise.resolve();
  }

  remove(record: RecordId, subkey: number): Promise<void> {
    this.#subkeys.set(record, this.of(record).without(subkey));
    return Promise.resolve();
  }

  of(record: RecordId): SubkeySet {
    return this.#subkeys.get(record) ?? NO_SUBKEYS;
  }

  all(): [RecordId, number][] {
    return [...this.#subkeys].flatMap(([record, subkeys]) =>
      [...subkeys].map((subkey): [RecordId, number] => [record, subkey]),
    );
  }
}

export class RecordPeer {
  readonly id: PeerId;
  readonly pending = new PendingInMemory();
  readonly conflicts: string[] = [];
  rpc!: SimRpc;
  table!: PeerTable;
  peers!: AskedPeers;
  local!: RecordStore;
  remote!: RecordStore;
  engine!: RecordEngine;
  server!: RecordServer;
  /** Answers in the place of the server, where it gives something. */
  instead: ((question: Question) => Promise<Answer | undefined>) | undefined;
  isUp = false;
  readonly #network: SimRpcNetwork;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #settings: RecordPeerSettings;
  readonly #kv: { readonly local: KvStore; readonly remote: KvStore };
  #upkeep!: PeerUpkeep;
  #honest!: RpcService;
  #service!: RpcService;

  constructor(network: SimRpcNetwork, random: Random, settings: RecordPeerSettings) {
    this.id = settings.id;
    this.#network = network;
    this.#clock = network.clock;
    this.#random = random;
    this.#settings = settings;
    const { clock } = network;
    this.#kv = {
      local: openMemoryKvStore({ clock }, { id: 'local' }),
      remote: openMemoryKvStore({ clock }, { id: 'remote' }),
    };
  }

  /** Resolves when it has looked round once. */
  async start(): Promise<void> {
    const clock = this.#clock;
    const open = (kind: 'local' | 'remote'): Promise<RecordStore> =>
      openRecordStore({ kind }, { kv: this.#kv[kind], nowMs: () => clock.now(), logger: SILENT });
    this.local = await open('local');
    this.remote = await open('remote');
    this.rpc = this.#network.open(this.id);
    this.table = new PeerTable(this.rpc, clock);
    this.peers = new AskedPeers(this.rpc, this.table, clock);
    this.server = new RecordServer({
      store: this.remote,
      neighbourhood: this.table,
      rpc: this.rpc,
      clock,
      random: this.#random,
      logger: SILENT,
    });
    const { behaviour, bootstrap, refreshMs } = this.#settings;
    const honest: RpcService = {
      answer: async (from, question) =>
        (await this.instead?.(question)) ?? this.server.answer(from, question),
      hear: (from, statement) => this.server.hear(from, statement),
    };
    this.#honest = honest;
    this.#service = behaviour === undefined ? honest : behaviour(honest, this);
    this.rpc.serve({
      answer: (from, question) => this.#service.answer(from, question),
      hear: (from, statement) => this.#service.hear(from, statement),
    });
    this.engine = new RecordEngine({
      clock,
      random: this.#random,
      peers: this.peers,
      local: this.local,
      pending: this.pending,
      onConflict: (record, subkey, number) =>
        void this.conflicts.push(`${record} ${subkey} ${number}`),
    });
    this.#upkeep = new PeerUpkeep(
      { rpc: this.rpc, peers: this.peers, clock, random: this.#random, logger: SILENT },
      { bootstrap: bootstrap.filter(({ id }) => id !== this.id), refreshMs },
    );
    this.isUp = true;
    await this.#upkeep.start();
  }

  /** From now on, until the next start. */
  behave(behaviour: Behaviour): void {
    this.#service = behaviour(this.#honest, this);
  }

  refresh(): Promise<void> {
    return this.#upkeep.refresh();
  }

  /** The process is killed: what is in its stores stays. */
  crash(): void {
    this.isUp = false;
    this.#network.crash(this.id);
    void this.#upkeep.close();
    void this.engine.close();
  }

  async close(): Promise<void> {
    if (!this.isUp) return;
    this.isUp = false;
    await this.engine.close();
    await this.#upkeep.close();
    await this.rpc.close();
    await this.server.close();
    await this.local.close();
    await this.remote.close();
  }
}
