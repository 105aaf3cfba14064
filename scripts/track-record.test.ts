/** Every line of the track record can be replayed: its test, or its kind of simulation, exists. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commandOf, parseTrackRecord } from './track-record.ts';

const ROOT = join(import.meta.dirname, '..');
const record = parseTrackRecord(readFileSync(join(ROOT, 'docs/TRACK_RECORD.md'), 'utf8'));
const simulations = readFileSync(join(ROOT, 'scripts/simulate.ts'), 'utf8');
const parsers = readdirSync(join(ROOT, 'packages'))
  .map((name) => join(ROOT, 'packages', name, 'test'))
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  .filter((file) => /\/fuzz-[\w-]*targets\.ts$/.test(file))
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n');

describe('track record', () => {
  it('counts its lines from 1 without a gap', () => {
    expect(record.length).toBeGreaterThan(0);
    expect(record.map(({ id }) => id)).toEqual(record.map((_, i) => i + 1));
  });

  it.each(record)('$id can be replayed', ({ fixedIn, replay }) => {
    expect(fixedIn).toMatch(/^[0-9a-f]{7}$/);
    if ('seed' in replay) {
      const { kind, name } = replay;
      // Some targets come twice: their names end in a suffix that may be empty.
      if (kind === 'fuzz') expect(parsers).toMatch(new RegExp(`name: ['\`]${name}['\`$]`));
      else expect(simulations).toContain(`\n  ${name}: {`);
      return;
    }
    expect(existsSync(join(ROOT, replay.file)), replay.file).toBe(true);
    const source = readFileSync(join(ROOT, replay.file), 'utf8').replaceAll("\\'", "'");
    const { title = '' } = replay;
    expect(source.includes(title), `${replay.file} has no test '${title}'`).toBe(true);
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
