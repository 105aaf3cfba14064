/** How long files are and what they and the things in them are called. */
import path from 'node:path';
import {
  findAll,
  isSource,
  isTest,
  sources,
  withoutComments,
  type Finding,
  type Repository,
} from './repository.ts';

const MAX_SOURCE_LINES = 600;
const MAX_TEST_LINES = 1000;

/** Names that say nothing, so that everything ends up under them. */
const EMPTY_WORDS = ['util', 'utils', 'common', 'helper', 'helpers', 'misc', 'impl', 'manager'];
/** Words that have another name in this code: a storage interface is implemented by a *backend*. */
const FOREIGN_WORDS = ['adapter', 'adaptor', 'driver', 'provider', 'partition'];

const DECLARATION =
  /\b(?:class|interface|type|function|const|let|get|set|async)\s+(#?[A-Za-z_$][\w$]*)/g;

export function fileLengths(repository: Repository): Finding[] {
  return [...repository]
    .filter(([file]) => /\.(ts|mjs|cjs)$/.test(file))
    .flatMap(([file, text]) => {
      const lines = lineCount(text);
      const max = isTest(file) ? MAX_TEST_LINES : MAX_SOURCE_LINES;
      if (lines <= max) return [];
      return [{ path: file, line: 0, message: `${lines} lines, at most ${max}` }];
    });
}

export function fileNames(repository: Repository): Finding[] {
  return [...repository.keys()]
    .filter((file) => /^(packages|scripts|bench|examples)\//.test(file))
    .flatMap((file) => {
      const words = file.replace(/\.[^/]*$/, '').split(/[/\-.]/);
      const bad = words.filter((word) => EMPTY_WORDS.includes(word));
      return bad.map((word) => ({ path: file, line: 0, message: `"${word}" names nothing` }));
    });
}

export function declaredNames(repository: Repository): Finding[] {
  const banned = new Set([...EMPTY_WORDS, ...FOREIGN_WORDS]);
  return sources(repository).flatMap(([file, text]) =>
    findAll(file, withoutComments(text), DECLARATION, (match) => {
      const name = match[1] ?? '';
      const word = camelWords(name).find((each) => banned.has(each));
      if (word !== undefined) return `"${word}" in ${name}: see the words of the style guide`;
      // What adapters override is named by others.
      const own = !file.includes('/adapters/');
      return own && name.startsWith('_') ? `${name}: use #private, no leading underscore` : '';
    }).filter((finding) => finding.message !== ''),
  );
}

/** A report, not a rule: where the median creeps up, files want splitting. */
export function lengthReport(repository: Repository): string {
  const lengths = [...repository]
    .filter(([file]) => isSource(file) && path.basename(file) !== 'index.ts')
    .map(([, text]) => lineCount(text))
    .sort((a, b) => a - b);
  const at = (share: number): number => lengths[Math.floor((lengths.length - 1) * share)] ?? 0;
  return `${lengths.length} source files, lines: median ${at(0.5)}, p90 ${at(0.9)}, most ${at(1)}`;
}

function camelWords(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
}

function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
