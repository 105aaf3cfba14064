/** Re-reads a whole file and compares it with what the manifest says. */
import { createHash } from 'node:crypto';
import { isHoldfastError, LIMITS } from '@holdfast/core';
import type { FileProblem } from './file-problem.ts';
import type { Pace } from './pace.ts';

export type CopyState = 'whole' | 'missing' | 'damaged';

/** What a failed check says about the file; errors that say nothing about it are thrown on. */
export function copyStateAfter(error: unknown): CopyState {
  if (!isHoldfastError(error)) throw error;
  if (error.code === 'FILE_MISSING') return 'missing';
  if (error.kind === 'corrupt' || error.details['systemCode'] === 'EIO') return 'damaged';
  throw error;
}

/** Whether every byte is as it was written. Rejects when the file cannot be read. */
export async function digestHolds(
  file: { read(position: number, length: number): Promise<Buffer> },
  info: { readonly bytes: number; readonly digest: Buffer },
  pace?: Pace,
): Promise<boolean> {
  const hash = createHash('sha256');
  for (let at = 0; at < info.bytes; at += LIMITS.fileReadBytes) {
    const piece = await file.read(at, Math.min(LIMITS.fileReadBytes, info.bytes - at));
    hash.update(piece);
    await pace?.(piece.length);
  }
  return hash.digest().equals(info.digest);
}

/** The problem an error stands for; errors that say nothing about the file are thrown on. */
export function problemFrom(error: unknown, path: string, position: number): FileProblem {
  if (!isHoldfastError(error) || error.kind === 'closed' || error.kind === 'denied') throw error;
  const at = error.details['position'];
  return { path, position: typeof at === 'number' ? at : position, message: error.message };
}
