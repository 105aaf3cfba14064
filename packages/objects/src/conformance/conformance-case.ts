/** What a case of the conformance suite is, and what cases need again and again. */
import assert from 'node:assert/strict';
import { hasCode, type ErrorCode } from '@holdfast/core';
import type { ListOptions, ObjectContent, ObjectPieces, ObjectStore } from '../object-store.ts';

export type ObjectStoreFeature =
  'ifAbsent' | 'ifMatch' | 'largeCondition' | 'nestedKeys' | 'reopen';

export interface ObjectStoreUnderTest {
  readonly store: ObjectStore;
  /** Another opening of the same place; for the feature `reopen`. The suite closes it. */
  readonly reopen?: () => Promise<ObjectStore>;
  close?(): Promise<void>;
}

export interface ConformanceCase {
  readonly title: string;
  readonly needs?: ObjectStoreFeature;
  readonly run: (store: ObjectStore, around: CaseSurroundings) => Promise<void>;
}

export interface CaseSurroundings {
  /** A size that takes the way of large objects: several parts. */
  readonly largeBytes: number;
  readonly reopen: () => Promise<ObjectStore>;
  /** Answers get lost: then a refusal may leave open whether an earlier attempt had won. */
  readonly losesAnswers: boolean;
}

const PATTERN_BYTES = 65_521;

/** A pattern whose length is prime: no two places at a power of two from each other are equal. */
export function bytesOf(length: number, seed = 1): Buffer {
  const pattern = Buffer.allocUnsafe(Math.min(length, PATTERN_BYTES));
  let state = Math.imul(seed, 2_654_435_761);
  for (let at = 0; at < pattern.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    pattern[at] = state >>> 24;
  }
  return length <= PATTERN_BYTES ? pattern : Buffer.alloc(length, pattern);
}

export async function read(content: ObjectContent): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of content.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

export async function readKey(store: ObjectStore, key: string): Promise<Buffer> {
  return read(await store.get(key));
}

export async function assertHolds(store: ObjectStore, key: string, bytes: Buffer): Promise<void> {
  const found = await readKey(store, key);
  assert.equal(found.length, bytes.length, `${key}: length`);
  assert.ok(found.equals(bytes), `${key}: bytes`);
}

export async function assertAbsent(store: ObjectStore, key: string): Promise<void> {
  await rejects(() => store.head(key), 'OBJECT_NOT_FOUND');
  await rejects(() => store.get(key), 'OBJECT_NOT_FOUND');
  assert.ok(!(await allKeys(store)).includes(key), `${key} is listed`);
}

export async function rejects(call: () => Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(hasCode(error, code), `wanted ${code}, got ${String(error)}`);
    return true;
  });
}

export async function allKeys(store: ObjectStore, options: ListOptions = {}): Promise<string[]> {
  const keys: string[] = [];
  let after = options.after;
  for (;;) {
    const page = await store.list({ ...options, after });
    keys.push(...page.objects.map((object) => object.key));
    if (page.after === undefined) return keys;
    after = page.after;
  }
}

export async function* inPieces(bytes: Uint8Array, pieceBytes: number): ObjectPieces {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    yield bytes.subarray(at, at + pieceBytes);
  }
}

/** Gives `bytes` and then nothing, not even its end. */
export async function* stalling(bytes: Uint8Array, onStall: () => void): ObjectPieces {
  yield bytes;
  onStall();
  await new Promise(() => undefined);
}
