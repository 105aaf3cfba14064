/**
 * A run of consecutive messages and where each ends: what the reader searches, whether the
 * run is in memory (a tail chunk) or an extent whose index was decoded.
 */
import { ByteReader, ByteWriter, HoldfastError } from '@holdfast/core';

export interface MessageRun {
  readonly firstMessage: number;
  readonly firstByte: number;
  readonly count: number;
  readonly byteLength: number;
  /** End of message `index` (0 to count - 1), bytes from the start of the run. */
  endOf(index: number): number;
  /** Message `index` is the last one of its append. */
  endsAppend(index: number): boolean;
}

/** Start of message `index`, bytes from the start of the run; `index` may be `count`. */
export function startOf(run: MessageRun, index: number): number {
  return index === 0 ? 0 : run.endOf(index - 1);
}

/** How many messages of the run end at or before `byte` (from the start of the run). */
export function countEndingBy(run: MessageRun, byte: number): number {
  let low = 0;
  let high = run.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (run.endOf(middle) <= byte) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The index of an extent as it rests behind the data: for each message the varint
 * `length * 2 + endsAppend`.
 */
export class MessageIndexWriter {
  readonly #writer = new ByteWriter();
  #messages = 0;

  get messages(): number {
    return this.#messages;
  }

  add(length: number, endsAppend: boolean): void {
    this.#writer.varint(length * 2 + (endsAppend ? 1 : 0));
    this.#messages++;
  }

  finish(): Buffer {
    return this.#writer.finish();
  }
}

/** A decoded index: 8 bytes of memory per message. */
export class IndexedRun implements MessageRun {
  readonly firstMessage: number;
  readonly firstByte: number;
  readonly count: number;
  readonly byteLength: number;
  /** End * 2 + endsAppend; an extent is far below 2^31 bytes. */
  readonly #ends: Uint32Array;

  private constructor(
    firstMessage: number,
    firstByte: number,
    byteLength: number,
    ends: Uint32Array,
  ) {
    this.firstMessage = firstMessage;
    this.firstByte = firstByte;
    this.byteLength = byteLength;
    this.count = ends.length;
    this.#ends = ends;
  }

  /** Throws `FORMAT_INVALID` when the index does not describe exactly this extent. */
  static decode(
    index: Buffer,
    extent: { firstMessage: number; firstByte: number; messages: number; bytes: number },
  ): IndexedRun {
    if (extent.messages > index.length) throw damaged('fewer entries than messages');
    const reader = new ByteReader(index);
    const ends = new Uint32Array(extent.messages);
    let end = 0;
    for (let i = 0; i < extent.messages; i++) {
      const entry = reader.varint();
      const length = Math.floor(entry / 2);
      end += length;
      if (length === 0 || end > extent.bytes) throw damaged('a length that does not fit');
      ends[i] = end * 2 + (entry % 2);
    }
    reader.end();
    if (end !== extent.bytes) throw damaged('lengths that do not sum up');
    return new IndexedRun(extent.firstMessage, extent.firstByte, extent.bytes, ends);
  }

  get memoryBytes(): number {
    return this.#ends.byteLength + 64;
  }

  endOf(index: number): number {
    return (this.#ends[index] as number) >>> 1;
  }

  endsAppend(index: number): boolean {
    return ((this.#ends[index] as number) & 1) === 1;
  }
}

function damaged(what: string): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `extent index has ${what}`);
}
