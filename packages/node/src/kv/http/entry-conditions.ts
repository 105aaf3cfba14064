/**
 * `If-Match` and `If-None-Match` of a write, as conditions of a store. A store compares with one
 * version; what means several, or any, is looked up first and then written under the version that
 * was found, so that nobody else's write comes between.
 */
import { hasCode, HoldfastError, LIMITS } from '@holdfast/core';
import type { KvAck, KvEntry } from '@holdfast/kv';
import { parseStrongTags } from '@holdfast/streams';

export type WriteCondition =
  | { readonly kind: 'none' }
  | { readonly kind: 'absent' }
  /** One of these versions; empty: never. */
  | { readonly kind: 'versions'; readonly versions: readonly number[] }
  | { readonly kind: 'present' };

interface ConditionFields {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

const ANY: WriteCondition = { kind: 'none' };
const ABSENT: WriteCondition = { kind: 'absent' };
const PRESENT: WriteCondition = { kind: 'present' };
const VERSION_TAG = /^"([1-9]\d{0,15})"$/;

/** Throws `INVALID_HEADER`. */
export function parseCondition({ ifMatch, ifNoneMatch }: ConditionFields): WriteCondition {
  if (ifMatch === undefined && ifNoneMatch === undefined) return ANY;
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw new HoldfastError('INVALID_HEADER', 'if-match and if-none-match exclude each other');
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return ABSENT;
    throw new HoldfastError('INVALID_HEADER', 'if-none-match of a write is * and nothing else');
  }
  const tags = parseStrongTags(ifMatch as string);
  if (tags === '*') return PRESENT;
  // A tag that cannot be one of ours matches nothing, as one of an older version does.
  return { kind: 'versions', versions: tags.flatMap(versionOf) };
}

function versionOf(tag: string): number[] {
  const version = Number(VERSION_TAG.exec(tag)?.[1]);
  return Number.isSafeInteger(version) ? [version] : [];
}

/** What a store can decide by itself. */
export interface StoreCondition {
  readonly ifVersion?: number;
  readonly ifAbsent?: boolean;
}

/**
 * Writes under the condition.
 * @param find the entry as it is now.
 * @param write called again while others are quicker.
 * @throws `PRECONDITION_FAILED`, and `COMMIT_QUEUE_FULL` when others are quicker for ever.
 */
export function writeUnder(
  condition: WriteCondition,
  find: () => Promise<KvEntry | undefined>,
  write: (condition: StoreCondition) => Promise<KvAck>,
): Promise<KvAck> {
  switch (condition.kind) {
    case 'none':
      return write({});
    case 'absent':
      return write({ ifAbsent: true });
    case 'present':
      return writeFound(undefined, find, write);
    case 'versions': {
      const { versions } = condition;
      const [only] = versions;
      if (versions.length === 1 && only !== undefined) return write({ ifVersion: only });
      return writeFound(versions, find, write);
    }
  }
}

async function writeFound(
  versions: readonly number[] | undefined,
  find: () => Promise<KvEntry | undefined>,
  write: (condition: StoreCondition) => Promise<KvAck>,
): Promise<KvAck> {
  for (let tries = 0; tries < LIMITS.maxConditionTries; tries++) {
    const found = (await find())?.version;
    if (found === undefined || versions?.includes(found) === false) {
      throw new HoldfastError('PRECONDITION_FAILED', 'the entry is not the expected one', {
        details: found === undefined ? {} : { version: found },
      });
    }
    try {
      return await write({ ifVersion: found });
    } catch (error) {
      if (!hasCode(error, 'PRECONDITION_FAILED')) throw error;
    }
  }
  throw new HoldfastError('COMMIT_QUEUE_FULL', 'others write this entry all the time');
}
