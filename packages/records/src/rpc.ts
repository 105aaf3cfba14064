/**
 * The contract of the network under records: asks peers, and answers for this one. Implementations:
 * `rpc/sim` (in the process, in virtual time), later `rpc/libp2p`. They move messages and know nothing
 * of records; who is near to what is the peer table's business.
 *
 * Questions
 * 1. `ask` resolves with the answer of the peer to exactly this question, of a type it allows. An answer
 *    of another type, `invalid`, or bytes that are none are `PEER_MESSAGE_INVALID`.
 * 2. It rejects as `PEER_UNREACHABLE` when no answer came within `timeoutMs`, when the connection
 *    cannot be made or broke, or when this side is offline. Then the peer may have seen the
 *    question and acted on it (`effect: 'unknown'`), unless it was certainly not sent (`none`).
 * 3. A question is served at most once. Nothing is retried in here.
 * 4. A call whose signal ended rejects as `ABORTED`; a late answer to it disturbs nothing.
 * 5. A peer that never answers, or answers slowly, delays no other.
 *
 * Statements
 * 6. `tell` is sent at most once, over the connection that there is: none is made for it. It tells
 *    whether there was one, and no more.
 *
 * Serving
 * 7. The id of the asking peer (`from`) is proved by the network. No call comes before `serve`, and
 *    no second `serve`. A service that rejects, however, gives the asker `invalid`, and is logged.
 * 8. Calls of one peer are served beside each other, at most `maxQuestionsOfPeer`; what is above
 *    waits in the network. Bytes of messages are bounded by `maxPeerMessageBytes`, and everything a
 *    peer sends was decoded and is in bounds before the service sees it.
 * 9. What a service is given is nobody else's: messages may be kept. Values share no memory with the
 *    sender.
 *
 * Peers
 * 10. `learn` remembers where a peer can be reached; addresses are hints, and only a connection proves
 *     them. A peer that nobody told about is asked all the same, if there is a connection.
 * 11. Events say what happened: `connected` once this side can ask the peer, `disconnected` when it
 *     no longer can; `online` and `offline` when the first connection came or the last one went. In the
 *     order in which it happened; a listener that throws is logged.
 *
 * Life
 * 12. `close` is idempotent: it ends all calls as `CLOSED`, waits for services under way, then closes
 *     connections. Later calls are `CLOSED`.
 *
 * Owner: who opened it closes it; engines only ask.
 */
import type { PeerId } from './coordinate.ts';
import type { Answer, AnswerTo, InvalidAnswer, PeerInfo, Question, Statement } from './messages.ts';

export interface Rpc extends AsyncDisposable {
  /** This peer, with the addresses others are told. */
  readonly self: PeerInfo;
  /** Is there at least one connection? */
  readonly online: boolean;
  ask<Asked extends Question>(
    peer: PeerId,
    question: Asked,
    options?: AskOptions,
  ): Promise<AnswerTo<Asked>>;
  /** False: there is no connection. */
  tell(peer: PeerId, statement: Statement): boolean;
  serve(service: RpcService): void;
  learn(peer: PeerInfo): void;
  /** Addresses that are known of it, for answers to others. */
  addressesOf(peer: PeerId): readonly string[];
  connected(): readonly PeerId[];
  on(listener: RpcListener): RpcSubscription;
  close(): Promise<void>;
}

export interface AskOptions {
  /** Default: `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RpcService {
  /** Resolves: a question that cannot be served has an answer, too. */
  answer(from: PeerId, question: Question): Promise<Answer | InvalidAnswer>;
  /** Never throws. */
  hear(from: PeerId, statement: Statement): void;
}

export type RpcEvent =
  | { readonly type: 'connected' | 'disconnected'; readonly peer: PeerId }
  | { readonly type: 'online' | 'offline' };

export type RpcListener = (event: RpcEvent) => void;

export interface RpcSubscription {
  /** Idempotent. */
  cancel(): void;
}
