/** Every line of the track record can be replayed: its test, or its kind of simulation, exists. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commandOf, parseTrackRecord } from './track-record.ts';

const ROOT = join(import.meta.dirname, '..');
const record = parseTrackRecord(readFileSync(join(ROOT, 'docs/TRACK_RECORD.md'), 'utf8'));
const simulations = readFileSync(join(ROOT, 'scripts/simulate.ts'), 'utf8');

describe('track record', () => {
  it('counts its lines from 1 without a gap', () => {
    expect(record.length).toBeGreaterThan(0);
    expect(record.map(({ id }) => id)).toEqual(record.map((_, i) => i + 1));
  });

  it.each(record)('$id can be replayed', ({ fixedIn, replay }) => {
    expect(fixedIn).toMatch(/^[0-9a-f]{7}$/);
    if (replay.kind === 'simulation') {
      expect(simulations).toContain(`\n  ${replay.name}: {`);
      return;
    }
    expect(existsSync(join(ROOT, replay.file)), replay.file).toBe(true);
    const source = readFileSync(join(ROOT, replay.file), 'utf8').replaceAll("\\'", "'");
    if (replay.title !== undefined) expect(source).toContain(replay.title);
  });

  it('hands a title to the runner as it stands', () => {
    const replay = { kind: 'test', file: 'a.test.ts', title: 'is (not) lost' } as const;
    expect(commandOf(replay)).toEqual([
      'npx',
      'vitest',
      'run',
      'a.test.ts',
      '-t',
      'is \\(not\\) lost',
    ]);
  });
});
