import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRestoreTarget, parseTime, timeText } from './restore-target.ts';

const NOW = Date.UTC(2026, 4, 17, 9, 30);

describe('parseTime', () => {
  it.each([
    ['2026-05-17T09:30:00Z', '2026-05-17T09:30:00.000Z'],
    ['2026-05-17t09:30:00z', '2026-05-17T09:30:00.000Z'],
    ['2026-05-17T11:30:00+02:00', '2026-05-17T09:30:00.000Z'],
    ['2026-05-17T00:00:00-09:30', '2026-05-17T09:30:00.000Z'],
    ['2026-05-17T09:30:00-00:00', '2026-05-17T09:30:00.000Z'],
    ['2026-05-17T09:30:00.1Z', '2026-05-17T09:30:00.100Z'],
    ['2026-05-17T09:30:00.1239999Z', '2026-05-17T09:30:00.123Z'],
    ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000Z'],
    ['2026-12-31T23:59:59.999+23:59', '2026-12-31T00:00:59.999Z'],
  ])('%s', (text, expected) => {
    expect(new Date(parseTime(text)).toISOString()).toBe(expected);
  });

  it.each([
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-02-31T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-05-00T00:00:00Z',
    '2026-05-17T24:00:00Z',
    '2026-05-17T09:60:00Z',
    '2026-05-17T09:30:60Z',
    '2026-05-17T09:30:00+24:00',
    '2026-05-17T09:30:00+02:60',
    '2026-05-17T09:30:00+0200',
    '2026-05-17T09:30:00+02',
    '2026-05-17T09:30:00',
    '2026-05-17T09:30Z',
    '2026-05-17 09:30:00Z',
    '2026-05-17',
    '2026-5-17T09:30:00Z',
    '26-05-17T09:30:00Z',
    '2026-05-17T9:30:00Z',
    '2026-05-17T09:30:00.Z',
    '2026-05-17T09:30:00,5Z',
    '2026-05-17T09:30:00Z ',
    '+2026-05-17T09:30:00Z',
    '0099-05-17T09:30:00Z',
    '1969-12-31T23:59:59Z',
    '٢٠٢٦-05-17T09:30:00Z',
  ])('refuses %s', (text) => {
    expect(() => parseTime(text)).toThrow(/time|before every backup/);
  });

  it('takes back what it shows, at every millisecond and offset', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 86_400_000, max: Date.UTC(9999, 0) }),
        fc.integer({ min: -1439, max: 1439 }),
        (atMs, offset) => {
          expect(parseTime(timeText(atMs))).toBe(atMs);
          const local = new Date(atMs + offset * 60_000).toISOString().slice(0, -1);
          const two = (value: number): string => String(value).padStart(2, '0');
          const minutes = Math.abs(offset);
          const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
          expect(parseTime(local + zone)).toBe(atMs);
        },
      ),
    );
  });
});

describe('parseRestoreTarget', () => {
  it.each([
    ['latest', 'latest'],
    ['1', { lsn: 1 }],
    ['0000000000000042', { lsn: 42 }],
    ['mark:before migration', { name: 'before migration' }],
    ['mark:17', { name: '17' }],
    ['mark:mark:x', { name: 'mark:x' }],
    ['-15m', { timeMs: NOW - 900_000 }],
    ['-90s', { timeMs: NOW - 90_000 }],
    ['-2h', { timeMs: NOW - 7_200_000 }],
    ['-1d', { timeMs: NOW - 86_400_000 }],
    ['2026-05-17T09:00:00Z', { timeMs: NOW - 1_800_000 }],
  ])('%s', (text, target) => {
    expect(parseRestoreTarget(text, NOW)).toEqual(target);
  });

  it.each([
    '',
    'Latest',
    '0',
    '-1',
    '-15',
    '-15 m',
    '-15M',
    '-15min',
    '15m',
    '1.5',
    '9007199254740993',
    'mark:',
    `mark:${'x'.repeat(257)}`,
    'before',
    '-999999999d',
    '2026-05-17',
  ])('refuses %j', (text) => {
    expect(() => parseRestoreTarget(text, NOW)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
