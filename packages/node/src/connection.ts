/**
 * One connection: its requests in their order, and the pace at which bytes have to move on it.
 *
 * Invariants
 * I1. A request is begun when the answer before it has ended: requests of one connection take
 *     effect in their order, and one that is never begun has none.
 * I2. At most `maxPipelinedRequests` wait, of `maxPipelinedBytes`. One more is refused, and ends
 *     the connection in its turn; whoever sends on and on behind it is cut at once.
 * I3. Nothing lasts without progress: a body has to come, and an answer has to be taken, at a
 *     least rate over each window; a connection that nobody uses ends. Windows are counted in
 *     looks, so that a node that stood still itself cuts nobody.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HoldfastError, LIMITS } from '@holdfast/core';
import { bytesTaken } from '@holdfast/streams';
import type { Client } from './client-table.ts';

/** What is asked of every connection; times in looks, at least 1. */
export interface ConnectionPace {
  readonly bodyLooks: number;
  readonly minBodyBytes: number;
  readonly readLooks: number;
  readonly minReadBytes: number;
  readonly idleLooks: number;
}

/** One request and its answer. */
export interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expect: 'nothing' | 'continue' | 'unknown';
  /** Why it is not to be answered as it asks. */
  readonly refusal?: HoldfastError;
}

export interface ConnectionOwner {
  /** Answers; gives the client the request was counted for. */
  begin(connection: Connection, turn: Turn): Client | undefined;
  ended(client: Client, bytes: number): void;
  /** A body that comes too slowly. */
  timedOut(turn: Turn): void;
}

/** A request whose turn will come. */
interface Waiting {
  readonly turn: Turn;
  /** By the socket when it came: what came since is in memory as well. */
  readonly bytesRead: number;
}

export class Connection {
  readonly socket: Socket;
  readonly client: Client | undefined;
  readonly #owner: ConnectionOwner;
  #active: Turn | undefined;
  #counted: Client | undefined;
  #charged = 0;
  #waiting: Waiting[] = [];
  /** Requests that came behind the one that is refused. */
  #ignored = 0;
  /** The last request begun: its body may come after its answer. */
  #reading: IncomingMessage | undefined;
  #bodyLooks = 0;
  #bodyFrom = 0;
  #readLooks = 0;
  #readFrom = 0;
  #idleLooks = 0;

  constructor(socket: Socket, client: Client | undefined, owner: ConnectionOwner) {
    this.socket = socket;
    this.client = client;
    this.#owner = owner;
  }

  /** The answer that is owed now. */
  get active(): Turn | undefined {
    return this.#active;
  }

  take(turn: Turn): void {
    if (this.#active === undefined) {
      this.#begin(turn);
      return;
    }
    if (this.#ignored > 0 || this.#waiting.at(-1)?.turn.refusal !== undefined) {
      this.#ignore();
      return;
    }
    const { bytesRead } = this.socket;
    const bytes = bytesRead - (this.#waiting[0]?.bytesRead ?? bytesRead);
    const { maxPipelinedRequests, maxPipelinedBytes } = LIMITS;
    if (this.#waiting.length < maxPipelinedRequests && bytes <= maxPipelinedBytes) {
      this.#waiting.push({ turn, bytesRead });
      return;
    }
    const limit = `limit=${maxPipelinedRequests} bytes=${maxPipelinedBytes}`;
    const refusal = new HoldfastError('CLIENT_QUOTA_EXCEEDED', `too many requests ahead ${limit}`);
    this.#waiting.push({ turn: { ...turn, refusal }, bytesRead });
  }

  /** Node.js keeps each until its turn, which never comes. I2 */
  #ignore(): void {
    if (++this.#ignored > 4 * LIMITS.maxPipelinedRequests) this.socket.destroy();
  }

  /** Looks whether bytes moved. I3 */
  look(pace: ConnectionPace): void {
    this.#lookAtBody(pace);
    this.#lookAtAnswer(pace);
    const used = this.#active !== undefined || this.socket.writableLength > 0;
    this.#idleLooks = used ? 0 : this.#idleLooks + 1;
    if (this.#idleLooks > pace.idleLooks) this.socket.destroy();
  }

  #begin(turn: Turn): void {
    this.#active = turn;
    this.#reading = turn.request;
    this.#bodyLooks = 0;
    turn.response.once('close', this.#ended);
    this.#counted = this.#owner.begin(this, turn);
  }

  readonly #ended = (): void => {
    this.#active = undefined;
    const counted = this.#counted;
    if (counted !== undefined) {
      this.#counted = undefined;
      const { bytesRead } = this.socket;
      this.#owner.ended(counted, bytesRead - this.#charged);
      this.#charged = bytesRead;
    }
    if (this.#waiting.length === 0) return;
    if (this.socket.destroyed || this.socket.writableEnded) this.#waiting = [];
    else this.#begin((this.#waiting.shift() as Waiting).turn);
  };

  #lookAtBody(pace: ConnectionPace): void {
    const reading = this.#reading;
    if (reading === undefined || reading.complete) {
      this.#reading = undefined;
      return;
    }
    const { bytesRead } = this.socket;
    if (this.#bodyLooks++ === 0) this.#bodyFrom = bytesRead;
    if (this.#bodyLooks <= pace.bodyLooks) return;
    if (bytesRead - this.#bodyFrom >= pace.minBodyBytes) {
      this.#bodyLooks = 1;
      this.#bodyFrom = bytesRead;
      return;
    }
    this.#reading = undefined;
    if (this.#active?.request === reading) this.#owner.timedOut(this.#active);
    else this.socket.destroy();
  }

  #lookAtAnswer(pace: ConnectionPace): void {
    if (this.socket.writableLength === 0) {
      this.#readLooks = 0;
      return;
    }
    const taken = bytesTaken(this.socket);
    if (this.#readLooks++ === 0) this.#readFrom = taken;
    if (this.#readLooks <= pace.readLooks) return;
    if (taken - this.#readFrom < pace.minReadBytes) {
      this.socket.destroy();
      return;
    }
    this.#readLooks = 1;
    this.#readFrom = taken;
  }
}
