/**
 * Bytes as text of `a-z` and `2-7` (RFC 4648 without padding), five bits a letter. Every text stands
 * for at most one sequence of bytes: case counts, and bits that are left over are zero.
 */
const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
const VALUES = new Map(LETTERS.split('').map((letter, value) => [letter, value]));

export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += LETTERS[(held >> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + LETTERS[(held << (5 - bits)) & 31];
}

/** `undefined` where the text is not one that `encodeBase32` gives for so many bytes. */
export function decodeBase32(text: string, length: number): Buffer | undefined {
  if (text.length !== Math.ceil((length * 8) / 5)) return undefined;
  const bytes = Buffer.alloc(length);
  let at = 0;
  let bits = 0;
  let held = 0;
  for (const letter of text) {
    const value = VALUES.get(letter);
    if (value === undefined) return undefined;
    held = (held << 5) | value;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = held >> bits;
    held &= (1 << bits) - 1;
  }
  return held === 0 ? bytes : undefined;
}
