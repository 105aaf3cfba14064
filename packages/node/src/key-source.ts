/**
 * Where the keys of a node come from: a file, a text that was given, or a command. They are read
 * anew each time they are asked for, so that a rotation needs no restart.
 *
 * Invariants
 * 1. Keys leave here as `KeyObject`s only. What they were read from is wiped; a text that was given
 *    is kept where nothing prints it.
 */
import { type KeyObject } from 'node:crypto';
import {
  formatKeyId,
  generateKeyText,
  HoldfastError,
  keyIdOf,
  parseKeyBytes,
  parseKeyText,
  type Random,
} from '@holdfast/core';
import { runKeyCommand } from './node-key-command.ts';
import { readKeyFile, replaceKeyFile, writeKeyFile } from './node-key-file.ts';

export interface KeySourceSettings {
  readonly keyFile?: string | undefined;
  readonly keyCommand?: string | undefined;
  /** The keys themselves, as text. */
  readonly key?: string | undefined;
}

export class KeySource {
  /** `file`, `command` or `text`: what may be told. */
  readonly kind: 'file' | 'command' | 'text';
  readonly #value: string;

  private constructor(kind: KeySource['kind'], value: string) {
    this.kind = kind;
    this.#value = value;
  }

  /** `undefined` when no key is named: the database is not encrypted. */
  static from({ keyFile, keyCommand, key }: KeySourceSettings): KeySource | undefined {
    const given = [keyFile, keyCommand, key].filter((one) => one !== undefined);
    if (given.length > 1) {
      throw new HoldfastError(
        'INVALID_SETTINGS',
        'keys come from one place: give keyFile, keyCommand or a key (HOLDFAST_KEY) setting=keyFile',
        { details: { setting: 'keyFile' } },
      );
    }
    if (keyFile !== undefined) return new KeySource('file', keyFile);
    if (keyCommand !== undefined) return new KeySource('command', keyCommand);
    return key === undefined ? undefined : new KeySource('text', key);
  }

  /** The key file, where there is one. */
  get file(): string | undefined {
    return this.kind === 'file' ? this.#value : undefined;
  }

  /** The active key first. @throws `INVALID_KEY`, `KEY_COMMAND_FAILED`. */
  async load(): Promise<readonly KeyObject[]> {
    switch (this.kind) {
      case 'file':
        return parsed(await readKeyFile(this.#value));
      case 'command':
        return parsed(await runKeyCommand(this.#value));
      case 'text':
        return parseKeyText(this.#value);
    }
  }

  toJSON(): object {
    return { kind: this.kind }; // I1
  }
}

/** Ids of the keys in a key file, the active one first, as people write them. */
export async function keyFileIds(path: string): Promise<readonly string[]> {
  return parsed(await readKeyFile(path)).map((key) => formatKeyId(keyIdOf(key)));
}

/** A new key in a new file that only its owner may read; gives its id. */
export async function generateKeyFile(path: string, random: Random): Promise<number> {
  const text = generateKeyText(random);
  await writeKeyFile(path, `${text}\n`);
  return idOf(text);
}

/** Puts a new key before those of the file; gives its id. The file must not be raw bytes. */
export async function prependKey(path: string, random: Random): Promise<number> {
  const text = generateKeyText(random);
  await replaceKeyFile(path, (bytes) => `${text}\n${textOf(bytes, path)}`);
  return idOf(text);
}

/**
 * Takes one key out of the file, and leaves its comments as they are.
 * @throws `INVALID_KEY` when it is not in there, or the only one.
 */
export async function removeKey(path: string, keyId: number): Promise<void> {
  await replaceKeyFile(path, (bytes) => {
    const lines = textOf(bytes, path).split('\n').map(partsOfLine);
    const words = lines.flatMap((line) => line.words);
    const left = words.filter((word) => idOf(word) !== keyId);
    if (left.length === words.length) {
      throw invalid(`the key is not in the key file id=${formatKeyId(keyId)} path=${path}`);
    }
    if (left.length === 0) throw invalid(`the only key of a key file is not removed path=${path}`);
    return lines.flatMap((line) => lineWithout(line, keyId)).join('\n');
  });
}

interface KeyLine {
  readonly whole: string;
  readonly words: readonly string[];
  readonly comment: string;
}

function partsOfLine(whole: string): KeyLine {
  const mark = whole.indexOf('#');
  const content = mark < 0 ? whole : whole.slice(0, mark);
  const words = content.split(',').map((word) => word.trim());
  return {
    whole,
    words: words.filter((word) => word !== ''),
    comment: mark < 0 ? '' : whole.slice(mark),
  };
}

/** The line as it was, without the key, or not at all: a comment beside a key goes with it. */
function lineWithout({ whole, words, comment }: KeyLine, keyId: number): readonly string[] {
  const left = words.filter((word) => idOf(word) !== keyId);
  if (left.length === words.length) return [whole];
  if (left.length === 0) return [];
  return [`${left.join(',')}${comment === '' ? '' : ` ${comment}`}`];
}

function textOf(bytes: Buffer, path: string): string {
  parseKeyBytes(bytes); // a file that holds no keys is not a key file: it is left alone
  const text = bytes.toString('utf8');
  if (!text.includes('hfk1:')) {
    throw invalid(
      `the key file is raw bytes: only one written as text can be changed path=${path}`,
    );
  }
  return text;
}

function idOf(text: string): number {
  const [key] = parseKeyText(text);
  if (key === undefined) throw invalid('there is no key in the text');
  return keyIdOf(key);
}

function parsed(bytes: Buffer): readonly KeyObject[] {
  try {
    return parseKeyBytes(bytes);
  } finally {
    bytes.fill(0);
  }
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('INVALID_KEY', message);
}
