/**
 * A server over a store in memory, with a neighbourhood and connections that the test makes up. What is
 * asked and answered goes through its bytes.
 */
import { SILENT } from '@holdfast/core';
import { openMemoryKvStore } from '@holdfast/kv';
import { SeededRandom, SimClock } from '@holdfast/testkit';
import {
  type AnswerTo,
  type ChangeStatement,
  type Coordinate,
  decodeMessage,
  encodeAnswer,
  encodeQuestion,
  encodeStatement,
  type InvalidAnswer,
  peerCoordinate,
  type PeerId,
  type PeerInfo,
  type Question,
  type RecordStore,
  type RecordStoreSettings,
  type RpcListener,
  type Statement,
} from '../../src/index.ts';
import { RecordServer } from '../../src/server/index.ts';
import { openRecordStore } from '../../src/store/index.ts';
import { FaultyKv } from '../store/faulty-kv.ts';
import { peer } from '../store/made-records.ts';

export const SELF = peer('server');

export interface Told {
  readonly to: PeerId;
  readonly statement: ChangeStatement;
}

export class ServerLife {
  readonly clock = new SimClock(new SeededRandom(1));
  readonly kv = new FaultyKv(openMemoryKvStore({ clock: this.clock }, { id: 'remote' }));
  /** Nearer than the server, to everything. */
  nearer: PeerInfo[] = [];
  readonly told: Told[] = [];
  readonly gone = new Set<PeerId>();
  readonly heard: Statement[] = [];
  readonly logged: string[] = [];
  #listener: RpcListener = () => undefined;
  store!: RecordStore;
  server!: RecordServer;

  static async open(settings: Partial<RecordStoreSettings> = {}): Promise<ServerLife> {
    const life = new ServerLife();
    const nowMs = (): number => life.clock.now();
    const kv = life.kv.store;
    const remote = { kind: 'remote', ...settings } as const;
    life.store = await openRecordStore(remote, { kv, nowMs, logger: SILENT });
    life.serve();
    return life;
  }

  /** As after a restart: nothing but what is in the store. */
  serve(): void {
    this.server = new RecordServer({
      store: this.store,
      neighbourhood: {
        self: SELF,
        selfCoordinate: peerCoordinate(SELF),
        nearerThanSelf: (_: Coordinate, limit) => this.nearer.slice(0, limit),
        nearest: () => [],
        heardOf: () => undefined,
        answered: () => undefined,
        failed: () => undefined,
      },
      rpc: {
        tell: (to, statement) => {
          if (this.gone.has(to)) return false;
          const message = decodeMessage(encodeStatement(statement));
          if (message.kind !== 'statement' || message.statement === undefined) throw new Error();
          this.told.push({ to, statement: message.statement });
          return true;
        },
        on: (listener) => {
          this.#listener = listener;
          return { cancel: () => (this.#listener = () => undefined) };
        },
      },
      clock: this.clock,
      random: new SeededRandom(3),
      logger: { ...SILENT, error: (event) => this.logged.push(event) },
      onStatement: (_, statement) => this.heard.push(statement),
    });
  }

  connect(to: PeerId): void {
    this.gone.delete(to);
    this.#listener({ type: 'connected', peer: to });
  }

  async ask<Asked extends Question>(
    from: PeerId,
    question: Asked,
  ): Promise<AnswerTo<Asked> | InvalidAnswer> {
    const asked = decodeMessage(encodeQuestion(1, question));
    if (asked.kind !== 'question' || asked.question === undefined) throw new Error('no question');
    const answer = await this.server.answer(from, asked.question);
    const answered = decodeMessage(encodeAnswer(1, answer));
    if (answered.kind !== 'answer') throw new Error('no answer');
    return answered.answer as AnswerTo<Asked> | InvalidAnswer;
  }

  /** What was told since the last look. */
  async after(ms: number): Promise<Told[]> {
    await this.clock.advance(ms);
    return this.told.splice(0);
  }
}

export function peers(count: number): PeerInfo[] {
  return Array.from({ length: count }, (_, nth) => ({ id: peer(`near-${nth}`), addresses: [] }));
}
