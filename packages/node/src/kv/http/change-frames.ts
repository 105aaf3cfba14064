/**
 * Server-sent events of a watch, as bytes. The newest ones are kept, so that a change is encoded once
 * however many watch.
 *
 * Invariants
 * 1. A line break in a key or a value can end no event: all of it travels in JSON.
 * 2. At most `sharedChangeFrames` frames of `sharedChangeFrameBytes` in all are kept.
 */
import { LIMITS } from '@holdfast/core';
import type { KvChange } from '@holdfast/kv';
import { shownValue, type ValueForm } from './shown-value.ts';

/** Of which store, and how it is shown. */
export interface FrameScope {
  readonly store: string;
  readonly form: ValueForm;
}

interface Kept {
  readonly change: KvChange;
  readonly frame: Buffer;
}

/** Every event carries the number to resume from. */
export function eventFrame(name: string, seq: number, data: object): Buffer {
  return Buffer.from(`event: ${name}\nid: ${seq}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Keeps proxies awake; moves the number on past changes of other keys. */
export function heartbeatFrame(seq: number): Buffer {
  return Buffer.from(`:\nid: ${seq}\n\n`);
}

export class ChangeFrames {
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  frameOf(change: KvChange, { store, form }: FrameScope): Buffer {
    const name = `${store}/${form}/${change.seq}`;
    const known = this.#kept.get(name);
    if (known !== undefined && isSame(known.change, change)) return known.frame;
    const frame = encode(change, form);
    if (known === undefined && frame.length <= LIMITS.sharedChangeFrameBytes / 4) {
      // Without its value: that is in the frame.
      this.#keep(name, { change: { ...change, value: undefined }, frame });
    }
    return frame;
  }

  #keep(name: string, kept: Kept): void {
    this.#kept.set(name, kept);
    this.#bytes += kept.frame.length;
    for (const [oldest, { frame }] of this.#kept) {
      const few = this.#kept.size <= LIMITS.sharedChangeFrames;
      if (few && this.#bytes <= LIMITS.sharedChangeFrameBytes) return;
      this.#kept.delete(oldest);
      this.#bytes -= frame.length;
    }
  }
}

/** A store that was made anew counts anew. */
function isSame(known: KvChange, change: KvChange): boolean {
  const { type, key, version } = change;
  return known.type === type && known.key === key && known.version === version;
}

function encode({ seq, type, key, version, value }: KvChange, form: ValueForm): Buffer {
  return eventFrame('change', seq, { type, key, version, ...shownValue(value, form) });
}
