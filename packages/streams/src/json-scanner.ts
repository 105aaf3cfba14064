/**
 * Checks JSON text (RFC 8259) in one pass over its bytes and says where values end. Nothing is
 * parsed into values, so nothing is allocated, and depth costs no recursion.
 *
 * Refused besides bad grammar: escaped lone surrogates, which no reader could decode, and nesting
 * beyond `maxDepth`. The caller has checked that the bytes are UTF-8.
 *
 * Invariants
 * 1. It accepts exactly what `JSON.parse` accepts of the same text, but for the two above
 *    (`json-scanner.test.ts` compares them).
 * 2. `at` never passes the end of the bytes by more than a refused token.
 */
import { HoldfastError } from '@holdfast/core';

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_E = 0x65;
const LOWER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Bytes that stand for themselves in a string. */
const PLAIN = new Uint8Array(256).fill(1);
PLAIN.fill(0, 0, 0x20);
PLAIN[QUOTE] = 0;
PLAIN[BACKSLASH] = 0;

/** What may follow a backslash, but for `u`. */
const ESCAPES = new Uint8Array(256);
for (const byte of Buffer.from('"\\/bfnrt')) ESCAPES[byte] = 1;

export class JsonScanner {
  readonly #bytes: Buffer;
  readonly #maxDepth: number;
  /** Brackets open around the position, as their bytes. */
  readonly #open: number[] = [];
  at = 0;

  constructor(bytes: Buffer, maxDepth: number) {
    this.#bytes = bytes;
    this.#maxDepth = maxDepth;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  /** The byte at the position; 0, which JSON does not know, at the end. */
  peek(): number {
    const at = this.at;
    return at < this.#bytes.length ? (this.#bytes[at] as number) : 0;
  }

  /** Passes white space. Mostly there is none, so that is what is quick. */
  space(): void {
    if (this.peek() <= 0x20) this.#spaces();
  }

  #spaces(): void {
    for (;;) {
      const byte = this.peek();
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at++;
    }
  }

  /** Passes one value and returns where it ends. Throws `INVALID_JSON`. */
  value(): number {
    const open = this.#open;
    for (;;) {
      const byte = this.peek();
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        if (open.length === this.#maxDepth) throw invalid(`nested too deep`, this.at);
        this.at++;
        this.space();
        if (this.peek() !== (byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY)) {
          open.push(byte);
          if (byte === OPEN_OBJECT) this.#key();
          continue;
        }
        this.at++;
      } else {
        this.#scalar(byte);
      }
      if (this.#closed()) return this.at;
    }
  }

  /** After a value: passes what closes; false when another value follows inside. */
  #closed(): boolean {
    const open = this.#open;
    while (open.length > 0) {
      this.space();
      const object = open[open.length - 1] === OPEN_OBJECT;
      const byte = this.peek();
      this.at++;
      if (byte === COMMA) {
        this.space();
        if (object) this.#key();
        return false;
      }
      if (byte !== (object ? CLOSE_OBJECT : CLOSE_ARRAY)) {
        throw invalid('a comma or bracket is missing', this.at - 1);
      }
      open.pop();
    }
    return true;
  }

  #key(): void {
    if (this.peek() !== QUOTE) throw invalid('a key is missing', this.at);
    this.#string();
    this.space();
    if (this.peek() !== COLON) throw invalid('a colon is missing', this.at);
    this.at++;
    this.space();
  }

  #scalar(byte: number): void {
    if (byte === QUOTE) this.#string();
    else if (byte === MINUS || isDigit(byte)) this.#number();
    else if (byte === 0x74) this.#word('true');
    else if (byte === 0x66) this.#word('false');
    else if (byte === 0x6e) this.#word('null');
    else throw invalid('a value is missing', this.at);
  }

  #string(): void {
    const bytes = this.#bytes;
    let at = this.at + 1;
    for (;;) {
      // Behind the end there is `undefined`, which is not plain either.
      while (PLAIN[bytes[at] as number] === 1) at++;
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.at = at + 1;
        return;
      }
      if (byte !== BACKSLASH) throw invalid('a string does not end or holds a control', at);
      at = this.#escape(at);
    }
  }

  /** Passes the escape, or the pair of them, whose backslash is at `at`. */
  #escape(at: number): number {
    const bytes = this.#bytes;
    const byte = bytes[at + 1] ?? 0;
    if (ESCAPES[byte] === 1) return at + 2;
    if (byte !== LOWER_U) throw invalid('an unknown escape', at);
    const unit = this.#unit(at + 2);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    const paired = unit < 0xdc00 && bytes[at + 6] === BACKSLASH && bytes[at + 7] === LOWER_U;
    const low = paired ? this.#unit(at + 8) : 0;
    if (low < 0xdc00 || low > 0xdfff) throw invalid('a lone surrogate', at);
    return at + 12;
  }

  #unit(at: number): number {
    let unit = 0;
    for (let i = at; i < at + 4; i++) {
      const byte = this.#bytes[i] ?? 0;
      const letter = byte | 0x20;
      if (isDigit(byte)) unit = unit * 16 + (byte - ZERO);
      else if (letter >= 0x61 && letter <= 0x66) unit = unit * 16 + (letter - 87);
      else throw invalid('not four hexadecimal digits', i);
    }
    return unit;
  }

  #number(): void {
    if (this.peek() === MINUS) this.at++;
    if (this.peek() === ZERO) this.at++;
    else this.#digits();
    if (this.peek() === DOT) {
      this.at++;
      this.#digits();
    }
    if ((this.peek() | 0x20) === LOWER_E) {
      this.at++;
      const sign = this.peek();
      if (sign === MINUS || sign === PLUS) this.at++;
      this.#digits();
    }
  }

  #digits(): void {
    const bytes = this.#bytes;
    const length = bytes.length;
    let at = this.at;
    while (at < length && isDigit(bytes[at] as number)) at++;
    if (at === this.at) throw invalid('a digit is missing', at);
    this.at = at;
  }

  #word(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.at + i] !== word.charCodeAt(i)) {
        throw invalid('an unknown word', this.at);
      }
    }
    this.at += word.length;
  }
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

/** Never quotes the body: the message may end in a log. */
function invalid(what: string, at: number): HoldfastError {
  return new HoldfastError('INVALID_JSON', `body is not valid json: ${what} at=${at}`);
}
