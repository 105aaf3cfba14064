/**
 * Bodies of control requests: one JSON object, read strictly. What is not understood is refused
 * and not skipped: a misspelt member would otherwise be a subscription that does something else.
 * Members that are `null` are as if absent, which is how answers show them.
 */
import { isUtf8 } from 'node:buffer';
import { closestName, HoldfastError } from '@holdfast/core';
import { HALF_CHARACTER } from '../stream-path.ts';

/** Of an object or an array in it. */
const MAX_DEPTH = 4;

/** In text that is known to be JSON: where a string begins, and what nests or names. */
const TOKEN = /["{}[\]:]/g;
/** Where it ends, or what comes behind is of it. */
const STRING_END = /["\\]/g;

/** An object of a body, whose members are asked for by name and checked one by one. */
export class ControlObject {
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #where: string;

  /** Throws `INVALID_SUBSCRIPTION` when there is a member that is not in `names`. */
  constructor(value: unknown, names: readonly string[], where = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(where === '' ? 'the body is not a JSON object' : `${where} is not an object`);
    }
    this.#members = value as Record<string, unknown>;
    this.#where = where;
    for (const name of Object.keys(value)) {
      if (names.includes(name)) continue;
      const near = closestName(name, names);
      const hint = near === undefined ? `known are ${names.join(', ')}` : `did you mean ${near}?`;
      throw invalid(`${this.#of('a member')} is not known, ${hint}`);
    }
  }

  /** Absent members are `undefined`. */
  value(name: string): unknown {
    return Object.hasOwn(this.#members, name) ? (this.#members[name] ?? undefined) : undefined;
  }

  text(name: string, maxBytes: number): string | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '' || HALF_CHARACTER.test(value)) {
      throw invalid(`${this.#of(name)} is not a text`);
    }
    if (Buffer.byteLength(value) > maxBytes) {
      throw invalid(`${this.#of(name)} is too long limit=${maxBytes}`);
    }
    return value;
  }

  integer(name: string, minimum: number, maximum: number): number | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < minimum || (value as number) > maximum) {
      throw invalid(`${this.#of(name)} is not a whole number from ${minimum} to ${maximum}`);
    }
    return value as number;
  }

  flag(name: string): boolean | undefined {
    const value = this.value(name);
    if (value !== undefined && typeof value !== 'boolean') {
      throw invalid(`${this.#of(name)} is not true or false`);
    }
    return value;
  }

  list(name: string, maximum: number): readonly unknown[] | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw invalid(`${this.#of(name)} is not a list`);
    if (value.length > maximum) throw invalid(`${this.#of(name)} is too long limit=${maximum}`);
    return value;
  }

  #of(name: string): string {
    return this.#where === '' ? name : `${name} of ${this.#where}`;
  }
}

/** Throws `INVALID_SUBSCRIPTION`. */
export function parseControlBody(bytes: Buffer, names: readonly string[]): ControlObject {
  if (!isUtf8(bytes)) throw invalid('the body is not utf-8');
  const text = bytes.toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('the body is not JSON');
  }
  assertShape(text);
  return new ControlObject(value, names);
}

/** Bounded depth, and every name once in its object: of two values one would be lost. */
function assertShape(text: string): void {
  const open: Set<string>[] = [];
  let last = '';
  let at = indexOf(TOKEN, text, 0);
  while (at < text.length) {
    const token = text[at] as string;
    let end = at + 1;
    if (token === '"') {
      end = endOfString(text, at);
      last = text.slice(at, end);
    } else if (token === ':') {
      const names = open.at(-1);
      const name = JSON.parse(last) as string;
      if (names?.has(name) === true) throw invalid('the body has a member twice');
      names?.add(name);
    } else if (token === '{' || token === '[') {
      open.push(new Set());
      if (open.length > MAX_DEPTH) throw invalid('the body is nested too deeply');
    } else {
      open.pop();
    }
    at = indexOf(TOKEN, text, end);
  }
}

/** Behind the closing quote. */
function endOfString(text: string, start: number): number {
  let at = indexOf(STRING_END, text, start + 1);
  while (text[at] === '\\') at = indexOf(STRING_END, text, at + 2);
  return at + 1;
}

/** The length of the text when there is none. */
function indexOf(what: RegExp, text: string, from: number): number {
  what.lastIndex = from;
  return what.exec(text)?.index ?? text.length;
}

export function missing(name: string): HoldfastError {
  return invalid(`${name} is missing`);
}

export function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_SUBSCRIPTION', message);
}
