/**
 * Puts questions to peers, and lets the table know what became of them: who answered, who did not, who
 * lied, and whom they named. Everything that asks peers asks through here.
 *
 * 1. An answer that names a peer which is not nearer to the place in question than the answering one,
 *    is none: `PEER_MESSAGE_INVALID` (`messages.ts`, 3).
 * 2. What a caller gave up, this side's own end, and silence while this side is offline, are no failures
 *    of the peer's: an outage makes nobody forgotten.
 */
import { type Clock, HoldfastError, isHoldfastError } from '@holdfast/core';
import {
  compareDistances,
  type Coordinate,
  peerCoordinate,
  type PeerId,
  recordCoordinate,
} from '../coordinate.ts';
import type { AnswerTo, PeerInfo, Question } from '../messages.ts';
import type { AskOptions, Rpc } from '../rpc.ts';
import type { PeerTable } from './peer-table.ts';

export class AskedPeers {
  readonly table: PeerTable;
  readonly #rpc: Rpc;
  readonly #clock: Clock;

  constructor(rpc: Rpc, table: PeerTable, clock: Clock) {
    this.#rpc = rpc;
    this.table = table;
    this.#clock = clock;
  }

  async ask<Asked extends Question>(
    peer: PeerId,
    question: Asked,
    options?: AskOptions,
  ): Promise<AnswerTo<Asked>> {
    const startedMs = this.#clock.monotonicMs();
    let answer: AnswerTo<Asked>;
    this.#introduce(peer);
    try {
      answer = await this.#rpc.ask(peer, question, options);
      this.#checkNearer(peer, question, answer);
    } catch (error) {
      this.#failed(peer, error);
      throw error;
    }
    this.table.answered(peer, this.#clock.monotonicMs() - startedMs);
    if ('peers' in answer) this.table.heardOf(answer.peers);
    return answer;
  }

  /** The peer broke the contract in a way that only whoever asked could see. */
  distrust(peer: PeerId): void {
    this.table.distrust(peer);
  }

  /** Networks keep addresses of few; the table has those of all that it knows. */
  #introduce(peer: PeerId): void {
    // What was heard lately of somebody who fell silent may be news: it has moved.
    if (this.table.isProved(peer) && this.#rpc.addressesOf(peer).length > 0) return;
    const addresses = this.table.addressesOf(peer);
    if (addresses.length > 0) this.#rpc.learn({ id: peer, addresses });
  }

  #failed(peer: PeerId, error: unknown): void {
    if (!isHoldfastError(error)) return;
    if (error.code === 'PEER_UNREACHABLE' && this.#rpc.online) this.table.failed(peer);
    else if (error.code === 'PEER_MESSAGE_INVALID') this.table.distrust(peer);
  }

  /** 1 */
  #checkNearer(peer: PeerId, question: Question, answer: AnswerTo<Question>): void {
    const target = targetOf(question);
    if (target === undefined || !('peers' in answer)) return;
    const named = answer.peers.find((other) => !isNearer(target, other, peer));
    if (named === undefined) return;
    throw new HoldfastError(
      'PEER_MESSAGE_INVALID',
      `a peer named one that is not nearer peer=${peer} named=${named.id}`,
    );
  }
}

function isNearer(target: Coordinate, named: PeerInfo, answering: PeerId): boolean {
  return compareDistances(target, peerCoordinate(named.id), peerCoordinate(answering)) < 0;
}

function targetOf(question: Question): Coordinate | undefined {
  if (question.type === 'ping' || question.type === 'command') return undefined;
  return question.type === 'find' ? question.target : recordCoordinate(question.record);
}
