/**
 * A running hash over what happened, to tell whether two runs were the same run. Not
 * cryptographic; 64 bits in two lanes.
 */
export class TraceHash {
  #low = 0x811c9dc5 | 0;
  #high = 0x9e3779b9 | 0;
  #count = 0;

  /** Mixes one safe integer in. */
  add(value: number): void {
    const low = value | 0;
    const high = Math.floor(value / 0x1_0000_0000) | 0;
    this.#low = Math.imul((this.#low ^ low) + high, 0x01000193);
    this.#high = Math.imul(this.#high ^ (this.#low >>> 13) ^ low, 0x85ebca6b);
    this.#count++;
  }

  addText(text: string): void {
    for (let i = 0; i < text.length; i++) this.add(text.charCodeAt(i));
    this.add(text.length);
  }

  /** 16 hexadecimal digits and the number of values, e.g. `3f...-812`. */
  digest(): string {
    return `${hex(this.#high)}${hex(this.#low)}-${this.#count}`;
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
