/**
 * Keys as names of files, one to one, on any disk: case, dots, lengths and signs do not matter.
 *
 * A segment is written in lower-case letters, digits, `-` and `_`; every other byte of its UTF-8
 * as `%xx`. One longer than `PIECE` is cut into folders whose names end in `+`. The last piece of
 * a key ends in `.obj`, so that an object and a folder of one name stand side by side.
 */
import { LIMITS } from '@holdfast/core';

/** With its ending below the 255 bytes that every file system takes. */
const PIECE = 200;
const OBJECT = '.obj';
const CONTINUED = '+';
/** A `%xx` may be cut between two pieces. */
const ENTRY = /^([a-z0-9_%-]{1,200})(\.obj|\+)?$/;
const ENCODED = /^(?:[a-z0-9_-]|%[0-9a-f]{2})+$/;

/** Folder and name of the file of a key, below the folder of all objects. */
export function objectPath(key: string): { readonly folder: string; readonly name: string } {
  const pieces = key.split('/').flatMap((segment) => {
    const encoded = encodeSegment(segment);
    const cut: string[] = [];
    for (let at = 0; at < encoded.length; at += PIECE) cut.push(encoded.slice(at, at + PIECE));
    return cut.map((piece, index) => (index < cut.length - 1 ? piece + CONTINUED : piece));
  });
  const name = `${pieces.pop() ?? ''}${OBJECT}`;
  return { folder: pieces.join('/'), name };
}

export type FolderEntry =
  | { readonly kind: 'object'; readonly text: string }
  /** `text` is a whole segment, or with `continued` the beginning of one. */
  | { readonly kind: 'folder'; readonly text: string; readonly continued: boolean };

/** What a name in a folder stands for; `text` is still encoded. `undefined`: not one of ours. */
export function parseEntry(name: string): FolderEntry | undefined {
  const match = ENTRY.exec(name);
  if (match === null) return undefined;
  const [, text = '', ending] = match;
  if (ending === OBJECT) return { kind: 'object', text };
  return { kind: 'folder', text, continued: ending === CONTINUED };
}

/** `undefined` when no segment is written like this. */
export function decodeSegment(encoded: string): string | undefined {
  if (!ENCODED.test(encoded)) return undefined;
  const bytes = Buffer.from(
    encoded.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    'latin1',
  );
  const segment = bytes.toString('utf8');
  return encodeSegment(segment) === encoded && !segment.includes('/') ? segment : undefined;
}

function encodeSegment(segment: string): string {
  let encoded = '';
  for (const byte of Buffer.from(segment, 'utf8')) {
    const sign = String.fromCharCode(byte);
    encoded += /[a-z0-9_-]/.test(sign) ? sign : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return encoded;
}

/** Encoded segments that could still be one of a key are not longer than this. */
export const MAX_ENCODED_SEGMENT: number = LIMITS.maxObjectKeyBytes * 3;
