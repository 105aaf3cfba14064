/**
 * Keys of entries as names of objects, in the same order, of letters, digits, `-` and `_` only.
 *
 * Six bits are one sign of an alphabet in the order of ASCII. A `/` after each `PIECE` of them keeps
 * parts short enough for names of files; `!`, which is below all signs, ends every name.
 */

const ALPHABET = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const PIECE = 200;
const END = '!';
const TO_NAME = new Map(Array.from(BASE64URL).map((sign, at) => [sign, ALPHABET[at] as string]));
const FROM_NAME = new Map(Array.from(ALPHABET).map((sign, at) => [sign, BASE64URL[at] as string]));
const NUMBER_DIGITS = 14;

/** The longest key whose name, with a number before it, is the key of an object. */
export const MAX_NAMED_KEY_BYTES = 366;

/** Below every name of this key and of all above it, above every name of those below it. */
export function nameBefore(key: string): string {
  const signs = Array.from(Buffer.from(key).toString('base64url'), (each) => TO_NAME.get(each));
  let name = '';
  for (let at = 0; at < signs.length; at += PIECE) {
    name += signs.slice(at, at + PIECE).join('');
    if (at + PIECE <= signs.length) name += '/';
  }
  return name;
}

export function nameOf(key: string): string {
  return nameBefore(key) + END;
}

/** `undefined`: no name of a key. */
export function keyOf(name: string): string | undefined {
  if (!name.endsWith(END)) return undefined;
  const signs = Array.from(name.slice(0, -1).replaceAll('/', ''), (each) => FROM_NAME.get(each));
  const key = Buffer.from(signs.join(''), 'base64url').toString('utf8');
  return nameOf(key) === name ? key : undefined;
}

/** Numbers in their order. */
export function numberName(number: number): string {
  return number.toString(16).padStart(NUMBER_DIGITS, '0');
}

/** Numbers against their order: what is newest comes first. */
export function reverseNumberName(number: number): string {
  return numberName(Number.MAX_SAFE_INTEGER - number);
}

export function numberOfName(name: string): number {
  return parseInt(name, 16);
}

export function numberOfReverseName(name: string): number {
  return Number.MAX_SAFE_INTEGER - parseInt(name, 16);
}
