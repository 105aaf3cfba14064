/**
 * What the end of the last segment is: clean, torn or rotten. Decision 0003 has the argument,
 * FORMAT.md, "Recovery", the rules; their numbers are repeated here.
 *
 * What makes it decidable: at most one batch was not acknowledged; it is the last one; it was
 * written over synced zeros; a sector reaches the disk whole or not at all. So where a sector
 * of a torn frame is missing, there are zeros, and nothing stands behind the frame.
 */
import { HoldfastError, LIMITS, isZero } from '@holdfast/core';
import { type FrameHead, type FrameHome, paddedLength, readFrameHead } from './batch-frame.ts';
import type { FramePlace, SegmentReader } from './segment-reader.ts';

/** Zeros have to be written from the place of judgement up to `zeroTo`. */
export interface TailVerdict {
  readonly kind: 'clean' | 'torn';
  readonly zeroTo: number;
}

interface Survey {
  /** End of the last block that is not all zero; 0 when all are. */
  usedTo: number;
  zeroSectorsOfFrame: number;
  /** The first head behind the frame. */
  laterHead: FrameHead | undefined;
}

/**
 * Judges what stands at `place`, where no intact frame is. Rejects with `CHECKSUM_MISMATCH`
 * when acknowledged data is damaged.
 *
 * @param shouldReach the file was synced at least this long
 */
export async function judgeTail(
  reader: SegmentReader,
  home: FrameHome,
  place: FramePlace,
  shouldReach: number,
): Promise<TailVerdict> {
  const { position } = place;
  const first = await reader.bytes(position, LIMITS.sectorBytes);
  const head = readFrameHead(first, 0, home, position);
  const frameEnd = position + paddedLength(head?.length ?? 1);
  const survey = await surveyTail(reader, home, place, head, frameEnd);
  const rot = (reason: string): HoldfastError => damaged(reader, place, head, survey, reason);

  // 1. Files never shrink.
  if (reader.size < Math.max(shouldReach, head === undefined ? 0 : frameEnd)) {
    throw rot('segment is shorter than it was');
  }
  // 2. A head behind it: the next batch was begun, so this one was acknowledged.
  if (survey.laterHead !== undefined) throw rot('an acknowledged batch is damaged');
  if (head === undefined) {
    // 3. The first sector is there as written, or is zero.
    if (!isZero(first)) throw rot('the head of a batch is damaged');
    // 4. Nothing was ever here, or the first sector of a torn frame is missing.
    return { kind: survey.usedTo === 0 ? 'clean' : 'torn', zeroTo: survey.usedTo };
  }
  if (head.firstLsn !== place.nextLsn || !head.previousTag.equals(place.tag)) {
    throw rot('a batch does not go on where the one before ended');
  }
  // 5. Nothing is ever written behind a batch that is not acknowledged.
  if (survey.usedTo > frameEnd) throw rot('an acknowledged batch is damaged');
  // 6. Missing sectors are zero; wrong ones are not. A write that was cut short within the last
  // sector, and then by a kill, shows where the last byte cannot be zero.
  const isCutShort = head.endsInCiphertext && (await endsInZero(reader, position + head.length));
  if (survey.zeroSectorsOfFrame <= head.zeroSectors && !isCutShort) {
    throw rot('the last batch is damaged');
  }
  return { kind: 'torn', zeroTo: frameEnd };
}

async function endsInZero(reader: SegmentReader, end: number): Promise<boolean> {
  return isZero(await reader.bytes(end - 1, 1));
}

async function surveyTail(
  reader: SegmentReader,
  home: FrameHome,
  place: FramePlace,
  head: FrameHead | undefined,
  frameEnd: number,
): Promise<Survey> {
  const survey: Survey = { usedTo: 0, zeroSectorsOfFrame: 0, laterHead: undefined };
  const lengthOfFrame = head?.length ?? 0;
  for (let at = place.position; at < reader.size; at += LIMITS.blockBytes) {
    const block = await reader.bytes(at, LIMITS.blockBytes);
    const zero = isZero(block);
    if (!zero) survey.usedTo = at + block.length;
    const ofFrame = place.position + lengthOfFrame - at;
    if (ofFrame > 0) survey.zeroSectorsOfFrame += zeroSectors(block, ofFrame);
    if (!zero && at >= frameEnd) {
      survey.laterHead ??= readFrameHead(block, 0, home, at);
    }
  }
  return survey;
}

/** All-zero sectors among those of the first `length` bytes. */
function zeroSectors(block: Buffer, length: number): number {
  const end = Math.min(length, block.length);
  let count = 0;
  for (let at = 0; at < end; at += LIMITS.sectorBytes) {
    if (isZero(block.subarray(at, at + LIMITS.sectorBytes))) count++;
  }
  return count;
}

function damaged(
  reader: SegmentReader,
  place: FramePlace,
  head: FrameHead | undefined,
  survey: Survey,
  reason: string,
): HoldfastError {
  const lastLsn =
    head?.lastLsn ?? (survey.laterHead === undefined ? undefined : survey.laterHead.firstLsn - 1);
  return damagedBatch(reader.path, place, lastLsn, reason);
}

/** Acknowledged records from `place.nextLsn` on are lost; up to `lastLsn` if that is known. */
export function damagedBatch(
  path: string,
  place: { readonly position: number; readonly nextLsn: number },
  lastLsn: number | undefined,
  reason: string,
): HoldfastError {
  const { position, nextLsn } = place;
  const range = `firstLsn=${nextLsn} lastLsn=${lastLsn ?? 'unknown'}`;
  return new HoldfastError(
    'CHECKSUM_MISMATCH',
    `${reason}, restore from a backup or replica path=${path} position=${position} ${range}`,
    {
      details: {
        path,
        position,
        firstLsn: nextLsn,
        ...(lastLsn === undefined ? {} : { lastLsn }),
      },
    },
  );
}
