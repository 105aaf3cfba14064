import { describe, expect, it } from 'vitest';
import { FakeConsole } from '../test/fake-console.ts';
import { ProgressLine, progressText } from './progress.ts';

describe('progress', () => {
  it('shows share, rate and time left', () => {
    const half = { done: 50 * 1024, total: 100 * 1024, elapsedMs: 1000, unit: 'bytes' } as const;
    expect(progressText(half)).toBe('[############------------] 50%  50.0 KiB/s  1 s left');
    expect(progressText({ ...half, done: 3, total: undefined, unit: 'rows' })).toBe(
      '3 rows  3 rows/s',
    );
    expect(progressText({ ...half, done: 0, total: 0, elapsedMs: 0 })).toContain('100%');
  });

  it('stays in one row of a narrow terminal: first the bar goes, then what is behind', () => {
    for (const [columns, shown] of [
      [80, 'files [############------------] 50%  1 B/s  1 s left'],
      [54, 'files [############------------] 50%  1 B/s  1 s left'],
      [40, 'files 50%  1 B/s  1 s left'],
      [12, 'files 50%  '],
      [0, 'f'],
    ] as const) {
      const io = new FakeConsole();
      Object.assign(io, { stderrIsTerminal: true, columns });
      let now = 0;
      const line = new ProgressLine(io, 'files', 'bytes', () => now);
      now = 1000;
      line.update(1, 2);
      expect(io.stderrText).toBe(`\r\u001b[K${shown}`);
    }
  });

  it('is for terminals, and leaves nothing behind', () => {
    const quiet = new FakeConsole();
    new ProgressLine(quiet, 'verify', 'bytes', () => 0).update(1, 2);
    expect(quiet.stderrText).toBe('');
    const io = new FakeConsole();
    io.stderrIsTerminal = true;
    let now = 0;
    const line = new ProgressLine(io, 'verify', 'bytes', () => now);
    line.update(1, 4);
    line.update(2, 4); // too soon
    now = 200;
    line.update(3, 4);
    line.end();
    expect(io.stderrText.match(/25%|50%|75%/g)).toEqual(['25%', '75%']);
    expect(io.stderrText.endsWith('\r\u001b[K')).toBe(true);
  });
});
