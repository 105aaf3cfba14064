/**
 * The point of a restore as it is written: `latest`, an LSN, a time, or `mark:NAME`.
 *
 * A time is RFC 3339 with its offset, checked to the last digit: a restore to a moment that was
 * meant otherwise looks right and is not. Or it is said from now: `-15m`.
 */
import { usageError } from '../command-error.ts';

export type RestoreTargetArgument =
  'latest' | { readonly lsn: number } | { readonly timeMs: number } | { readonly name: string };

const FORMS = 'latest, an LSN, 2026-05-17T09:30:00Z, -15m or mark:NAME';
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const TIME =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:(Z)|([+-])(\d{2}):(\d{2}))$/i;
const MAX_MARK_BYTES = 256;

/** @param nowMs wall clock, for times that are said from now. */
export function parseRestoreTarget(text: string, nowMs: number): RestoreTargetArgument {
  if (text === 'latest') return 'latest';
  if (/^\d{1,16}$/.test(text)) return { lsn: lsnOf(text) };
  if (text.startsWith('mark:')) return { name: markNameOf(text.slice('mark:'.length)) };
  const ago = /^-(\d{1,9})([smhd])$/.exec(text);
  if (ago !== null) return { timeMs: agoMs(text, Number(ago[1]), ago[2] as string, nowMs) };
  if (/^\d{4}-/.test(text)) return { timeMs: parseTime(text) };
  throw usageError(`"${text}" is no point to restore to`, `write ${FORMS}`);
}

/** RFC 3339, section 5.6, to whole milliseconds before it. */
export function parseTime(text: string): number {
  const found = TIME.exec(text);
  if (found === null) {
    throw usageError(
      `"${text}" is no time`,
      'write it with seconds and offset, like 2026-05-17T09:30:00Z or 2026-05-17T11:30:00+02:00',
    );
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map(Number);
  const offsetHour = Number(found[10] ?? 0);
  const offsetMinute = Number(found[11] ?? 0);
  const clock = hour > 23 || minute > 59 || second > 59 || offsetHour > 23 || offsetMinute > 59;
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || clock) {
    throw usageError(`there is no such time: "${text}"`);
  }
  const sinceMidnight = ((hour * 60 + minute) * 60 + second) * 1000;
  const fraction = Number((found[7] ?? '').slice(0, 3).padEnd(3, '0'));
  const offset = (offsetHour * 60 + offsetMinute) * UNIT_MS['m']!;
  const midnight = Date.UTC(year, month - 1, day);
  // Date.UTC takes the years 0 to 99 for those of the last century.
  if (year < 1970 || Number.isNaN(midnight)) throw usageError(`"${text}" is before every backup`);
  return midnight + sinceMidnight + fraction - (found[9] === '-' ? -offset : offset);
}

/** For people: to the second, in UTC. */
export function timeText(atMs: number): string {
  return new Date(atMs).toISOString().replace('.000Z', 'Z');
}

function lsnOf(text: string): number {
  const lsn = Number(text);
  if (Number.isSafeInteger(lsn) && lsn > 0) return lsn;
  throw usageError(`"${text}" is no LSN`, 'they are whole numbers from 1 on');
}

function markNameOf(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes > 0 && bytes <= MAX_MARK_BYTES) return name;
  throw usageError(`a mark has a name of 1 to ${MAX_MARK_BYTES} bytes`, 'write mark:NAME');
}

function agoMs(text: string, count: number, unit: string, nowMs: number): number {
  const atMs = nowMs - count * (UNIT_MS[unit] ?? 0);
  if (atMs < 0) throw usageError(`"${text}" is before every backup`);
  return atMs;
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}
