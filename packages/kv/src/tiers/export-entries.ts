/**
 * All entries of a store as text, and back. FORMAT.md, "Exports": lines of JSON, each ended by LF,
 *
 * | line | content |
 * | --- | --- |
 * | first | `{"holdfastKvExport":1,"store":"<id>","since":<version, or 0>}` |
 * | each entry, in key order | `{"k":<key>,"v":<value, base64>,"s":<seq>,"n":<version>,"e":<epoch, if not 0>,"x":<expiry, if any>}` |
 * | last | `{"entries":<count>,"sha256":"<hex, over all lines before with their LF>"}` |
 *
 * What has no last line is no export: whoever reads it finds out before the end, and says so.
 */
import { createHash } from 'node:crypto';
import { HoldfastError, LIMITS } from '@holdfast/core';
import type { KvCallOptions, KvEntry, KvStore } from '../kv-store.ts';
import { isReserved } from './reserved-keys.ts';
import type { RestoreSource } from './restore-tier.ts';

const VERSION = 1;

export interface ExportOptions extends KvCallOptions {
  /** Only what has a higher version. What was deleted since is in no export. */
  readonly since?: number;
}

/** Lines, each with its LF. */
export async function* exportEntries(
  store: KvStore,
  { since = 0, signal }: ExportOptions = {},
): AsyncGenerator<string, void, undefined> {
  const digest = createHash('sha256');
  const line = (value: unknown): string => {
    const text = `${JSON.stringify(value)}\n`;
    digest.update(text);
    return text;
  };
  yield line({ holdfastKvExport: VERSION, store: store.id, since });
  let entries = 0;
  for await (const { key, value, seq, version, epoch, expiresAtMs } of store.entries({ signal })) {
    if (version <= since || isReserved(key)) continue;
    entries++;
    yield line({
      k: key,
      v: Buffer.from(value).toString('base64'),
      s: seq,
      n: version,
      ...(epoch === 0 ? {} : { e: epoch }),
      ...(expiresAtMs === undefined ? {} : { x: expiresAtMs }),
    });
  }
  yield `${JSON.stringify({ entries, sha256: digest.digest('hex') })}\n`;
}

/**
 * What `restoreTier` takes. Nothing is believed before the last line was read: `FORMAT_INVALID` or
 * `CHECKSUM_MISMATCH` comes before the restore ends.
 *
 * @param chunks bytes or text, cut anywhere.
 */
export function importEntries(
  id: string,
  chunks: AsyncIterable<Uint8Array | string>,
): RestoreSource {
  return { id, entries: () => readEntries(chunks) };
}

async function* readEntries(
  chunks: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<KvEntry, void, undefined> {
  const digest = createHash('sha256');
  let entries = 0;
  let at = 0;
  let ended = false;
  for await (const line of linesOf(chunks)) {
    at++;
    if (ended) throw invalid('it goes on behind its last line', at);
    const value = parse(line, at);
    if (at === 1) {
      if (value['holdfastKvExport'] !== VERSION) throw invalid('it is of another version', at);
    } else if ('sha256' in value) {
      if (value['entries'] !== entries || value['sha256'] !== digest.digest('hex')) {
        throw new HoldfastError('CHECKSUM_MISMATCH', 'an export is not what was written');
      }
      ended = true;
      continue;
    } else {
      entries++;
      yield entryOf(value, at);
    }
    digest.update(`${line}\n`);
  }
  if (!ended) throw invalid('it is cut off', at);
}

async function* linesOf(
  chunks: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const chunk of chunks) {
    const [first = '', ...others] = textOf(chunk, decoder).split('\n');
    // A long line comes in many pieces: each is looked at once.
    rest += first;
    if (rest.length > LIMITS.maxExportLineChars) throw invalid('a line is too long', 0);
    for (const line of others) {
      yield rest;
      rest = line;
    }
  }
  if (rest !== '') throw invalid('it is cut off', 0);
}

function textOf(chunk: Uint8Array | string, decoder: InstanceType<typeof TextDecoder>): string {
  if (typeof chunk === 'string') return chunk;
  try {
    return decoder.decode(chunk, { stream: true });
  } catch {
    throw invalid('it is no text', 0);
  }
}

function parse(line: string, at: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw invalid('a line is no JSON', at);
}

function entryOf({ k, v, s, n, e = 0, x }: Record<string, unknown>, at: number): KvEntry {
  const numbers = [s, n, e, x ?? 0];
  if (typeof k !== 'string' || typeof v !== 'string' || !numbers.every(Number.isSafeInteger)) {
    throw invalid('a line is no entry', at);
  }
  return {
    key: k,
    value: Buffer.from(v, 'base64'),
    seq: s as number,
    version: n as number,
    epoch: e as number,
    expiresAtMs: x as number | undefined,
  };
}

function invalid(what: string, line: number): HoldfastError {
  return new HoldfastError('FORMAT_INVALID', `an export cannot be read: ${what} line=${line}`);
}
