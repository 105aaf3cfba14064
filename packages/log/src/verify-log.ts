/** Checks a log that nobody has open. Reads only. */
import {
  type BlockCodec,
  type FileSystem,
  type HoldfastError,
  isHoldfastError,
} from '@holdfast/core';
import type { VerifyReport } from './log.ts';
import { Recovery } from './recovery.ts';
import { Verification } from './verify.ts';

export interface LogVerifyReport extends VerifyReport {
  /** Bytes of a torn, never acknowledged tail that the next open will cut. */
  readonly tornBytes: number;
}

/**
 * The caller holds the directory's lock. What would make `openLog` refuse is the first of the
 * problems; the segments are then not looked at one by one, for their ends are not known.
 *
 * @param onProgress called with the bytes checked so far.
 */
export async function verifyLog(
  components: { readonly fileSystem: FileSystem; readonly codec: BlockCodec },
  dir: string,
  onProgress: (bytes: number) => void = () => undefined,
): Promise<LogVerifyReport> {
  const { fileSystem, codec } = components;
  try {
    const recovered = await new Recovery(fileSystem, codec, dir, { readOnly: true }).run();
    const { segments, tornBytes } = recovered;
    const report = await new Verification(fileSystem, codec).run(
      segments,
      segments.at(-1),
      onProgress,
    );
    return { ...report, tornBytes };
  } catch (error) {
    if (!isHoldfastError(error) || error.kind !== 'corrupt') throw error;
    return {
      segments: 0,
      batches: 0,
      records: 0,
      bytes: 0,
      tornBytes: 0,
      problems: [problem(dir, error)],
    };
  }
}

function problem(dir: string, error: HoldfastError): VerifyReport['problems'][number] {
  const { path, position } = error.details;
  return {
    path: typeof path === 'string' ? path : dir,
    position: typeof position === 'number' ? position : 0,
    message: error.message,
  };
}
