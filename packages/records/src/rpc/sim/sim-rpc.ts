/**
 * One peer of a `SimRpcNetwork`: the contract of `rpc.ts`, over links in virtual time.
 *
 * Invariants
 * 1. A call ends once: by its answer, its time, its signal, the end of its link, or the end of this
 *    peer; whatever comes later finds nothing.
 * 2. Bytes that are no message end the link, and every call that is under way on it as
 *    `PEER_MESSAGE_INVALID`.
 * 3. After `close`, and after a crash, no call begins, no service is asked and no listener hears
 *    anything.
 */
import { HoldfastError, isHoldfastError, RECORD_LIMITS } from '@holdfast/core';
import type { PeerId } from '../../coordinate.ts';
import {
  decodeMessage,
  encodeAnswer,
  encodeQuestion,
  encodeStatement,
  type Message,
} from '../../message-codec.ts';
import type {
  Answer,
  AnswerTo,
  InvalidAnswer,
  PeerInfo,
  Question,
  Statement,
} from '../../messages.ts';
import type {
  AskOptions,
  Rpc,
  RpcEvent,
  RpcListener,
  RpcService,
  RpcSubscription,
} from '../../rpc.ts';
import { expectAnswer } from '../expected-answer.ts';
import { SimCall } from './sim-call.ts';
import type { SimLink } from './sim-link.ts';
import type { SimRpcNetwork } from './sim-rpc-network.ts';

export class SimRpc implements Rpc {
  readonly self: PeerInfo;
  readonly #network: SimRpcNetwork;
  readonly #links = new Map<PeerId, SimLink>();
  readonly #addresses = new Map<PeerId, readonly string[]>();
  readonly #calls = new Map<number, SimCall>();
  readonly #serving = new Set<Promise<void>>();
  readonly #listeners = new Set<RpcListener>();
  #service: RpcService | undefined;
  #lastCall = 0;
  #closed = false;

  constructor(network: SimRpcNetwork, self: PeerInfo) {
    this.#network = network;
    this.self = self;
  }

