/**
 * Server-sent events of a watch, as bytes. The newest ones are kept, so that a change is encoded once
 * however many watch.
 *
 * Invariants
 * 1. A line break in a key or a value can end no event: all of it travels in JSON.
 * 2. At most `sharedChangeFrames` frames of `sharedChangeFrameBytes` in all are kept, and the newest in
 *    any case: it is the large ones that many copies of would not fit into memory.
 * 3. The value of a change is looked at only to encode it: to look is to copy.
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
  readonly change: Omit<KvChange, 'value'>;
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
    const { seq, type, key, version } = change; // I3
    if (known === undefined) this.#keep(name, { change: { seq, type, key, version }, frame });
    return frame;
  }

  #keep(name: string, kept: Kept): void {
    this.#kept.set(name, kept);
    this.#bytes += kept.frame.length;
    for (const [oldest, { frame }] of this.#kept) {
      const few = this.#kept.size <= LIMITS.sharedChangeFrames;
      const small = this.#bytes <= LIMITS.sharedChangeFrameBytes;
      if ((few && small) || this.#kept.size === 1) return; // I2
      this.#kept.delete(oldest);
      this.#bytes -= frame.length;
    }
  }
}

/** A store that was made anew counts anew. */
function isSame(known: Omit<KvChange, 'value'>, change: KvChange): boolean {
  const { type, key, version } = change;
  return known.type === type && known.key === key && known.version === version;
}

function encode(change: KvChange, form: ValueForm): Buffer {
  const { seq, type, key, version } = change;
  const value = form === 'none' ? undefined : change.value; // I3
  return eventFrame('change', seq, { type, key, version, ...shownValue(value, form) });
}
