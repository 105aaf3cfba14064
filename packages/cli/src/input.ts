/** Where the bytes of an append or a create come from: the command line, standard input, a file. */
import { LIMITS } from '@holdfast/core';
import { CommandError, usageError } from './command-error.ts';
import type { ConsoleIo } from './console-io.ts';
import { EXIT } from './exit-codes.ts';

/** @param source `-` is standard input. */
export async function* readSource(io: ConsoleIo, source: string): AsyncGenerator<Uint8Array> {
  if (source === '-') {
    yield* io.stdin();
    return;
  }
  try {
    yield* io.readFile(source);
  } catch (error) {
    const code = (error as { code?: string }).code ?? 'FAILURE';
    const exitCode = code === 'ENOENT' ? EXIT.missing : EXIT.failure;
    throw new CommandError(exitCode, code, `cannot read ${source}`, { cause: error });
  }
}

/** One request's worth: more than a node takes is refused before it is sent. */
export async function readWhole(io: ConsoleIo, source: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of readSource(io, source)) {
    bytes += part.length;
    if (bytes > LIMITS.maxRecordBytes) {
      throw usageError(
        `${source === '-' ? 'standard input' : source} is larger than one request may be`,
        'send it in parts, or by lines with --lines',
      );
    }
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Lines without their end; the last one counts also when it is not ended. */
export async function* readLineBatches(
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly flushOnPause: boolean },
): AsyncGenerator<Buffer[]> {
  let pending: Buffer = Buffer.alloc(0);
  let batch: Buffer[] = [];
  let batchBytes = 0;
  for await (const chunk of chunks) {
    const data = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
    let start = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      const line = data.subarray(start, end);
      start = end + 1;
      if (isBlank(line)) continue;
      const full =
        batch.length >= LIMITS.appendLines || batchBytes + line.length > LIMITS.appendLinesBytes;
      if (full && batch.length > 0) {
        yield batch;
        batch = [];
        batchBytes = 0;
      }
      batch.push(line);
      batchBytes += line.length;
    }
    pending = data.subarray(start);
    if (pending.length > LIMITS.maxRecordBytes) {
      throw usageError('a line is longer than one append may be');
    }
    if (options.flushOnPause && batch.length > 0) {
      yield batch;
      batch = [];
      batchBytes = 0;
    }
  }
  if (!isBlank(pending)) batch.push(pending);
  if (batch.length > 0) yield batch;
}

function isBlank(line: Buffer): boolean {
  return line.length === 0 || (line.length === 1 && line[0] === 13);
}