  get online(): boolean {
    return this.#links.size > 0;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  async ask<Asked extends Question>(
    peer: PeerId,
    question: Asked,
    options: AskOptions = {},
  ): Promise<AnswerTo<Asked>> {
    if (this.#closed) throw closed();
    if (options.signal?.aborted === true) throw aborted();
    const id = ++this.#lastCall;
    const bytes = encodeQuestion(id, question);
    const answer = await new Promise<Answer | InvalidAnswer>((resolve, reject) => {
      const call = new SimCall(this.#network.clock, peer, options, { resolve, reject });
      this.#calls.set(id, call);
      call.onEnd(() => this.#calls.delete(id));
      this.#linkTo(peer, (link) => {
        if (call.ended) return;
        if (link === undefined) call.fail(unreachable(peer, 'none'));
        else this.#send(link, call, bytes, question.type);
      });
    });
    return expectAnswer(question, answer);
  }

  tell(peer: PeerId, statement: Statement): boolean {
    const link = this.#links.get(peer);
    if (this.#closed || link === undefined) return false;
    link.send(this, encodeStatement(statement), statement.type);
    return true;
  }

  serve(service: RpcService): void {
    if (this.#service !== undefined) throw new TypeError('the peer serves already');
    this.#service = service;
  }

  learn(peer: PeerInfo): void {
    if (peer.addresses.length === 0) return;
    this.#addresses.delete(peer.id);
    this.#addresses.set(peer.id, peer.addresses);
    this.#forgetAddresses();
  }

  addressesOf(peer: PeerId): readonly string[] {
    return this.#addresses.get(peer) ?? [];
  }

  connected(): readonly PeerId[] {
    return [...this.#links.keys()];
  }

  on(listener: RpcListener): RpcSubscription {
    this.#listeners.add(listener);
    return { cancel: () => this.#listeners.delete(listener) };
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#listeners.clear(); // I3
      for (const call of [...this.#calls.values()]) call.fail(closed());
    }
    await Promise.all(this.#serving);
    for (const link of [...this.#links.values()]) link.closedBy(this);
    this.#network.left(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // -- used by the network and its links -----------------------------------------------------

  links(): readonly SimLink[] {
    return [...this.#links.values()];
  }

  linkTo(peer: PeerId): SimLink | undefined {
    return this.#links.get(peer);
  }

  /** I3: nothing of it goes on; its calls stay as they are, with whoever waited for them. */
  crashed(): void {
    this.#closed = true;
    this.#listeners.clear();
    for (const call of [...this.#calls.values()]) call.abandon();
    for (const link of [...this.#links.values()]) link.closedBy(this);
  }

  linked(link: SimLink, other: SimRpc): void {
    const { id } = other.self;
    this.#links.set(id, link);
    this.#addresses.set(id, other.self.addresses);
    this.#emit({ type: 'connected', peer: id });
    if (this.#links.size === 1) this.#emit({ type: 'online' });
  }

  unlinked(link: SimLink, peer: PeerId): void {
    for (const call of [...this.#calls.values()]) {
      if (call.link === link) call.fail(unreachable(peer, 'unknown'));
    }
    if (this.#links.get(peer) !== link) return; // another one came since
    this.#links.delete(peer);
    this.#emit({ type: 'disconnected', peer });
    if (this.#links.size === 0) this.#emit({ type: 'offline' });
  }

  received(link: SimLink, bytes: Buffer): void {
    if (this.#closed) return;
    const from = link.otherThan(this).self.id;
    const message = this.#decoded(link, bytes);
    if (message === undefined) return;
    if (message.kind === 'answer') this.#calls.get(message.id)?.succeed(message.answer);
    else if (message.kind === 'question') this.#begin(link, from, message.id, message.question);
    else if (message.statement !== undefined) this.#service?.hear(from, message.statement);
  }

  /** I2 */
  #decoded(link: SimLink, bytes: Buffer): Message | undefined {
    try {
      return decodeMessage(bytes);
    } catch (error) {
      for (const call of [...this.#calls.values()]) {
        if (call.link === link) call.fail(error as Error);
      }
      link.closedBy(this);
      return undefined;
    }
  }

  /** The oldest go, but for those of peers that there is a link to. */
  #forgetAddresses(): void {
    if (this.#addresses.size <= RECORD_LIMITS.maxLearnedPeers) return;
    for (const peer of this.#addresses.keys()) {
      if (this.#links.has(peer)) continue;
      this.#addresses.delete(peer);
      return;
    }
  }

  #linkTo(peer: PeerId, ready: (link: SimLink | undefined) => void): void {
    const link = this.#links.get(peer);
    if (link !== undefined) {
      ready(link);
      return;
    }
    if (!this.#addresses.has(peer)) {
      ready(undefined);
      return;
    }
    this.#network.dial(this, peer, ready);
  }

  #send(link: SimLink, call: SimCall, bytes: Buffer, what: string): void {
    const slots = link.asking(this);
    slots.enter(() => {
      if (call.ended) {
        slots.leave();
        return;
      }
      call.onEnd(() => slots.leave());
      call.sentOver(link);
      link.send(this, bytes, what);
    });
  }

  #begin(link: SimLink, from: PeerId, id: number, question: Question | undefined): void {
    const slots = link.served(this);
    slots.enter(() => {
      const served = this.#serve(link, from, id, question).finally(() => {
        slots.leave();
        this.#serving.delete(served);
      });
      this.#serving.add(served);
    });
  }

  /** Never rejects. */
  async #serve(
    link: SimLink,
    from: PeerId,
    id: number,
    question: Question | undefined,
  ): Promise<void> {
    const conditions = this.#network.conditionsOf(this.self.id);
    if (conditions.silent) return;
    const answer = await this.#answer(from, question);
    if (conditions.slowMs > 0) {
      await new Promise<void>((resolve) => this.#network.clock.after(conditions.slowMs, resolve));
    }
    if (this.#closed || !link.isOpen) return;
    const bytes = this.#encoded(id, answer);
    if (conditions.garbled) bytes[this.#network.random.integer(2)] = 0xff;
    link.send(this, bytes, `${answer.type}!`);
  }

  /** An answer without bytes is a bug of the service: its asker is told as of any other. */
  #encoded(id: number, answer: Answer | InvalidAnswer): Buffer {
    try {
      return encodeAnswer(id, answer);
    } catch (error) {
      this.#network.logger.error('records.service-failed', { error: String(error) });
      return encodeAnswer(id, { type: 'invalid' });
    }
  }

  async #answer(from: PeerId, question: Question | undefined): Promise<Answer | InvalidAnswer> {
    if (question === undefined || this.#service === undefined) return { type: 'invalid' };
    try {
      return await this.#service.answer(from, question);
    } catch (error) {
      if (!this.#closed) {
        const code = isHoldfastError(error) ? error.code : String(error);
        this.#network.logger.warn('records.service-failed', { question: question.type, code });
      }
      return { type: 'invalid' };
    }
  }

  #emit(event: RpcEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#network.logger.error('records.listener-failed', { error: String(error) });
      }
    }
  }
}

function unreachable(peer: PeerId, effect: 'none' | 'unknown'): HoldfastError {
  return new HoldfastError('PEER_UNREACHABLE', `the peer cannot be reached peer=${peer}`, {
    effect,
  });
}

function closed(): HoldfastError {
  return new HoldfastError('CLOSED', 'the network of records is closed', { effect: 'unknown' });
}

function aborted(): HoldfastError {
  return new HoldfastError('ABORTED', 'the call was aborted');
}
