/**
 * What could not be delivered: one entry in an internal JSON stream for each time a subscription
 * was given up. Cursors stay where they are, so nothing is lost with it; an operator reads here
 * what stands still and why.
 */
import { hasCode } from '@holdfast/core';
import type { StreamStore } from '../stream-store.ts';
import { appendTagged, JSON_TYPE } from './append-json.ts';

/** Readable like any stream, written by nobody else; lists and patterns pass it over. */
export const DEAD_LETTERS_PATH = '__ds/dead-letters';

export interface DeadLetter {
  readonly type: 'dead-letter';
  readonly subscription_id: string;
  readonly wake_id: string;
  readonly generation: number;
  readonly attempts: number;
  readonly reason: string;
  readonly streams: readonly {
    readonly path: string;
    readonly acked_offset: string;
    readonly tail_offset: string;
  }[];
  readonly ts: number;
}

export class DeadLetters {
  readonly #streams: StreamStore;

  constructor(streams: StreamStore) {
    this.#streams = streams;
  }

  /** Creates the stream when it is the first. */
  async append(letter: DeadLetter, incarnation: string): Promise<void> {
    const producer = { id: `dead-letters-${incarnation}`, epoch: letter.generation, seq: 0 };
    const write = (): Promise<void> =>
      appendTagged(this.#streams, DEAD_LETTERS_PATH, letter, producer);
    try {
      await write();
    } catch (error) {
      if (!hasCode(error, 'STREAM_NOT_FOUND')) throw error;
      await this.#streams.create({
        path: DEAD_LETTERS_PATH,
        contentType: JSON_TYPE,
        closed: false,
      });
      await write();
    }
  }
}
