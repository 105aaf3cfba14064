/**
 * Keys as text: `hfk1:` and the 32 bytes in base64url, one a line or parted by commas, the active
 * one first; `#` begins a comment. A file may also be the 32 bytes themselves.
 *
 * No error shows any of the text: a key with a typing error is almost a key.
 */
import { type KeyObject, createSecretKey } from 'node:crypto';
import { KEY_BYTES, invalidKey } from './key-ring.ts';
import { LIMITS } from './limits.ts';
import type { Random } from './random.ts';

const PREFIX = 'hfk1:';
const TEXT_BYTES = 43;

/** A new key, as text. */
export function generateKeyText(random: Random): string {
  return PREFIX + random.bytes(KEY_BYTES).toString('base64url');
}

/** The keys in `text`, at least one. Throws `INVALID_KEY` naming the line. */
export function parseKeyText(text: string): KeyObject[] {
  if (Buffer.byteLength(text) > LIMITS.maxKeyTextBytes) throw tooLong();
  const keys: KeyObject[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const [content = ''] = line.split('#');
    for (const item of content.split(',')) {
      const word = item.trim();
      if (word !== '') keys.push(parseKey(word, index + 1));
    }
  }
  if (keys.length === 0) throw invalidKey('there is no key in the text');
  return keys;
}

/** What a key file or the output of a key command holds: text, or 32 raw bytes. */
export function parseKeyBytes(bytes: Uint8Array): KeyObject[] {
  if (bytes.length === KEY_BYTES) return [createSecretKey(bytes)];
  if (bytes.length > LIMITS.maxKeyTextBytes) throw tooLong();
  return parseKeyText(Buffer.from(bytes).toString('utf8'));
}

function parseKey(word: string, line: number): KeyObject {
  const text = word.slice(PREFIX.length);
  const bytes = Buffer.from(text, 'base64url');
  // Also refuses what base64url would skip, and bits behind the last byte.
  const canonical =
    word.startsWith(PREFIX) && text.length === TEXT_BYTES && bytes.toString('base64url') === text;
  if (!canonical) {
    throw invalidKey(`not a key, expected ${PREFIX} and ${TEXT_BYTES} characters line=${line}`);
  }
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

function tooLong(): Error {
  return invalidKey(`keys are longer than ${LIMITS.maxKeyTextBytes} bytes`);
}
