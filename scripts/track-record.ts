/**
 * `npm run replay -- ID`: replays one line of `docs/TRACK_RECORD.md`: the test that found the bug,
 * or shows that it is gone.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

export type Replay =
  | { readonly kind: 'test'; readonly file: string; readonly title: string | undefined }
  | { readonly kind: 'simulation' | 'fuzz'; readonly name: string; readonly seed: number };

export interface FixedBug {
  readonly id: number;
  readonly bug: string;
  readonly fixedIn: string;
  readonly replay: Replay;
}

/** Throws on a line of a table that is none. */
export function parseTrackRecord(text: string): FixedBug[] {
  const rows = text.split('\n').filter((line) => /^\| *\d+ *\|/.test(line));
  return rows.map((row) => {
    const cells = row.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
    const [, id = '', bug = '', , fixedIn = '', replay = ''] = cells;
    if (cells.length !== 7 || bug === '') throw new Error(`not a line of the record: ${row}`);
    return { id: Number(id), bug, fixedIn: fixedIn.replaceAll('`', ''), replay: parse(replay) };
  });
}

function parse(cell: string): Replay {
  const seeded = /^(simulation|fuzz) `([\w-]+)` seed `(\d+)`$/.exec(cell);
  if (seeded !== null) {
    const [, kind, name = '', seed] = seeded;
    return { kind: kind === 'fuzz' ? 'fuzz' : 'simulation', name, seed: Number(seed) };
  }
  const test = /^`([^`]+)`(?: (.+))?$/.exec(cell);
  if (test === null) throw new Error(`names no test and no seed: ${cell}`);
  return { kind: 'test', file: test[1] ?? '', title: test[2] };
}

export function commandOf(replay: Replay): string[] {
  if ('seed' in replay) {
    const { kind, name, seed } = replay;
    const [script, one] = kind === 'fuzz' ? ['fuzz', '--cases'] : ['simulate', '--histories'];
    return ['npm', 'run', script, '--', '--only', name, one, '1', '--seed', `${seed}`];
  }
  const title = replay.title === undefined ? [] : ['-t', escaped(replay.title)];
  return ['npx', 'vitest', 'run', replay.file, ...title];
}

/** The runner takes a title for a pattern. */
function escaped(title: string): string {
  return title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function main(id: string | undefined): number {
  const record = parseTrackRecord(readFileSync(join(ROOT, 'docs/TRACK_RECORD.md'), 'utf8'));
  const found = record.find((line) => String(line.id) === id);
  if (found === undefined) {
    console.error(`say which line of docs/TRACK_RECORD.md: 1 to ${record.length}`);
    return 2;
  }
  const [command = '', ...args] = commandOf(found.replay);
  console.log(`${found.bug} (fixed in ${found.fixedIn})`);
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }).status ?? 1;
}

if (process.argv[1] === import.meta.filename) process.exitCode = main(process.argv[2]);
