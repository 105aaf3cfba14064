/** A line with bar, rate and time left, on a terminal only; elsewhere it says nothing. */
import type { ConsoleIo } from './console-io.ts';

const WIDTH = 24;
/** Redrawing more often than this only flickers. */
const REDRAW_MS = 100;

export type ProgressUnit = 'bytes' | 'rows' | 'records';

export class ProgressLine {
  readonly #io: ConsoleIo;
  readonly #label: string;
  readonly #unit: ProgressUnit;
  readonly #now: () => number;
  readonly #startedAt: number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #drawn = false;

  /** @param now monotonic milliseconds. */
  constructor(io: ConsoleIo, label: string, unit: ProgressUnit, now: () => number) {
    this.#io = io;
    this.#label = label;
    this.#unit = unit;
    this.#now = now;
    this.#startedAt = now();
  }

  /** @param total absent when nobody knows it yet. */
  update(done: number, total?: number): void {
    if (!this.#io.stderrIsTerminal) return;
    const now = this.#now();
    if (now - this.#drawnAt < REDRAW_MS && (total === undefined || done < total)) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const elapsedMs = now - this.#startedAt;
    const progress = { done, total, elapsedMs, unit: this.#unit };
    this.#io.err(`\r\u001b[K${this.#fitted(progress)}`);
  }

  /** In one row: what wraps is not wiped by the next one. */
  #fitted(progress: Progress): string {
    const room = Math.max(1, this.#io.columns - 1);
    const whole = `${this.#label} ${progressText(progress)}`;
    if (whole.length <= room) return whole;
    return `${this.#label} ${progressText(progress, false)}`.slice(0, room);
  }

  end(): void {
    if (this.#drawn) this.#io.err('\r\u001b[K');
    this.#drawn = false;
  }
}

/** How far some work of several phases is. */
export interface WorkProgress {
  readonly phase: string;
  readonly done: number;
  readonly total?: number | undefined;
  readonly unit: ProgressUnit;
}

/** A line for each phase, one after the other. */
export class PhasedProgress {
  readonly #io: ConsoleIo;
  readonly #now: () => number;
  #phase = '';
  #line: ProgressLine | undefined;

  /** @param now monotonic milliseconds. */
  constructor(io: ConsoleIo, now: () => number) {
    this.#io = io;
    this.#now = now;
  }

  update({ phase, done, total, unit }: WorkProgress): void {
    if (this.#line === undefined || phase !== this.#phase) {
      this.#line?.end();
      this.#line = new ProgressLine(this.#io, phase, unit, this.#now);
      this.#phase = phase;
    }
    this.#line.update(done, total);
  }

  end(): void {
    this.#line?.end();
  }
}

export interface Progress {
  readonly done: number;
  readonly total: number | undefined;
  readonly elapsedMs: number;
  readonly unit: ProgressUnit;
}

export function progressText(
  { done, total, elapsedMs, unit }: Progress,
  withBar: boolean = true,
): string {
  const perSecond = elapsedMs > 0 ? (done / elapsedMs) * 1000 : 0;
  const rate = `${amount(perSecond, unit)}/s`;
  if (total === undefined) return `${amount(done, unit)}  ${rate}`;
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(share * WIDTH);
  const bar = '#'.repeat(full) + '-'.repeat(WIDTH - full);
  const left = perSecond > 0 ? `  ${leftText((total - done) / perSecond)} left` : '';
  return `${withBar ? `[${bar}] ` : ''}${Math.floor(share * 100)}%  ${rate}${left}`;
}

function leftText(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.ceil(whole / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}

function amount(value: number, unit: ProgressUnit): string {
  return unit === 'bytes' ? byteText(value) : `${Math.round(value)} ${unit}`;
}

export function byteText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}
