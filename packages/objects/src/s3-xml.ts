/**
 * The XML that an S3 store answers with, and no more than that: elements, text, the five named
 * entities and numbers for characters. Document types, processing instructions but for the
 * declaration, CDATA and comments are refused: no store needs them, and attacks do. Attributes
 * are checked and forgotten.
 *
 * What is refused is `STORAGE_UNAVAILABLE`: an answer that cannot be understood says nothing about
 * the objects. Size, depth and the number of elements are bounded.
 */
import { LIMITS } from '@holdfast/core';
import { unavailable } from './object-errors.ts';

export interface XmlElement {
  /** Without a prefix. */
  readonly name: string;
  /** All text directly in it. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const MAX_DEPTH = 8;
const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

const SPACE = String.raw`[ \t\r\n]`;
const NAME = String.raw`(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)`;
const ATTRIBUTE = String.raw`${SPACE}+[A-Za-z_:][\w.:-]*${SPACE}*=${SPACE}*(?:"[^"<]*"|'[^'<]*')`;
const DECLARATION = new RegExp(String.raw`^${SPACE}*<\?xml(?:${ATTRIBUTE})*${SPACE}*\?>`);
const OPENING = new RegExp(String.raw`<${NAME}(?:${ATTRIBUTE})*${SPACE}*(/?)>`, 'y');
const CLOSING = new RegExp(String.raw`</${NAME}${SPACE}*>`, 'y');
const ENTITY = /&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]{2,4}));/y;

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/** The root element. Throws `STORAGE_UNAVAILABLE` for anything else than a whole document. */
export function parseXml(bytes: Uint8Array): XmlElement {
  if (bytes.byteLength > LIMITS.maxObjectAnswerBytes) throw malformed('too long', bytes.byteLength);
  const text = decodeUtf8(bytes);
  const open: OpenElement[] = [];
  let elements = 0;
  let at = DECLARATION.exec(text)?.[0].length ?? 0;
  for (;;) {
    const next = text.indexOf('<', at);
    const between = text.slice(at, next < 0 ? undefined : next);
    const current = open.at(-1);
    if (current !== undefined) current.text += decodeText(between, at);
    else if (/[^ \t\r\n]/.test(between)) throw malformed('text outside of elements', at);
    if (next < 0) throw malformed('it ends early', text.length);
    if (text[next + 1] === '/') {
      const closing = matchAt(CLOSING, text, next);
      const done = open.pop();
      if (closing === undefined || done === undefined || done.name !== closing[1])
        throw malformed('tags cross', next);
      at = next + closing[0].length;
      const parent = open.at(-1);
      if (parent === undefined) return atEnd(done, text, at);
      parent.children.push(done);
      continue;
    }
    const opening = matchAt(OPENING, text, next);
    if (opening === undefined) throw malformed('not a tag', next);
    elements++;
    if (elements > LIMITS.maxObjectAnswerElements) throw malformed('too many elements', next);
    at = next + opening[0].length;
    const element: OpenElement = { name: opening[1] ?? '', text: '', children: [] };
    if (opening[2] !== '/') {
      if (open.length === MAX_DEPTH) throw malformed('too deep', next);
      open.push(element);
    } else if (current === undefined) {
      return atEnd(element, text, at);
    } else {
      current.children.push(element);
    }
  }
}

/** The first child of this name. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((each) => each.name === name);
}

export function childText(element: XmlElement, name: string): string | undefined {
  return child(element, name)?.text;
}

/** Text that may stand in an element. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (sign) =>
    sign === '&' ? '&amp;' : sign === '<' ? '&lt;' : '&gt;',
  );
}

function atEnd(root: XmlElement, text: string, at: number): XmlElement {
  if (/[^ \t\r\n]/.test(text.slice(at))) throw malformed('something behind the root', at);
  return root;
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

function decodeText(text: string, at: number): string {
  if (!text.includes('&')) return text;
  let decoded = '';
  let from = 0;
  for (;;) {
    const next = text.indexOf('&', from);
    if (next < 0) return decoded + text.slice(from);
    const match = matchAt(ENTITY, text, next);
    const sign = match === undefined ? undefined : entity(match);
    if (match === undefined || sign === undefined) throw malformed('not an entity', at + next);
    decoded += text.slice(from, next) + sign;
    from = next + match[0].length;
  }
}

function entity([, decimal, hexadecimal, named]: RegExpExecArray): string | undefined {
  if (named !== undefined) return Object.hasOwn(NAMED, named) ? NAMED[named] : undefined;
  const code = decimal === undefined ? parseInt(hexadecimal ?? '', 16) : parseInt(decimal, 10);
  const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : undefined;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw malformed('not UTF-8', 0);
  }
}

function malformed(what: string, at: number): Error {
  return unavailable(`the answer of the object store cannot be understood: ${what} at=${at}`);
}
