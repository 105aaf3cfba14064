/**
 * What conditions a store enforces, found out and not believed: there are stores that accept
 * `If-None-Match` and write all the same. A scratch object is put, fought over and deleted; its
 * name begins with a dot, so that no list shows it.
 */
import { hasCode, isHoldfastError } from '@holdfast/core';
import type { ConditionHeaders, S3Requests } from './s3-requests.ts';

export interface EnforcedConditions {
  readonly ifAbsent: boolean;
  readonly ifMatch: boolean;
  /** The same at the end of a large upload. */
  readonly large: boolean;
  /** Some stores take an etag only as HTTP wants it, in quotes; some only without. */
  readonly quoted: boolean;
  /** Not a condition, found out on the way: `a` and `a/b` can both be objects. */
  readonly nestedKeys: boolean;
}

export const NO_CONDITIONS: EnforcedConditions = {
  ifAbsent: false,
  ifMatch: false,
  large: false,
  quoted: true,
  nestedKeys: false,
};

const NO_SUCH_ETAG = '00000000000000000000000000000000';

export const IF_ABSENT: ConditionHeaders = { 'if-none-match': '*' };

export function ifMatchHeaders(etag: string, quoted: boolean): ConditionHeaders {
  return { 'if-match': quoted ? `"${etag}"` : etag };
}

export async function probeConditions(
  requests: S3Requests,
  key: string,
  signal: AbortSignal,
): Promise<EnforcedConditions> {
  const put = (text: string, condition: ConditionHeaders): Promise<string> =>
    requests.putObject(key, Buffer.from(text), condition, undefined, signal);
  const before = await put('1', {}); // also says whether we may write at all
  try {
    const ifAbsent = await isRefused(() => put('2', IF_ABSENT));
    let quoted = true;
    let ifMatch = await isRefused(() => put('3', ifMatchHeaders(NO_SUCH_ETAG, true)));
    if (ifMatch && !(await isTaken(() => put('4', ifMatchHeaders(before, true))))) {
      quoted = false;
      ifMatch =
        (await isRefused(() => put('5', ifMatchHeaders(NO_SUCH_ETAG, false)))) &&
        (await isTaken(() => put('6', ifMatchHeaders(before, false))));
    }
    const large = ifAbsent && (await refusesLarge(requests, key, ifMatch, quoted, signal));
    const nestedKeys = await nests(requests, key, signal);
    return { ifAbsent, ifMatch, large, quoted, nestedKeys };
  } finally {
    await requests.deleteObject(key, signal).catch(() => undefined);
  }
}

async function refusesLarge(
  requests: S3Requests,
  key: string,
  ifMatch: boolean,
  quoted: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const uploadId = await requests.createUpload(key, undefined, signal);
  try {
    const part = await requests.uploadPart(key, uploadId, 1, Buffer.from('7'), signal);
    const complete = (condition: ConditionHeaders) => () =>
      requests.completeUpload(key, uploadId, [part], condition, signal);
    if (ifMatch && !(await isRefused(complete(ifMatchHeaders(NO_SUCH_ETAG, quoted))))) return false;
    return await isRefused(complete(IF_ABSENT));
  } finally {
    await requests.abortUpload(key, uploadId, signal).catch(() => undefined);
  }
}

/** Stores that keep objects as files may not hold an object where a folder is. */
async function nests(requests: S3Requests, key: string, signal: AbortSignal): Promise<boolean> {
  const below = `${key}/below`;
  const put = (): Promise<string> =>
    requests.putObject(below, Buffer.from('8'), {}, undefined, signal);
  if (!(await isTaken(put))) return false;
  await requests.deleteObject(below, signal).catch(() => undefined);
  return true;
}

/** True when the store said that the condition does not hold. */
async function isRefused(write: () => Promise<unknown>): Promise<boolean> {
  try {
    await write();
    return false;
  } catch (error) {
    if (hasCode(error, 'PRECONDITION_FAILED')) return true;
    if (isAnswer(error)) return false;
    throw error;
  }
}

async function isTaken(write: () => Promise<unknown>): Promise<boolean> {
  try {
    await write();
    return true;
  } catch (error) {
    if (isAnswer(error)) return false;
    throw error;
  }
}

/** The store understood and said no; anything else tells nothing about conditions. */
function isAnswer(error: unknown): boolean {
  return isHoldfastError(error) && ['conflict', 'invalid', 'missing'].includes(error.kind);
}
